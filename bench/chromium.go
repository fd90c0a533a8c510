package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/performance"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/kinopio-hub/kinopio-hub/v3/e2e/engine"
)

// tab is a Chromium with one tab. It implements [jsHost] on js/page.html.
type tab struct {
	ctx  context.Context
	page *engine.ChromiumPage
	hot  io.Writer // where to say where the time goes; nil: nowhere
}

// openTab starts a Chromium with a profile of its own.
func openTab(ctx context.Context, e *env) (*tab, error) { return openTabWith(ctx, e, engine.Options{}) }

func openTabWith(ctx context.Context, e *env, o engine.Options) (_ *tab, err error) {
	if o.Home, err = os.MkdirTemp(e.tmp, "chromium-"); err != nil {
		return nil, err
	}
	page, err := engine.OpenChromium(ctx, o, chromedp.Flag("js-flags", "--expose-gc"))
	if err != nil {
		return nil, err
	}
	t := &tab{ctx: page.Tab, page: page}
	if _, err := chromedp.Call(t.ctx, performance.Enable, performance.EnableParams{TimeDomain: performance.EnableTimeDomainThreadTicks}); err != nil {
		t.close()
		return nil, err
	}
	// Else each frame of a WebSocket is an event, its bytes in base64, which costs the machine
	// more than the frame itself.
	if _, err := chromedp.Call(t.ctx, network.Disable, cdpEmpty); err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

func (t *tab) close() {
	closing, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_ = t.page.Close(closing) // what does not want to is ended
}

func (t *tab) goTo(ctx context.Context, url string) error {
	_, err := within(ctx, t, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, chromedp.Do(ctx, chromedp.Navigate(url))
	})
	return err
}

// within runs use with the tab's context, which carries the connection to the browser, until ctx ends.
func within[T any](ctx context.Context, t *tab, use func(context.Context) (T, error)) (T, error) {
	limited, cancel := context.WithTimeout(t.ctx, 2*time.Minute)
	defer cancel()
	defer context.AfterFunc(ctx, cancel)()
	return use(limited)
}

// eval awaits an expression in the page.
func eval[T any](ctx context.Context, t *tab, expression string) (T, error) {
	return within(ctx, t, func(ctx context.Context) (T, error) {
		v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
		if thrown := (*chromedp.ExceptionError)(nil); errors.As(err, &thrown) {
			err = errors.New(describe(thrown.ExceptionDetails))
		}
		return v, err
	})
}

func describe(details *runtime.ExceptionDetails) string {
	if details.Exception != nil && details.Exception.Description != "" {
		return details.Exception.Description
	}
	return details.Text
}

// metrics are Chromium's own of the tab.
func (t *tab) metrics(ctx context.Context) (map[string]float64, error) {
	return within(ctx, t, func(ctx context.Context) (map[string]float64, error) {
		got, err := chromedp.Call(ctx, performance.GetMetrics, cdpEmpty)
		all := map[string]float64{}
		for _, m := range got.Metrics {
			all[m.Name] = m.Value
		}
		return all, err
	})
}

func (t *tab) measure(ctx context.Context, side, work string, options map[string]any) ([]float64, time.Duration, error) {
	with, err := json.Marshal(options)
	if err != nil {
		return nil, 0, err
	}
	if _, err := eval[bool](ctx, t, "gc(); true"); err != nil {
		return nil, 0, err
	}
	before, err := t.metrics(ctx)
	if err != nil {
		return nil, 0, err
	}
	stop, err := t.profile(fmt.Sprintf("%s %s %s", side, work, with))
	if err != nil {
		return nil, 0, err
	}
	values, err := eval[[]float64](ctx, t, fmt.Sprintf("measure(%q, %q, %s)", side, work, with))
	err = errors.Join(err, stop())
	if err != nil {
		return nil, 0, err
	}
	after, err := t.metrics(ctx)
	return values, time.Duration((after["TaskDuration"] - before["TaskDuration"]) * float64(time.Second)), err
}

// privateKiB is the memory that the process pid alone has.
func privateKiB(pid int64) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	total := 0.0
	for line := range strings.SplitSeq(string(text), "\n") {
		var kib float64
		for _, name := range []string{"Private_Clean:", "Private_Dirty:"} {
			if rest, ok := strings.CutPrefix(line, name); ok {
				if _, err := fmt.Sscan(rest, &kib); err != nil {
					return 0, err
				}
				total += kib
			}
		}
	}
	return total, nil
}
