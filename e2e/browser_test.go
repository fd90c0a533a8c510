package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browser is a Chromium with one tab, a profile and a home of its own.
type browser struct {
	t   *testing.T
	ctx context.Context

	mu      sync.Mutex
	console []string // what a developer would read there
}

// openBrowser starts a Chromium that trusts the root certificate in caFile as a user's own
// would: through the NSS database of its home. "" adds no trust. more are flags of it.
func openBrowser(t *testing.T, caFile string, more ...chromedp.ExecAllocatorOption) *browser {
	t.Helper()
	home := t.TempDir()
	if caFile != "" {
		trust(t, home, caFile)
	}
	allocator, stopAllocator := chromedp.NewExecAllocator(context.Background(), append(chromiumOptions(home), more...)...)
	ctx, stop := chromedp.NewContext(allocator)
	b := &browser{t: t, ctx: ctx}
	t.Cleanup(func() {
		if t.Failed() {
			b.mu.Lock()
			t.Logf("the browser's console:\n%s", strings.Join(b.console, "\n"))
			b.mu.Unlock()
		}
		closing, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		if err := chromedp.Cancel(closing); err != nil {
			t.Errorf("close the browser: %v", err)
		}
		stop()
		stopAllocator()
	})
	if err := chromedp.Listen(ctx, b.listen); err != nil {
		t.Fatalf("start Chromium (Debian: apt-get install chromium): %v", err)
	}
	return b
}

// chromiumOptions are those of a Chromium with a profile and a home of its own.
func chromiumOptions(home string) []chromedp.ExecAllocatorOption {
	return append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.NoSandbox,
		chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.UserDataDir(filepath.Join(home, "profile")),
		chromedp.Env("HOME="+home, "XDG_CONFIG_HOME="+home+"/.config", "XDG_CACHE_HOME="+home+"/.cache", "XDG_DATA_HOME="+home+"/.local/share"),
		chromedp.WindowSize(1280, 800),
	)
}

// trust makes the NSS database that Chromium reads on Linux, with one trusted root.
func trust(t *testing.T, home, caFile string) {
	t.Helper()
	certutil := tool(t, "certutil", "libnss3-tools")
	db := filepath.Join(home, ".pki", "nssdb")
	if err := os.MkdirAll(db, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"-N", "--empty-password"},
		{"-A", "-t", "C,,", "-n", "kinopio-hub e2e", "-i", caFile},
	} {
		if out, err := exec.Command(certutil, append([]string{"-d", "sql:" + db}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("certutil %s: %v: %s", strings.Join(args, " "), err, out)
		}
	}
}

// listen notes what the page writes to the console.
func (b *browser) listen(ev any) {
	var line string
	switch ev := ev.(type) {
	case *runtime.EventConsoleAPICalled:
		line = string(ev.Type) + ":"
		for _, a := range ev.Args {
			if a.Description != "" {
				line += " " + a.Description
			} else {
				line += " " + strings.Trim(string(a.Value), `"`)
			}
		}
	case *runtime.EventExceptionThrown:
		line = "uncaught: " + ev.ExceptionDetails.Text
		if e := ev.ExceptionDetails.Exception; e != nil {
			line += " " + e.Description
		}
	case *cdplog.EventEntryAdded:
		line = string(ev.Entry.Level) + ": " + ev.Entry.Text + " " + ev.Entry.URL
	default:
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.console = append(b.console, line)
}

// said returns the lines of the console that contain text.
func (b *browser) said(text string) (lines []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, line := range b.console {
		if strings.Contains(line, text) {
			lines = append(lines, line)
		}
	}
	return lines
}

// goTo opens url.
func (b *browser) goTo(url string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Navigate(url)); err != nil {
		b.t.Fatalf("open %s: %v", url, err)
	}
}

// click presses the element that selector finds, as a user does.
func (b *browser) click(selector string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Click(selector)); err != nil {
		b.t.Fatalf("click %s: %v", selector, err)
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

func tryEval[T any](b *browser, limit time.Duration, expression string) (T, error) {
	ctx, cancel := context.WithTimeout(b.ctx, limit)
	defer cancel()
	return chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
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
	if err := chromedp.Do(b.ctx, chromedp.EmulateViewport(width, height)); err != nil {
		b.t.Fatal(err)
	}
	if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
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
	shot, err := chromedp.Call(b.ctx, page.CaptureScreenshot, page.CaptureScreenshotParams{Format: page.CaptureScreenshotFormatPng})
	if err != nil {
		b.t.Fatal(err)
	}
	return shot.Data
}

// in is the same browser for a subtest, which is the one that then fails.
func (b *browser) in(t *testing.T) *browser { return &browser{t: t, ctx: b.ctx} }
