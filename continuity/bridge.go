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

	"github.com/nats-io/nats.go"

	"github.com/kinopio-hub/kinopio-hub/continuity/ledger"
	"github.com/kinopio-hub/kinopio-hub/hub"
)

// bridgeResult is what passes between a leaf and its backbone, both ways, for each message
// of size bytes that is published at the backbone on one subject.
type bridgeResult struct {
	Hubs     int     `json:"hubs"`
	Plain    float64 `json:"plainBytes"`  // with one plain NATS client instead
	Steady   float64 `json:"steadyBytes"` // all hubs on the leaf
	ToLeaf   float64 `json:"toLeafBytes"` // while all move there
	FromLeaf float64 `json:"fromLeafBytes"`
	Undone   int     `json:"undone"`
	ledger.Counts
}

const (
	bridgeSize = 100 // bytes of payload
	bridgeName = "c.0.backbone"
)

func (b *bridgeResult) wrong() string {
	if !b.Clean() {
		return fmt.Sprintf("%d lost, %d repeated, %d out of order", b.Lost, b.Repeated, b.Reordered)
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
	fmt.Fprintf(t, "bytes a message of %d\tplain client\tsteady\tmoving to the leaf\tmoving from it\tundone\theard\tlost\trepeated\tout of order\t\n", bridgeSize)
	for _, b := range all {
		fmt.Fprintf(t, "%d hubs\t%.0f\t%.0f\t%.0f\t%.0f\t%d\t%d\t%d\t%d\t%d\t%s\n", b.Hubs, b.Plain, b.Steady, b.ToLeaf, b.FromLeaf, b.Undone, b.Messages, b.Lost, b.Repeated, b.Reordered, b.wrong())
	}
	_ = t.Flush() // to standard output or memory
}

func bridgeWith(ctx context.Context, hubs, rate int) (*bridgeResult, error) {
	ctx, stop := context.WithTimeout(ctx, 4*patience)
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
	conn, err := dial(servers[0].client)
	if err != nil {
		return nil, err
	}
	clean.add(conn.Close)
	var sent atomic.Int64
	ctx2, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	clean.add(wg.Wait)
	clean.add(cancel)
	publishFrom := func() {
		wg.Go(func() {
			// The same length for numbers and the identical ones.
			_, _ = paced(ctx2, 0, rate/2, func(n int) error { // what fails is seen as lost
				sent.Store(2 * int64(n+1))
				return errors.Join(conn.Publish(bridgeName, []byte(fmt.Sprintf("%0*d", bridgeSize, n))),
					conn.Publish(bridgeName, []byte(strings.Repeat("=", bridgeSize))))
			})
		})
	}
	bytes := func() uint64 { up, down := l.bridge.Bytes(); return up + down }
	each := func(f func() error) (float64, error) {
		messages, before := sent.Load(), bytes()
		if err := f(); err != nil {
			return 0, err
		}
		return float64(bytes()-before) / float64(max(sent.Load()-messages, 1)), nil
	}
	pause := func() error { time.Sleep(2 * time.Second); return ctx.Err() }
	b := &bridgeResult{Hubs: hubs}

	c := &swarm{}
	clean.add(c.close)
	if err := c.open(ctx, hubs, "nats://"+servers[0].client, s.URL+manifestPath); err != nil {
		return nil, err
	}
	publishFrom()
	one, err := nats.Connect("nats://" + l.running.client)
	if err != nil {
		return nil, err
	}
	clean.add(one.Close)
	sub, err := one.Subscribe(bridgeName, func(*nats.Msg) {})
	if err = errors.Join(err, one.FlushTimeout(patience)); err != nil {
		return nil, err
	}
	if b.Plain, err = each(pause); err != nil {
		return nil, err
	}
	if err := sub.Unsubscribe(); err != nil {
		return nil, err
	}
	if b.ToLeaf, err = each(func() error { s.lead(l); return c.await(ctx, l.door.Address(), hubs) }); err != nil {
		return nil, err
	}
	if err := pause(); err != nil { // until subscriptions have settled
		return nil, err
	}
	if b.Steady, err = each(pause); err != nil {
		return nil, err
	}
	if b.FromLeaf, err = each(func() error { s.lead(nil); l.leave(); return c.await(ctx, servers[0].client, hubs) }); err != nil {
		return nil, err
	}
	if err := pause(); err != nil {
		return nil, err
	}
	cancel()
	wg.Wait()
	if err := conn.FlushTimeout(patience); err != nil {
		return nil, err
	}
	b.Counts, b.Undone = c.end(ctx, int(sent.Load()/2)), int(c.undone.Load())
	return b, nil
}

// A swarm is many hubs that hear one subject.
type swarm struct {
	hubs   []*hub.Hub
	books  []*ledger.Book
	undone atomic.Int64
}

func (c *swarm) open(ctx context.Context, n int, server, manifest string) error {
	for range n {
		h, err := hub.Open(context.WithoutCancel(ctx), hub.Config{
			Servers:   []string{server},
			Discovery: hub.Discovery{Enabled: true, ManifestURL: manifest, CacheTTL: 5 * probeEvery, SwitchTimeout: 5 * time.Second},
		})
		if err != nil {
			return err
		}
		book := &ledger.Book{}
		c.hubs, c.books = append(c.hubs, h), append(c.books, book)
		h.OnMove(func(m hub.Move) {
			if m.Err != nil {
				c.undone.Add(1)
			}
		})
		if _, err := h.Subscribe(bridgeName, hub.SubOptions{}, func(m *hub.Message) {
			payload := strings.TrimLeft(string(m.Data), "0")
			switch {
			case payload == "":
				payload = "0"
			case payload[0] == '=':
				payload = ledger.Same
			}
			book.Take(m.Subject, []byte(payload))
		}); err != nil {
			return err
		}
		if err := h.Flush(ctx); err != nil {
			return err
		}
	}
	return nil
}

// await waits until so many hubs are on a server.
func (c *swarm) await(ctx context.Context, address string, n int) error {
	for {
		there := 0
		for _, h := range c.hubs {
			if hostOf(h.Status().Server) == address {
				there++
			}
		}
		if there >= n {
			return nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%d of %d hubs are on %s: %w", there, n, address, ctx.Err())
		}
	}
}

func (c *swarm) end(ctx context.Context, pairs int) (total ledger.Counts) {
	for _, book := range c.books {
		book.End(ctx, map[string]int{bridgeName: pairs}, lostAfter)
		total = total.Plus(book.Total())
	}
	return total
}

func (c *swarm) close() {
	var wg sync.WaitGroup
	for _, h := range c.hubs {
		wg.Go(func() { _ = h.Close() }) // it has no error to tell
	}
	wg.Wait()
}
