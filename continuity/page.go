package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

//go:embed page.html
var pageHTML string

//go:embed page.js
var pageJS string

// page is a subject in a Chromium of its own, on what make build made of the npm package. It
// publishes and counts by itself; here it is only told what to do, and asked what it counted.
type page struct {
	setup  setup
	ctx    context.Context
	ending cleanup
}

// openPage starts a browser and opens the site's page in it.
func openPage(url string, s setup) (subject, error) {
	p := &page{setup: s}
	home, err := os.MkdirTemp("", "continuity-chromium-")
	if err != nil {
		return nil, err
	}
	p.ending.add(func() { _ = os.RemoveAll(home) }) // the system empties its temporary folder
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.NoSandbox, chromedp.DisableGPU,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.UserDataDir(filepath.Join(home, "profile")),
		chromedp.Env("HOME="+home, "XDG_CONFIG_HOME="+home+"/.config", "XDG_CACHE_HOME="+home+"/.cache"),
	)
	allocator, stopAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	p.ending.add(stopAllocator)
	tab, stop := chromedp.NewContext(allocator)
	p.ending.add(stop)
	p.ending.add(func() {
		closing, cancel := context.WithTimeout(tab, 10*time.Second)
		defer cancel()
		_ = chromedp.Cancel(closing) // stop ends what does not want to
	})
	p.ctx = tab
	// Else each frame of a WebSocket is an event, with its bytes, which loads the machine more than the moves do.
	_, err = chromedp.Call(tab, network.Disable, cdp.Empty{})
	if err == nil {
		err = chromedp.Do(tab, chromedp.Navigate(url))
	}
	if err != nil {
		p.ending.run()
		return nil, fmt.Errorf("open the page in Chromium: %w", err)
	}
	return p, nil
}

// call awaits a function of page.js.
func call[T any](ctx context.Context, p *page, function string, args ...any) (T, error) {
	// The tab's context carries the connection to the browser, ctx only the end of waiting.
	limited, cancel := context.WithTimeout(p.ctx, 2*p.setup.patience+startPatience)
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	list, err := json.Marshal(append([]any{}, args...))
	if err != nil {
		return *new(T), err
	}
	text, err := chromedp.Run(limited, chromedp.Evaluate[string](fmt.Sprintf("answer(%s, %s)", function, list), chromedp.EvalAwaitPromise))
	var got struct {
		Value T
		Error string
	}
	if err == nil {
		err = json.Unmarshal([]byte(text), &got)
	}
	if err == nil && got.Error != "" {
		err = errors.New(got.Error)
	}
	if err != nil {
		return got.Value, fmt.Errorf("the page's %s: %w", function, err)
	}
	return got.Value, nil
}

func (p *page) begin(ctx context.Context) error {
	_, err := call[bool](ctx, p, "begin", map[string]any{
		"role": p.setup.role, "servers": p.setup.servers, "manifest": p.setup.manifest, "subjects": p.setup.subjects,
		"rate": p.setup.rate, "latency": p.setup.latency, "standby": p.setup.standby, "probeEvery": ms(probeEvery), "timeout": ms(p.setup.timeout),
	})
	return err
}

func (p *page) work(ctx context.Context) error {
	_, err := call[bool](ctx, p, "work")
	return err
}

func (p *page) event(ctx context.Context, n int) (event, error) {
	return call[event](ctx, p, "nextEvent", n, ms(p.setup.patience))
}

func (p *page) reconnect(ctx context.Context) error {
	_, err := call[bool](ctx, p, "reconnect", ms(p.setup.patience))
	return err
}

func (p *page) report(ctx context.Context) (report, error) { return call[report](ctx, p, "report") }

func (p *page) mark(ctx context.Context) error {
	_, err := call[bool](ctx, p, "mark")
	return err
}

func (p *page) end(ctx context.Context, pairs map[string]int) error {
	if len(pairs) == 0 {
		return nil
	}
	_, err := call[bool](ctx, p, "end", pairs, ms(p.setup.quiet))
	return err
}

func (p *page) stop(ctx context.Context) error {
	_, err := call[bool](ctx, p, "stop", ms(p.setup.patience))
	return err
}

func (p *page) close() { p.ending.run() }
