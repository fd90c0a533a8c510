package main

import (
	"context"
	"fmt"
	"time"
)

// A jsHost is where the JavaScript sides of js/works.mjs run.
type jsHost interface {
	// measure lets a side do a work, and says how much CPU the thread of the program used.
	measure(ctx context.Context, side, work string, options map[string]any) (values []float64, cpu time.Duration, err error)
}

// A figure is one number of a work, and what it must be.
type figure struct {
	name, unit string
	must, goal float64 // of the ratio; 0: none
}

// jsWork is a work of js/works.mjs.
type jsWork struct {
	figures []figure
	work    string
	options map[string]any
	alone   bool // the peer has no such thing
	pages   bool // only in browsers
}

func (e *env) jsWorks() []jsWork {
	one := func(name, unit string, must, goal float64) []figure { return []figure{{name, unit, must, goal}} }
	type o = map[string]any
	return []jsWork{
		{figures: one("publish 200k × 55 B", "ms", 0.35, 0.25), work: "publish", options: o{"count": e.count(200_000)}},
		{figures: one("receive 200k × 55 B, decoded", "ms", 0.80, 0.45), work: "receive", options: o{"count": e.count(200_000)}},
		{figures: one("10 subscribers of one variable, 20k", "ms", 0, 0), work: "receive", options: o{"count": e.count(20_000), "subscribers": 10}},
		{figures: one("1,000 variables, 100k", "ms", 0, 0), work: "receive", options: o{"count": e.count(100_000), "spread": 1000}},
		{figures: []figure{{"request p50", "µs", 0.95, 0.80}, {"request p99", "µs", 0.95, 0.65}}, work: "request", options: o{"count": e.count(10_000)}},
		{figures: one("request, 64 in flight, 20k", "ms", 0.55, 0.40), work: "inFlight", options: o{"count": e.count(20_000)}},
		{figures: one("serve, 64 in flight, 20k", "ms", 0, 0), work: "serve", options: o{"count": e.count(20_000)}},
		{figures: one("publish 800 × 64 KiB", "ms", 0.95, 0.75), work: "publish", options: o{"count": e.count(800), "size": 64 << 10}},
		{figures: one("receive 800 × 64 KiB", "ms", 1.20, 0.90), work: "receive", options: o{"count": e.count(800), "size": 64 << 10}},
		{figures: one("publish 50 × 1 MiB", "ms", 0, 0), work: "publish", options: o{"count": e.count(50), "size": 1 << 20}},
		{figures: one("receive 50 × 1 MiB", "ms", 0, 0), work: "receive", options: o{"count": e.count(50), "size": 1 << 20}},
		{figures: one("longest task over 50 ms while 200k arrive and 200k are published", "ms", 0, 0), work: "longest", options: o{"count": e.count(200_000)}, alone: true, pages: true},
		{figures: one("reads of variable.value", "/s", 0, 0), work: "reads", options: o{"count": e.count(2_000_000)}, alone: true},
	}
}

const jsPeer = "nats-core"

// runWorks measures all works turn about; every other round the peer begins.
func runWorks(ctx context.Context, e *env, suite string, host jsHost) error {
	small := &result{Suite: suite, Work: "CPU per small message, both ways", Unit: "µs", PeerIs: jsPeer, Must: 0.75, Goal: 0.40}
	ways := 0
	for _, w := range e.jsWorks() {
		if !e.wanted(w.figures[0].name) || w.pages && suite != "browser" {
			continue
		}
		fmt.Fprintf(e.log, "%s: %s\n", suite, w.figures[0].name)
		var results []*result
		for _, f := range w.figures {
			r := &result{Suite: suite, Work: f.name, Unit: f.unit, Must: f.must, Goal: f.goal}
			if !w.alone {
				r.PeerIs = jsPeer
			}
			results = append(results, r)
		}
		count, _ := w.options["count"].(int)
		isSmall := w.figures[0].must > 0 && w.options["size"] == nil && (w.work == "publish" || w.work == "receive")
		for round := -1; round < e.rounds; round++ {
			for turn := range 2 {
				ours := (round+turn)&1 != 0
				side := "ours"
				if !ours {
					side = "peer"
					if w.alone {
						continue
					}
				}
				bounded, cancel := context.WithTimeout(ctx, 2*time.Minute)
				values, cpu, err := host.measure(bounded, side, w.work, w.options)
				cancel()
				if err == nil && len(values) != len(results) {
					err = fmt.Errorf("%d values: want %d", len(values), len(results))
				}
				if err != nil {
					return fmt.Errorf("%s: %s: %w", w.figures[0].name, side, err)
				}
				if round < 0 {
					continue
				}
				for i, r := range results {
					r.take(ours, values[i])
				}
				if isSmall {
					small.sum(ours, round, float64(cpu.Nanoseconds())/1000/float64(2*count))
				}
			}
		}
		if isSmall {
			ways++
		}
		for _, r := range results {
			e.report.add(r)
		}
	}
	if ways == 2 {
		e.report.add(small)
	}
	return nil
}

// take adds a sample.
func (r *result) take(ours bool, v float64) {
	if ours {
		r.Ours = append(r.Ours, v)
	} else {
		r.Peer = append(r.Peer, v)
	}
}

// sum adds to the sample of a round.
func (r *result) sum(ours bool, round int, v float64) {
	samples := &r.Peer
	if ours {
		samples = &r.Ours
	}
	for len(*samples) <= round {
		*samples = append(*samples, 0)
	}
	(*samples)[round] += v
}
