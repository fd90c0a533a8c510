package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// browse opens the page in a browser of its own, calls runTest there, and copies what the page
// prints to out. The browser and its profile are gone when it returns.
func browse(ctx context.Context, url string, out io.Writer) (code int, err error) {
	path, err := findChromium()
	if err != nil {
		return 0, err
	}
	profile, err := os.MkdirTemp("", "wasmtest-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(profile)
	options := []chromedp.ExecAllocatorOption{chromedp.ExecPath(path), chromedp.UserDataDir(profile)}
	for _, flag := range []string{
		"headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking",
		"disable-component-update", "disable-sync", "disable-dev-shm-usage",
	} {
		options = append(options, chromedp.Flag(flag, true))
	}
	allocator, stop := chromedp.NewExecAllocator(ctx, options...)
	defer stop() // waits for the browser to end
	tab, cancel := chromedp.NewContext(allocator)
	defer cancel()
	if err := chromedp.Do(tab); err != nil {
		return 0, fmt.Errorf("start %s: %w", path, err)
	}
	if err := chromedp.Listen(tab, func(event any) { print(out, event) }); err != nil {
		return 0, fmt.Errorf("listen to the page: %w", err)
	}
	if err := chromedp.Do(tab, chromedp.Navigate(url)); err != nil {
		return 0, fmt.Errorf("open the page: %w", err)
	}
	code, err = chromedp.Run(tab, chromedp.Evaluate[int]("runTest()", chromedp.EvalAwaitPromise))
	if err != nil {
		return 0, fmt.Errorf("run the test in the page: %w", err)
	}
	return code, nil
}

// print writes a call of the console as the page meant it, and what the page did not catch.
func print(out io.Writer, event any) {
	switch e := event.(type) {
	case *runtime.EventConsoleAPICalled:
		words := make([]string, len(e.Args))
		for i, arg := range e.Args {
			words[i] = text(arg)
		}
		fmt.Fprintln(out, strings.Join(words, " "))
	case *runtime.EventExceptionThrown:
		fmt.Fprintln(out, "uncaught in the page:", &chromedp.ExceptionError{ExceptionDetails: e.ExceptionDetails})
	}
}

// text is a string as it is, and anything else as the browser describes it.
func text(arg *runtime.RemoteObject) string {
	var s string
	if json.Unmarshal(arg.Value, &s) == nil {
		return s
	}
	if arg.Description != "" {
		return arg.Description
	}
	return string(arg.Value)
}

func findChromium() (string, error) {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("find chromium: it is not in PATH (on Debian: apt-get install chromium)")
}
