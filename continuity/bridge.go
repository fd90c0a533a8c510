package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/continuity/ledger"
)

// bridgeResult is what passes between a leaf and its backbone, both ways, for each message
// of size bytes that is published at the backbone on one subject.
type bridgeResult struct {
	Hubs     int     `json:"hubs"`
	Plain    float64 `json:"plainBytes"`  // a plain client hears another one
	Steady   float64 `json:"steadyBytes"` // all hubs are on the leaf, and hear a hub
	ToLeaf   float64 `json:"toLeafBytes"` // while all move there
	FromLeaf float64 `json:"fromLeafBytes"`
	Move     float64 `json:"moveBytes"` // what one hub's move adds, there and back on average
	Undone   int     `json:"undone"`
	Missing  int     `json:"missing"`
	ledger.Counts
}

const (
	bridgeSize = 100 // bytes of payload
	bridgeName = "c.0.backbone"
	bridgeRest = 2 * time.Second // in which the bytes at rest are counted
)

func (b *bridgeResult) wrong() string {
	if !b.Clean() || b.Missing > 0 {
		return fmt.Sprintf("%d lost, %d repeated, %d out of order, %d missing", b.Lost, b.Repeated, b.Reordered, b.Missing)
	}
	return ""
}

// measureBridge counts with 8 and with 200 hubs, at so many messages a second.
func measureBridge(ctx context.Context, rate int) (all []*bridgeResult, err error) {
	for _, hubs := range []int{8, 200} {
		b, err := bridgeWith(ctx, hubs, rate)
		if err != nil {
			return all, fmt.Errorf("bridge with %d hubs: %w", hubs, err)
		}
		all = append(all, b)
	}
	return all, nil
}

func bridgeTable(w io.Writer, all []*bridgeResult) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "bytes a message of %d\tplain clients\tat rest\tmoving to the leaf\tmoving from it\tbytes of each move\tundone\theard\tlost\trepeated\tout of order\tmissing\t\n", bridgeSize)
	for _, b := range all {
		fmt.Fprintf(t, "%d hubs\t%.0f\t%.0f\t%.0f\t%.0f\t%.0f\t%d\t%d\t%d\t%d\t%d\t%d\t%s\n", b.Hubs, b.Plain, b.Steady, b.ToLeaf, b.FromLeaf, b.Move, b.Undone,
			b.Messages, b.Lost, b.Repeated, b.Reordered, b.Missing, b.wrong())
	}
	_ = t.Flush() // to standard output or memory
}

// A span is what passed the bridge, and what was published, during something.
type span struct{ bytes, messages float64 }

func (s span) each() float64 { return s.bytes / max(s.messages, 1) }

func bridgeWith(ctx context.Context, hubs, rate int) (*bridgeResult, error) {
	ctx, stop := context.WithTimeout(ctx, 4*startPatience)
	defer stop()
	var clean cleanup
	defer clean.run()
	servers, err := startBackbone(1, 0, &clean)
	if err != nil {
		return nil, err
	}
	s := newSite("")
	clean.add(s.Close)
	l, err := newLeaf(passing, servers[0], 0, &clean)
	if err == nil {
		err = l.start()
	}
	if err != nil {
		return nil, err
	}
	during := func(sent *atomic.Int64, f func() error) (span, error) {
		bytes := func() uint64 { up, down := l.bridge.Bytes(); return up + down }
		messages, before := sent.Load(), bytes()
		err := f()
		return span{float64(bytes() - before), float64(sent.Load() - messages)}, err
	}
	rest := func() error {
		select {
		case <-time.After(bridgeRest):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	b := &bridgeResult{Hubs: hubs}
	plain := setup{plain: true, patience: startPatience, timeout: startPatience}
	ear, err := plain.dial(ctx, l.running.client)
	if err != nil {
		return nil, err
	}
	if err := ear.listen(bridgeName, func(string, []byte) {}); err != nil {
		return nil, err
	}
	sent, end, err := plain.publishAlways(ctx, servers[0].client, rate)
	if err != nil {
		return nil, err
	}
	with, err := during(sent, rest)
	if err = errors.Join(err, end()); err != nil {
		return nil, err
	}
	b.Plain = with.each()
	ear.close()

	c := &swarm{}
	clean.add(c.close)
	if err := c.open(ctx, hubs, "nats://"+servers[0].client, s.URL+manifestPath); err != nil {
		return nil, err
	}
	sent, end, err = setup{patience: startPatience, timeout: startPatience}.publishAlways(ctx, servers[0].client, rate)
	if err != nil {
		return nil, err
	}
	defer func() { _ = end() }() // after a failure, which is told already
	var there, still, back span
	for _, step := range []struct {
		counted *span
		do      func() error
	}{
		{&there, func() error { s.lead(l); return c.await(ctx, l.door.Address(), hubs) }},
		{new(span), rest}, // until the last have left their old links
		{&still, rest},
		{&back, func() error { s.lead(nil); l.leave(); return c.await(ctx, servers[0].client, hubs) }},
		{new(span), rest},
	} {
		if *step.counted, err = during(sent, step.do); err != nil {
			return nil, err
		}
	}
	if err := end(); err != nil {
		return nil, err
	}
	b.Steady, b.ToLeaf, b.FromLeaf = still.each(), there.each(), back.each()
	b.Move = (there.bytes + back.bytes - still.each()*(there.messages+back.messages)) / float64(2*hubs)
	b.Counts, b.Missing, b.Undone = c.end(ctx, int(sent.Load()/2))
	return b, nil
}

// publishAlways publishes pairs of one length at an address until end is called, which may be more than once.
func (s setup) publishAlways(ctx context.Context, address string, rate int) (sent *atomic.Int64, end func() error, err error) {
	p, err := s.dial(ctx, address)
	if err != nil {
		return nil, nil, err
	}
	working, cancel := context.WithCancel(ctx)
	sent = &atomic.Int64{}
	done := make(chan error, 1)
	go func() {
		_, err := paced(working, 0, rate/2, func(n int) error {
			err := errors.Join(p.publish(bridgeName, fmt.Appendf(nil, "%0*d", bridgeSize, n)), p.publish(bridgeName, []byte(strings.Repeat("=", bridgeSize))))
			sent.Store(2 * int64(n+1))
			return err
		})
		done <- err
	}()
	return sent, sync.OnceValue(func() error {
		cancel()
		defer p.close()
		return errors.Join(<-done, p.flush(ctx))
	}), nil
}
