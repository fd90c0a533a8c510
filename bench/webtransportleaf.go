package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

const (
	noWebTransport = "--no-webtransport"
	idleFor        = 30 * time.Second
)

// runIdleLeaf measures what a leaf that has nothing to do takes with WebTransport, and without.
func runIdleLeaf(ctx context.Context, e *env) error {
	memory := &result{Suite: "webtransport", Work: "resident memory of an idle leaf; must 25 MB", Unit: "MB", PeerIs: noWebTransport}
	processor := &result{Suite: "webtransport", Work: "processor of an idle leaf, 30 s; must 0.2 %", Unit: "%", PeerIs: noWebTransport}
	if !e.wanted(memory.Work) && !e.wanted(processor.Work) {
		return nil
	}
	fmt.Fprintln(e.log, "webtransport:", processor.Work)
	for round := range e.rounds {
		for turn := range 2 {
			ours := (round+turn)&1 == 0
			var flags []string
			if !ours {
				flags = []string{noWebTransport}
			}
			resident, percent, err := idleOnce(ctx, e, fmt.Sprintf("%s/idle-%d-%d", e.tmp, round, turn), flags)
			if err != nil {
				return err
			}
			memory.take(ours, resident)
			processor.take(ours, percent)
		}
	}
	for r, most := range map[*result]float64{memory: 25, processor: 0.2} {
		met := median(r.Ours) <= most
		e.report.add(r)
		r.Met = &met
	}
	return nil
}

// idleOnce starts a leaf, and measures its memory in MB and what it takes of a processor in percent when it has settled.
func idleOnce(ctx context.Context, e *env, cache string, flags []string) (resident, percent float64, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	cmd, out, err := leafCommand(ctx, e, cache, append(flags, "--json-lines")...)
	if err != nil {
		return 0, 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, 0, err
	}
	lines := bufio.NewReader(out)
	defer func() { err = errors.Join(err, end(cmd, lines)) }()
	if line, err := lines.ReadString('\n'); err != nil || !strings.Contains(line, `"phase":"running"`) {
		return 0, 0, fmt.Errorf("first line of the leaf: %q, %w", line, errors.Join(err, io.ErrUnexpectedEOF))
	}
	if err := wait(ctx, 3*time.Second); err != nil {
		return 0, 0, err
	}
	pid := cmd.Process.Pid
	before, err := processorTime(pid)
	if err != nil {
		return 0, 0, err
	}
	began := time.Now()
	if err := wait(ctx, idleFor); err != nil {
		return 0, 0, err
	}
	after, err := processorTime(pid)
	if err != nil {
		return 0, 0, err
	}
	percent = 100 * float64(after-before) / float64(time.Since(began))
	resident, err = residentMB(pid)
	return resident, percent, err
}
