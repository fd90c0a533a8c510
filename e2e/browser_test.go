package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/kinopio-hub/kinopio-hub/v3/e2e/engine"
)

// browser is a browser with one tab, a profile and a home of its own.
type browser struct {
	t     *testing.T
	page  engine.Page
	heard *console
}

// console is what a developer would read there.
type console struct {
	mu    sync.Mutex
	lines []string
}

func (c *console) add(line string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lines = append(c.lines, line)
}

// engineOf is the engine that a test is played in: that of the table below which it is, see engines_test.go.
func engineOf(t *testing.T) engine.Name {
	root, _, _ := strings.Cut(t.Name(), "/")
	for name, test := range tables {
		if root == test {
			return name
		}
	}
	return engine.Chromium
}

// openBrowser starts the test's browser, which trusts the root certificate in caFile as a user's own would:
// through its store of certificates. "" adds no trust. more are flags of Chromium.
func openBrowser(t *testing.T, caFile string, more ...chromedp.ExecAllocatorOption) *browser {
	t.Helper()
	name := engineOf(t)
	if name != engine.Chromium && len(more) > 0 {
		t.Fatalf("flags of Chromium are nothing to %s", name)
	}
	return openWith(t, func(ctx context.Context, o engine.Options) (engine.Page, error) {
		if caFile != "" {
			o.RootFiles = []string{caFile}
		}
		if name == engine.Chromium {
			return engine.OpenChromium(ctx, o, more...)
		}
		return engine.Open(ctx, name, o)
	})
}

// openWith starts a browser that is closed with the test; open gets its home and what takes its console.
func openWith(t *testing.T, open func(context.Context, engine.Options) (engine.Page, error)) *browser {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute) // for a browser on a busy machine
	defer cancel()
	heard := &console{}
	page, err := open(ctx, engine.Options{Home: t.TempDir(), Console: heard.add})
	if err != nil {
		t.Fatal(err)
	}
	b := &browser{t: t, page: page, heard: heard}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the console of %s:\n%s", page.Version(), strings.Join(b.said(""), "\n"))
		}
		closing, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := page.Close(closing); err != nil {
			t.Errorf("close the browser: %v", err)
		}
	})
	return b
}

// tab is the context that leads to what only Chromium can do.
func (b *browser) tab() context.Context {
	b.t.Helper()
	c, ok := b.page.(*engine.ChromiumPage)
	if !ok {
		b.t.Fatalf("%s cannot do this: it is for Chromium", b.page.Version())
	}
	return c.Tab
}

// said returns the lines of the console that contain text.
func (b *browser) said(text string) (lines []string) {
	b.heard.mu.Lock()
	defer b.heard.mu.Unlock()
	for _, line := range b.heard.lines {
		if strings.Contains(line, text) {
			lines = append(lines, line)
		}
	}
	return lines
}

// goTo opens url.
func (b *browser) goTo(url string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := b.page.Navigate(ctx, url); err != nil {
		b.t.Fatalf("open %s: %v", url, err)
	}
}

// click presses the element that selector finds, as a user does.
func (b *browser) click(selector string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := b.page.Click(ctx, selector); err != nil {
		b.t.Fatalf("click %s: %v", selector, err)
	}
}

// permit sets a permission of an origin, "granted", "denied" or "prompt".
func (b *browser) permit(name, state, origin string) {
	b.t.Helper()
	p, ok := b.page.(engine.Permitter)
	if !ok {
		b.t.Fatalf("%s cannot be told what its user permits", b.page.Version())
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := p.Permit(ctx, name, state, origin); err != nil {
		b.t.Fatalf("set the permission %s to %s: %v", name, state, err)
	}
}

// eval returns the value of a JavaScript expression, awaiting it when it is a promise.
func eval[T any](b *browser, expression string) T {
	b.t.Helper()
	v, err := tryEval[T](b, patience, expression)
	if err != nil {
		b.t.Fatalf("evaluate %s: %v", expression, err)
	}
	return v
}

func tryEval[T any](b *browser, limit time.Duration, expression string) (value T, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	data, err := b.page.Evaluate(ctx, expression)
	if err == nil {
		err = json.Unmarshal(data, &value)
	}
	return value, err
}

// waitFor waits until a JavaScript expression is true, and fails the test with what is shown
// by the expression instead when it does not become so.
func (b *browser) waitFor(what, condition, instead string) time.Duration {
	b.t.Helper()
	begin := time.Now()
	_, err := tryEval[bool](b, patience+5*time.Second, fmt.Sprintf(`new Promise((yes, no) => {
		const end = performance.now() + %d;
		const look = () => {
			if (%s) yes(true);
			else if (performance.now() > end) no(new Error("instead: " + JSON.stringify(%s)));
			else setTimeout(look, 15);
		};
		look();
	})`, patience.Milliseconds(), condition, instead))
	if err != nil {
		b.t.Fatalf("%s: did not happen within %v: %v", what, patience, err)
	}
	return time.Since(begin)
}

// appearance sets the size of the page and its colour scheme, "light" or "dark".
func (b *browser) appearance(width, height int64, scheme string) {
	b.t.Helper()
	if err := chromedp.Do(b.tab(), chromedp.EmulateViewport(width, height)); err != nil {
		b.t.Fatal(err)
	}
	if _, err := chromedp.Call(b.tab(), emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
	}); err != nil {
		b.t.Fatal(err)
	}
}

// picture returns what is seen of the page, as a PNG.
func (b *browser) picture() []byte {
	b.t.Helper()
	// Changes of colour are over, and two frames have drawn the last of them.
	eval[bool](b, `Promise.all(document.getAnimations().filter((a) => a.effect.getTiming().iterations !== Infinity).map((a) => a.finished.catch(() => {})))
		.then(() => new Promise((yes) => requestAnimationFrame(() => requestAnimationFrame(() => yes(true)))))`)
	shot, err := chromedp.Call(b.tab(), page.CaptureScreenshot, page.CaptureScreenshotParams{Format: page.CaptureScreenshotFormatPng})
	if err != nil {
		b.t.Fatal(err)
	}
	return shot.Data
}

// in is the same browser for a subtest, which is the one that then fails.
func (b *browser) in(t *testing.T) *browser { return &browser{t: t, page: b.page, heard: b.heard} }
