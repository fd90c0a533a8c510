// Command continuity measures what a program notices of a hub's changes of server: it moves
// hubs between real servers, through proxies that take the time of a distance, while numbered
// messages and requests pass, and counts each one. It prints a table, and fails if anything is
// in it that must not be. docs/continuity.md says what the columns mean.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	chromium       = "chromium"
	nativePlatform = "native"
)

type options struct {
	choice
	soak     int
	parallel int
	dist     string
	out      string
	doc      string
	bridge   bool
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := command(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func command(ctx context.Context, args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	begin := time.Now()
	plans := o.plans()
	if o.soak > 0 && len(plans) > 0 {
		share(plans, o.soak)
	}
	if len(plans) == 0 && !o.bridge {
		return errors.New("-rows: no row has such a name: want a part of one such as native/remote->leaf/subscriber/10ms/8")
	}
	results, failed := runAll(ctx, plans, o.parallel, o.dist, o.makers())
	table(os.Stdout, results)
	var bridge []*bridgeResult
	if o.bridge {
		var err error
		if bridge, err = measureBridge(ctx, 100); err != nil {
			failed = append(failed, err)
		}
		bridgeTable(os.Stdout, bridge)
	}
	slow := 0
	for _, r := range results {
		if wrong := r.wrong(); wrong != "" {
			failed = append(failed, fmt.Errorf("%s: %s %q %q", r, wrong, r.Why, r.Defects))
		}
		if r.slow() != "" {
			slow++
		}
	}
	for _, b := range bridge {
		if wrong := b.wrong(); wrong != "" {
			failed = append(failed, fmt.Errorf("bridge with %d hubs: %s", b.Hubs, wrong))
		}
	}
	fmt.Printf("%d rows, %d of them slower than the aim, in %v\n", len(results), slow, time.Since(begin).Round(time.Second))
	if o.doc != "" {
		var text strings.Builder
		markdown(&text, results)
		failed = append(failed, os.WriteFile(o.doc, []byte(text.String()), 0o600))
	}
	if o.out != "" {
		failed = append(failed, save(o.out, map[string]any{"rows": results, "bridge": bridge}))
	}
	return errors.Join(failed...)
}

func parse(args []string) (options, error) {
	o := options{choice: choice{platforms: []string{nativePlatform}}}
	flags := flag.NewFlagSet("continuity", flag.ContinueOnError)
	flags.IntVar(&o.moves, "moves", 10, "moves in each planned row")
	flags.IntVar(&o.abrupt, "abrupt", 5, "moves in each abrupt row")
	flags.IntVar(&o.rate, "rate", 2000, "messages a second in each row")
	flags.IntVar(&o.soak, "soak", 0, "so many moves instead, of all the rows together that -rows picks")
	flags.IntVar(&o.parallel, "parallel", 2, "rows that run at a time")
	flags.StringVar(&o.dist, "dist", "npm/dist", "what make build made for pages")
	flags.StringVar(&o.out, "out", "", "file for all figures, as JSON")
	flags.StringVar(&o.doc, "markdown", "", "file for the table, as Markdown")
	flags.BoolVar(&o.bridge, "bridge", false, "also count the bytes between leaf and backbone")
	far := flags.String("delays", "0s,10ms,30ms,100ms,300ms", "how long each link takes, one way")
	rows := flags.String("rows", "", "regular expression for rows, such as native/latency/subscriber/10ms")
	browser := flags.Bool("browser", false, "in Chromium instead of natively")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("argument %q: want flags only", flags.Arg(0))
	}
	for name, n := range map[string]int{"moves": o.moves, "abrupt": o.abrupt, "rate": o.rate, "parallel": o.parallel} {
		if n < 1 {
			return o, fmt.Errorf("-%s = %d: want a whole number from 1", name, n)
		}
	}
	if o.soak < 0 || o.soak > 0 && *rows == "" {
		return o, fmt.Errorf("-soak = %d: want a whole number from 1, and -rows", o.soak)
	}
	if *rows != "" {
		re, err := regexp.Compile(*rows)
		if err != nil {
			return o, fmt.Errorf("-rows = %q: %w", *rows, err)
		}
		o.rows = re
	}
	for text := range strings.SplitSeq(*far, ",") {
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 {
			return o, fmt.Errorf("-delays = %q: want durations from 0 with commas between them, such as 0s,10ms", *far)
		}
		o.delays = append(o.delays, d)
	}
	if *browser {
		o.platforms = []string{chromium}
	}
	return o, nil
}

// makers open the subjects of each platform.
func (o options) makers() map[string]maker {
	return map[string]maker{
		nativePlatform: func(_ *run, s setup) (subject, error) { return newNative(s), nil },
		chromium:       func(r *run, s setup) (subject, error) { return openPage(r.site.URL, s) },
	}
}

// runAll carries out plans, some at a time, and returns the results in the order of the plans,
// and what kept plans from being carried out.
func runAll(ctx context.Context, plans []plan, parallel int, dist string, makers map[string]maker) (results []*result, failed []error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	done := make([][]*result, len(plans))
	turn := make(chan struct{}, parallel)
	for i, p := range plans {
		turn <- struct{}{}
		if ctx.Err() != nil {
			failed = append(failed, ctx.Err())
			break
		}
		wg.Go(func() {
			defer func() { <-turn }()
			begin := time.Now()
			these, err := do(ctx, p, dist, makers[p.platform])
			mu.Lock()
			defer mu.Unlock()
			done[i] = these
			state := "clean"
			for _, r := range these {
				if r.wrong() != "" {
					state = r.Kind + ": " + r.wrong()
				}
			}
			if err != nil {
				failed = append(failed, err)
				state = err.Error()
			}
			fmt.Fprintf(os.Stderr, "%3d/%d %-50s %5.1fs  %s\n", i+1, len(plans), p, time.Since(begin).Seconds(), state)
		})
	}
	wg.Wait()
	return slices.Concat(done...), failed
}
