package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"

	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
)

// ChromiumPage is a Page of Chromium, whose context leads to all that chromedp can do.
type ChromiumPage struct {
	Tab context.Context

	version string
	console func(string)
	stop    func()
}

// OpenChromium starts a headless Chromium, with further flags.
func OpenChromium(ctx context.Context, o Options, flags ...chromedp.ExecAllocatorOption) (*ChromiumPage, error) {
	if o.Console == nil {
		o.Console = func(string) {}
	}
	if len(o.RootFiles) > 0 {
		if err := trustInNSS(ctx, filepath.Join(o.Home, ".pki", "nssdb"), o.RootFiles); err != nil {
			return nil, fmt.Errorf("open Chromium: %w", err)
		}
	}
	allocator, stopAllocator := chromedp.NewExecAllocator(context.Background(), append(append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.NoSandbox,
		chromedp.DisableGPU,
		chromedp.Flag("disable-quic", !o.QUIC),
		chromedp.Flag("disable-component-update", true),
		chromedp.UserDataDir(filepath.Join(o.Home, "profile")),
		chromedp.Env(homes(o.Home)...),
		chromedp.WindowSize(1280, 800),
	), flags...)...)
	tab, stopTab := chromedp.NewContext(allocator)
	c := &ChromiumPage{Tab: tab, console: o.Console, stop: func() { stopTab(); stopAllocator() }}
	unhook := context.AfterFunc(ctx, c.stop)
	defer unhook()
	if err := chromedp.Listen(tab, c.listen); err != nil {
		c.stop()
		return nil, fmt.Errorf("start Chromium (Debian: apt-get install chromium): %w", err)
	}
	version, err := chromedp.CallBrowser(tab, cdpbrowser.GetVersion, cdp.Empty{})
	if err != nil {
		c.stop()
		return nil, fmt.Errorf("ask Chromium for its version: %w", err)
	}
	_, number, _ := strings.Cut(version.Product, "/")
	c.version = "Chromium " + major(number)
	return c, nil
}

// Permit sets a permission, as a user does in the site's settings.
func (c *ChromiumPage) Permit(_ context.Context, name, state, origin string) error {
	_, err := chromedp.CallBrowser(c.Tab, cdpbrowser.SetPermission, cdpbrowser.SetPermissionParams{
		Permission: &cdpbrowser.PermissionDescriptor{Name: name}, Setting: cdpbrowser.PermissionSetting(state), Origin: origin,
	})
	return err
}

// NewTab opens another tab of the same browser, which Close of this one ends.
func (c *ChromiumPage) NewTab() (*ChromiumPage, error) {
	tab, stop := chromedp.NewContext(c.Tab)
	n := &ChromiumPage{Tab: tab, version: c.version, console: c.console, stop: stop}
	if err := chromedp.Listen(tab, n.listen); err != nil {
		stop()
		return nil, fmt.Errorf("open a tab of Chromium: %w", err)
	}
	return n, nil
}

// within is the tab's context with the end of another. chromedp finds the browser by it.
func (c *ChromiumPage) within(ctx context.Context) (context.Context, func()) {
	tab, cancel := context.WithCancelCause(c.Tab)
	stop := context.AfterFunc(ctx, func() { cancel(context.Cause(ctx)) })
	return tab, func() { stop(); cancel(nil) }
}

func (c *ChromiumPage) Version() string { return c.version }

func (c *ChromiumPage) Navigate(ctx context.Context, url string) error {
	tab, done := c.within(ctx)
	defer done()
	return caused(tab, chromedp.Do(tab, chromedp.Navigate(url)))
}

func (c *ChromiumPage) Evaluate(ctx context.Context, expression string) (json.RawMessage, error) {
	tab, done := c.within(ctx)
	defer done()
	value, err := chromedp.Run(tab, chromedp.Evaluate[string](text(expression), chromedp.EvalAwaitPromise))
	return json.RawMessage(value), caused(tab, err)
}

func (c *ChromiumPage) Click(ctx context.Context, selector string) error {
	tab, done := c.within(ctx)
	defer done()
	return caused(tab, chromedp.Do(tab, chromedp.Click(selector)))
}

func (c *ChromiumPage) Hide(ctx context.Context) error {
	tab, done := c.within(ctx)
	defer done()
	_, err := chromedp.CallBrowser(tab, target.CreateTarget, target.CreateTargetParams{URL: "about:blank"})
	return caused(tab, err)
}

func (c *ChromiumPage) Show(ctx context.Context) error {
	tab, done := c.within(ctx)
	defer done()
	_, err := chromedp.CallBrowser(tab, target.ActivateTarget, target.ActivateTargetParams{TargetID: chromedp.FromContext(c.Tab).Target.TargetID})
	return caused(tab, err)
}

func (c *ChromiumPage) Close(ctx context.Context) error {
	tab, done := c.within(ctx)
	defer done()
	err := chromedp.Cancel(tab)
	c.stop()
	return caused(tab, err)
}

// caused is an error with the reason for which its context ended.
func caused(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return fmt.Errorf("%w (%w)", err, cause)
	}
	return err
}

// listen tells what the page writes to the console.
func (c *ChromiumPage) listen(event any) {
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		line := string(e.Type) + ":"
		for _, a := range e.Args {
			var s string
			switch {
			case a.Description != "":
				line += " " + a.Description
			case json.Unmarshal(a.Value, &s) == nil:
				line += " " + s
			default:
				line += " " + string(a.Value)
			}
		}
		c.console(line)
	case *runtime.EventExceptionThrown:
		line := "uncaught: " + e.ExceptionDetails.Text
		if e := e.ExceptionDetails.Exception; e != nil {
			line += " " + e.Description
		}
		c.console(line)
	case *cdplog.EventEntryAdded:
		c.console(string(e.Entry.Level) + ": " + e.Entry.Text + " " + e.Entry.URL)
	}
}
