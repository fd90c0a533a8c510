package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/e2e/engine"
)

// news is what the page has printed since it was asked last, and how the test has ended.
type news struct {
	Lines []string
	Ended bool
	Code  int
	Error string
}

// browse opens the page in a browser of its own, runs the test there, and copies what it prints to out.
// The browser and its profile are gone when it returns.
func browse(ctx context.Context, name engine.Name, url string, out io.Writer) (code int, err error) {
	home, err := os.MkdirTemp("", "wasmtest-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(home)
	page, err := engine.Open(ctx, name, engine.Options{Home: home, QUIC: true})
	if err != nil {
		return 0, err
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
		defer cancel()
		if e := page.Close(closing); e != nil && err == nil {
			err = fmt.Errorf("close the browser: %w", e)
		}
	}()
	if err := page.Navigate(ctx, url); err != nil {
		return 0, fmt.Errorf("open the page: %w", err)
	}
	if _, err := page.Evaluate(ctx, "begin()"); err != nil {
		return 0, fmt.Errorf("begin the test in the page: %w", err)
	}
	for {
		data, err := page.Evaluate(ctx, "printed()")
		if err != nil {
			return 0, fmt.Errorf("run the test in the page: %w", err)
		}
		var n news
		if err := json.Unmarshal(data, &n); err != nil {
			return 0, fmt.Errorf("read what the page printed: %w", err)
		}
		for _, line := range n.Lines {
			fmt.Fprintln(out, line)
		}
		if n.Error != "" {
			return 0, fmt.Errorf("run the test in the page: %s", n.Error)
		}
		if n.Ended {
			return n.Code, nil
		}
	}
}
