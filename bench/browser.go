package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/systeminfo"
	"github.com/chromedp/chromedp"
)

var cdpEmpty cdp.Empty

func runBrowser(ctx context.Context, e *env) error {
	site, stop, err := startSite(ctx, e)
	if err != nil {
		return err
	}
	defer stop()
	return errors.Join(
		runPage(ctx, e, site),
		// A phone's connection. The WebSocket is not slowed down: Chromium leaves it alone.
		runStart(ctx, e, site, "navigation to connected", nil, 2.8, 1.25),
		runStart(ctx, e, site, "navigation to connected, 10 Mbit/s and 50 ms", &network.Conditions{Latency: 50, DownloadThroughput: 10e6 / 8, UploadThroughput: 10e6 / 8}, 0, 0),
		runMemory(ctx, e, site),
	)
}

// runPage measures the works with both sides in one page.
func runPage(ctx context.Context, e *env, site string) error {
	t, err := openTab(ctx, e)
	if err != nil {
		return err
	}
	defer t.close()
	if e.hot {
		t.hot = e.log
	}
	version, err := eval[string](ctx, t, "navigator.userAgent")
	if err != nil {
		return err
	}
	e.report.Versions["chromium"] = version
	if err := t.goTo(ctx, site+"/page.html?ws="+url.QueryEscape(e.server.WS)); err != nil {
		return err
	}
	return runWorks(ctx, e, "browser", t)
}

func startURL(e *env, site, side string) string {
	return site + "/start.html?side=" + side + "&ws=" + url.QueryEscape(e.server.WS)
}

// runStart measures from navigation to connected, in a browser that has run before but has
// nothing of the page in its cache.
func runStart(ctx context.Context, e *env, site, work string, slow *network.Conditions, must, goal float64) error {
	if !e.wanted(work) {
		return nil
	}
	fmt.Fprintln(e.log, "browser:", work)
	t, err := openTab(ctx, e)
	if err != nil {
		return err
	}
	defer t.close()
	if _, err := chromedp.Call(t.ctx, network.Enable, network.EnableParams{}); err != nil {
		return err
	}
	if _, err := chromedp.Call(t.ctx, network.SetCacheDisabled, network.SetCacheDisabledParams{CacheDisabled: true}); err != nil {
		return err
	}
	if slow != nil {
		if _, err := chromedp.Call(t.ctx, network.EmulateNetworkConditionsByRule, network.EmulateNetworkConditionsByRuleParams{MatchedNetworkConditions: []*network.Conditions{slow}}); err != nil {
			return err
		}
	}
	r := &result{Suite: "browser", Work: work, Unit: "ms", PeerIs: jsPeer, Must: must, Goal: goal}
	for round := -1; round < 2*e.rounds; round++ { // short, and noisy
		for turn := range 2 {
			ours := (round+turn)&1 != 0
			side := "peer"
			if ours {
				side = "ours"
			}
			if err := t.goTo(ctx, startURL(e, site, side)); err != nil {
				return err
			}
			took, err := eval[float64](ctx, t, "connected")
			if err != nil {
				return fmt.Errorf("%s: %w", side, err)
			}
			if round >= 0 {
				r.take(ours, took)
			}
		}
	}
	e.report.add(r)
	return nil
}

// runMemory measures the memory that a page's process alone has, in a browser of its own
// each time: connected, and after a million messages.
func runMemory(ctx context.Context, e *env, site string) error {
	const work = "memory of the page's process"
	if !e.wanted(work) {
		return nil
	}
	fmt.Fprintln(e.log, "browser:", work)
	start := &result{Suite: "browser", Work: work + ", connected", Unit: "KiB", PeerIs: jsPeer}
	after := &result{Suite: "browser", Work: work + ", after a million messages", Unit: "KiB", PeerIs: jsPeer}
	for range e.rounds {
		for _, side := range []string{"ours", "peer"} {
			if err := memoryOnce(ctx, e, site, side, start, after); err != nil {
				return fmt.Errorf("%s: %s: %w", work, side, err)
			}
		}
	}
	e.report.add(start)
	e.report.add(after)
	return nil
}

func memoryOnce(ctx context.Context, e *env, site, side string, start, after *result) error {
	t, err := openTab(ctx, e)
	if err != nil {
		return err
	}
	defer t.close()
	now := func() (float64, error) {
		if _, err := eval[bool](ctx, t, "gc(); gc(); true"); err != nil {
			return 0, err
		}
		return t.memory()
	}
	if err := t.goTo(ctx, startURL(e, site, side)); err != nil {
		return err
	}
	if _, err := eval[float64](ctx, t, "connected"); err != nil {
		return err
	}
	kib, err := now()
	if err != nil {
		return err
	}
	start.take(side == "ours", kib)
	if _, _, err := t.measure(ctx, side, "million", map[string]any{"count": e.count(1_000_000)}); err != nil {
		return err
	}
	if kib, err = now(); err == nil {
		after.take(side == "ours", kib)
	}
	return err
}

// memory is what the page's process alone has, in KiB. Chromium keeps another one for the next
// page, which is smaller.
func (t *tab) memory() (most float64, err error) {
	got, err := chromedp.CallBrowser(t.ctx, systeminfo.GetProcessInfo, cdpEmpty)
	if err != nil {
		return 0, err
	}
	for _, p := range got.ProcessInfo {
		if p.Type != "renderer" {
			continue
		}
		kib, err := privateKiB(p.ID)
		if err != nil {
			return 0, err
		}
		most = max(most, kib)
	}
	if most == 0 {
		return 0, errors.New("there is no process of a page")
	}
	return most, nil
}

// A route is something else that a site serves.
type route struct {
	path  string
	serve http.HandlerFunc
}

// others is what the browser's processes that are not those of a page have taken of a processor: the network's, for most.
func (t *tab) others() (sum time.Duration, err error) {
	got, err := chromedp.CallBrowser(t.ctx, systeminfo.GetProcessInfo, cdpEmpty)
	for _, p := range got.ProcessInfo {
		if p.Type != "renderer" {
			sum += time.Duration(p.CPUTime * float64(time.Second))
		}
	}
	return sum, err
}

// startSite serves the pages, compressed as a site would serve them, and more.
func startSite(ctx context.Context, e *env, more ...route) (string, func(), error) {
	nats, err := bundlePeer(ctx, e)
	if err != nil {
		return "", nil, err
	}
	files := map[string]string{"/nats.mjs": nats}
	for _, name := range []string{"page.html", "start.html", "works.mjs"} {
		files["/"+name] = filepath.Join(e.root, "bench/js", name)
	}
	for _, name := range []string{"index.mjs", "kinopio-hub.wasm"} {
		files["/kinopio/"+name] = filepath.Join(e.root, "npm/dist", name)
	}
	type served struct{ plain, packed []byte }
	all := map[string]served{}
	for path, file := range files {
		var s served
		if s.plain, err = os.ReadFile(file); err == nil {
			s.packed, err = brotli(ctx, file)
		}
		if err != nil {
			return "", nil, err
		}
		all[path] = s
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, one := range more {
			if one.path == r.URL.Path {
				one.serve(w, r)
				return
			}
		}
		s, ok := all[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		types := map[string]string{".html": "text/html", ".mjs": "text/javascript", ".wasm": "application/wasm"}
		// An isolated page has a clock of 5 µs, not of 100.
		w.Header().Set("Cross-Origin-Opener-Policy", "same-origin")
		w.Header().Set("Cross-Origin-Embedder-Policy", "require-corp")
		w.Header().Set("Content-Type", types[filepath.Ext(r.URL.Path)])
		body := s.plain
		// Browsers take brotli only from https, and localhost.
		if strings.Contains(r.Header.Get("Accept-Encoding"), "br") {
			w.Header().Set("Content-Encoding", "br")
			body = s.packed
		}
		_, _ = w.Write(body)
	})}
	go func() { _ = server.Serve(listener) }()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	return "http://localhost:" + port, func() { _ = server.Close() }, err
}

// brotli compresses a file as well as it can be.
func brotli(ctx context.Context, file string) ([]byte, error) {
	bounded, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(bounded, "node", "-e", `
		const z = require("node:zlib"), c = z.constants, b = require("node:fs").readFileSync(process.argv[1]);
		process.stdout.write(z.brotliCompressSync(b, { params: {
			[c.BROTLI_PARAM_QUALITY]: 11, [c.BROTLI_PARAM_LGWIN]: 24, [c.BROTLI_PARAM_SIZE_HINT]: b.length } }));
	`, file).Output()
	if err != nil {
		return nil, fmt.Errorf("brotli %s: %w", filepath.Base(file), err)
	}
	return out, nil
}
