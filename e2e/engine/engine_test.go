package engine

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

const testPage = `<!doctype html><link rel="icon" href="data:,"><title>one</title>
<button id="late" style="margin-top: 3000px" disabled>press</button>
<script>
let kept = 7; // what a script declares is seen, too
setTimeout(() => { late.disabled = false; }, 100);
late.onclick = (event) => { document.title = "pressed " + event.isTrusted; };
</script>`

func TestEnginesDoTheSame(t *testing.T) {
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("Content-Security-Policy", "script-src 'unsafe-inline'") // a test's expressions are no eval of the page
		_, _ = w.Write([]byte(testPage))
	}))
	t.Cleanup(site.Close)
	for _, name := range Names {
		t.Run(string(name), func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			var mu sync.Mutex
			var lines []string
			p, err := Open(ctx, name, Options{Home: t.TempDir(), Console: func(line string) {
				mu.Lock()
				defer mu.Unlock()
				lines = append(lines, line)
			}})
			if err != nil {
				t.Fatal(err)
			}
			closed := false
			defer func() {
				if !closed {
					_ = p.Close(context.WithoutCancel(ctx)) // the test has failed
				}
			}()
			if err := p.Navigate(ctx, site.URL); err != nil {
				t.Fatal(err)
			}
			for expression, want := range map[string]string{
				"1 + 1": "2", "undefined": "null", "kept": "7", "document.title // the first": `"one"`,
				"Promise.resolve({ a: [null, 'ä'] })": `{"a":[null,"ä"]}`, "document.visibilityState": `"visible"`,
			} {
				if got, err := p.Evaluate(ctx, expression); err != nil || string(got) != want {
					t.Errorf("%s is %s, %v; want %s", expression, got, err, want)
				}
			}
			for _, expression := range []string{`(() => { throw new TypeError("so it is") })()`, `Promise.reject(new TypeError("so it is"))`} {
				if got, err := p.Evaluate(ctx, expression); err == nil || !strings.Contains(err.Error(), "so it is") {
					t.Errorf("%s is %s, %v", expression, got, err)
				}
			}
			short, end := context.WithTimeout(ctx, 200*time.Millisecond)
			if got, err := p.Evaluate(short, "new Promise((yes) => { window.go = yes; setTimeout(yes, 3000); })"); err == nil {
				t.Errorf("what takes too long is %s", got)
			}
			end()
			if err := p.Click(ctx, "#late"); err != nil {
				t.Fatal(err)
			}
			await(t, "pressed as by a user", func() bool {
				got, err := p.Evaluate(ctx, "document.title")
				return err == nil && string(got) == `"pressed true"`
			})
			if _, err := p.Evaluate(ctx, `(console.log("hello", 7), console.warn("careful"), setTimeout(() => { throw new Error("nobody caught it"); }), 0)`); err != nil {
				t.Fatal(err)
			}
			console := [][]string{{"log:", "hello 7"}, {"warning:", "careful"}, {"uncaught:", "nobody caught it"}}
			if name == WebKit {
				console = nil // it has none to tell of
			}
			for _, want := range console {
				await(t, strings.Join(want, " "), func() bool {
					mu.Lock()
					defer mu.Unlock()
					return slices.ContainsFunc(lines, func(line string) bool { return strings.HasPrefix(line, want[0]) && strings.Contains(line, want[1]) })
				})
			}
			for _, turn := range []struct {
				what string
				do   func(context.Context) error
			}{{"hidden", p.Hide}, {"visible", p.Show}, {"hidden", p.Hide}, {"visible", p.Show}} {
				if err := turn.do(ctx); err != nil {
					t.Fatal(err)
				}
				await(t, turn.what, func() bool {
					got, err := p.Evaluate(ctx, "document.visibilityState + kept")
					return err == nil && string(got) == `"`+turn.what+`7"`
				})
			}
			closed = true
			if err := p.Close(ctx); err != nil {
				t.Error(err)
			}
			t.Log(p.Version())
		})
	}
}

func await(t *testing.T, what string, true func() bool) {
	t.Helper()
	for limit := time.After(20 * time.Second); !true(); {
		select {
		case <-time.After(20 * time.Millisecond):
		case <-limit:
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}
