// Command bench measures the hub against what its users would take otherwise: the official
// JavaScript client in Chromium and in Node, nats.go natively. Both sides do the same work in
// one page or process, turn about; a figure is the median of its rounds, a ratio is ours to
// the peer's, so that below 1 is better whatever the unit.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/pprof"
	"strings"
)

// options are the flags.
type options struct {
	rounds int
	scale  float64 // of the number of messages
	only   string  // suites, by comma
	work   string  // part of the name of a work
	out    string
	hot    bool // print where the time goes
}

// A suite measures one platform. It adds what it could measure to the report even when it fails.
type suite struct {
	name string
	run  func(context.Context, *env) error
}

var suites = []suite{
	{"native", runNative},
	{"browser", runBrowser},
	{"webtransport", runWebTransport},
	{"node", runNode},
	{"leaf", runLeaf},
	{"size", runSize},
}

// env is what a suite works with.
type env struct {
	options
	root   string // of the repository
	tmp    string // removed at the end
	server *server
	report *report
	log    io.Writer
}

// wanted says whether a work is asked for.
func (e *env) wanted(work string) bool { return strings.Contains(work, e.work) }

// count scales a number of messages.
func (e *env) count(n int) int { return max(10, int(float64(n)*e.scale)) }

func main() {
	if len(os.Args) == 2 && (os.Args[1] == serverArgument || os.Args[1] == backboneArgument) {
		if err := serve(os.Stdin, os.Stdout, os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, "error:", err)
			os.Exit(1)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	var o options
	short := flag.Bool("short", false, "a tenth of the messages, three rounds: to see that everything runs")
	flag.IntVar(&o.rounds, "rounds", 5, "how often each side does each work")
	flag.StringVar(&o.only, "only", "", "suites to run, such as native,browser (default: all)")
	flag.StringVar(&o.work, "work", "", "only works whose name has this in it")
	profile := flag.String("cpuprofile", "", "where to write a CPU profile of this process, for the native suite")
	flag.StringVar(&o.out, "out", "bench/results.json", "where to write the results; empty: nowhere")
	flag.BoolVar(&o.hot, "hot", false, "print where each round of the browser suite spends its time; functions of the module have names when it was built with make RELEASE=")
	flag.Parse()
	o.scale = 1
	if *short {
		o.scale, o.rounds = 0.1, 3
	}
	if o.rounds < 1 {
		return fmt.Errorf("-rounds %d: want 1 or more", o.rounds)
	}
	if flag.NArg() > 0 {
		return fmt.Errorf("argument %q: want flags only", flag.Arg(0))
	}
	root, err := repository()
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "kinopio-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	s, err := startServer(ctx, serverArgument)
	if err != nil {
		return fmt.Errorf("start the server: %w", err)
	}
	defer func() { err = errors.Join(err, s.stop()) }()
	e := &env{options: o, root: root, tmp: tmp, server: s, log: os.Stderr}
	if e.report, err = newReport(ctx, root, o); err != nil {
		return err
	}

	if *profile != "" {
		f, err := os.Create(*profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	known := 0
	for _, s := range suites {
		if o.only != "" && !contains(o.only, s.name) {
			continue
		}
		known++
		if suiteErr := s.run(ctx, e); suiteErr != nil {
			err = errors.Join(err, fmt.Errorf("%s: %w", s.name, suiteErr))
			e.report.Errors = append(e.report.Errors, fmt.Sprintf("%s: %v", s.name, suiteErr))
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if known == 0 {
		return fmt.Errorf("-only %s: there is no such suite", o.only)
	}
	e.report.table(os.Stdout)
	if o.out != "" {
		err = errors.Join(err, e.report.write(o.out))
	}
	return err
}

func contains(list, name string) bool {
	for one := range strings.SplitSeq(list, ",") {
		if strings.TrimSpace(one) == name {
			return true
		}
	}
	return false
}
