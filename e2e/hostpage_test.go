package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/kinopio-hub/kinopio-hub/v3/e2e/engine"
	hosts "github.com/kinopio-hub/kinopio-hub/v3/election/lab"
)

// A hostBrowser is a browser to be started on a host of the lab, with a fresh profile.
type hostBrowser struct {
	Engine engine.Name
	// Dist is the folder with the built package, which a server of that host's own serves with the lab's page.
	Dist string
	// RootFiles have root certificates that the browser trusts.
	RootFiles []string
	// Prefs are preferences of Firefox.
	Prefs map[string]any
}

// A hostAction is something that the browser is to do, of which one field says what.
type hostAction struct {
	Navigate, Evaluate, Click string      `json:",omitempty"`
	Permit                    *permission `json:",omitempty"`
	Viewport                  [2]int64    `json:",omitzero"`
}

// permission is one that a user has given a page's origin, or not.
type permission struct{ Name, State, Origin string }

// What a browser on a host says: its origin and version when it is there, and what has come of each action.
type (
	hostHello  struct{ Origin, Version string }
	hostResult struct {
		Value json.RawMessage
		Error string
	}
)

// playPage is a browser on this host, a hostBrowser as JSON in args. Each line is a hostAction.
func playPage(ctx context.Context, args []string, in <-chan string, out io.Writer) (err error) {
	var order hostBrowser
	if err := json.Unmarshal([]byte(args[0]), &order); err != nil {
		return err
	}
	var mu sync.Mutex // the console comes beside
	say := func(word string, v any) {
		text, err := json.Marshal(v)
		if err != nil {
			text = fmt.Appendf(nil, "%q", err)
		}
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(out, "%s %s\n", word, text)
	}
	app := httptest.NewServer(serveApp(order.Dist))
	defer app.Close()
	home, err := os.MkdirTemp("", "kinopio-e2e-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(home)
	o := engine.Options{Home: home, RootFiles: order.RootFiles, Prefs: order.Prefs, Console: func(line string) { say("console", line) }}
	var page engine.Page
	if order.Engine == engine.Chromium {
		page, err = engine.OpenChromium(ctx, o, chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-quic", false))
	} else {
		page, err = engine.Open(ctx, order.Engine, o)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, page.Close(context.WithoutCancel(ctx))) }()
	say("ready", hostHello{app.URL, page.Version()})
	for line := range in {
		var do hostAction
		if err := json.Unmarshal([]byte(line), &do); err != nil {
			return err
		}
		var result hostResult
		if result.Value, err = do.on(ctx, page); err != nil {
			result.Error = err.Error()
		}
		say("said", result)
	}
	return nil
}

// serveApp serves the lab's page and the built package in dist.
func serveApp(dist string) http.Handler {
	files := http.FileServer(http.Dir(dist))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			fmt.Fprint(w, labPage)
			return
		}
		files.ServeHTTP(w, r)
	})
}

func (do hostAction) on(ctx context.Context, page engine.Page) (json.RawMessage, error) {
	chromium, _ := page.(*engine.ChromiumPage)
	switch {
	case do.Evaluate != "":
		return page.Evaluate(ctx, do.Evaluate)
	case do.Navigate != "":
		return nil, page.Navigate(ctx, do.Navigate)
	case do.Click != "":
		return nil, page.Click(ctx, do.Click)
	case do.Permit != nil:
		p, ok := page.(engine.Permitter)
		if !ok {
			return nil, fmt.Errorf("%s cannot be told what its user permits", page.Version())
		}
		return nil, p.Permit(ctx, do.Permit.Name, do.Permit.State, do.Permit.Origin)
	case chromium == nil:
		return nil, fmt.Errorf("%s cannot do this", page.Version())
	}
	return nil, chromedp.Do(chromium.Tab, chromedp.EmulateViewport(do.Viewport[0], do.Viewport[1], chromedp.EmulateMobile))
}

// A hostPage is a browser on a host of the lab, driven from here. Its methods fail the test when the browser's process has ended.
type hostPage struct {
	process *hosts.Process
	hello   hostHello
}

// openOn starts a browser on a host, and opens url there: "" is the lab's page at a server of that host's own.
func openOn(t *testing.T, h *hosts.Host, order hostBrowser, url string) *browser {
	t.Helper()
	text, err := json.Marshal(order)
	if err != nil {
		t.Fatal(err)
	}
	page := &hostPage{process: h.Play("page", string(text))}
	var hello string
	for waited := 0; hello == ""; waited++ { // browsers begin slowly, several at once on a busy machine more so
		line, ok := page.process.Within(hosts.AwaitTimeout, "ready ")
		if ok {
			hello = line[len("ready "):]
		} else if waited == 3 {
			t.Fatalf("no browser on %s: %s", h.Name, page.process.Said())
		}
	}
	if err := json.Unmarshal([]byte(hello), &page.hello); err != nil {
		t.Fatal(err)
	}
	b := &browser{t: t, page: page, heard: &console{}}
	if url == "" {
		url = page.hello.Origin + "/"
	}
	b.goTo(url)
	return b
}

func (p *hostPage) do(a hostAction) (json.RawMessage, error) {
	text, err := json.Marshal(a)
	if err != nil {
		return nil, err
	}
	p.process.Say(string(text))
	var result hostResult
	if err := json.Unmarshal([]byte(p.process.Await("said ")[len("said "):]), &result); err != nil {
		return nil, err
	}
	if result.Error != "" {
		err = errors.New(result.Error)
	}
	return result.Value, err
}

func (p *hostPage) Version() string { return p.hello.Version }

func (p *hostPage) Navigate(_ context.Context, url string) error {
	_, err := p.do(hostAction{Navigate: url})
	return err
}

func (p *hostPage) Evaluate(_ context.Context, expression string) (json.RawMessage, error) {
	return p.do(hostAction{Evaluate: expression})
}

func (p *hostPage) Click(_ context.Context, selector string) error {
	_, err := p.do(hostAction{Click: selector})
	return err
}

func (p *hostPage) Permit(_ context.Context, name, state, origin string) error {
	_, err := p.do(hostAction{Permit: &permission{name, state, origin}})
	return err
}

var errNotOnHosts = errors.New("browsers on hosts of the lab cannot do this yet")

func (p *hostPage) Hide(context.Context) error { return errNotOnHosts }
func (p *hostPage) Show(context.Context) error { return errNotOnHosts }

// Close ends it.
func (p *hostPage) Close(context.Context) error {
	p.process.Stop()
	return nil
}
