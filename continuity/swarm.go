package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/continuity/ledger"
	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

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
			Discovery: hub.Discovery{Enabled: true, ManifestURL: manifest, CacheTTL: 5 * probeEvery, SwitchTimeout: startPatience},
			Timeout:   startPatience,
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

// end waits for what was published, and sums up: what became of it, what hubs say is missing, moves that were undone.
func (c *swarm) end(ctx context.Context, pairs int) (total ledger.Counts, missing, undone int) {
	for i, book := range c.books {
		book.End(ctx, map[string]int{bridgeName: pairs}, 10*time.Second)
		total = total.Plus(book.Total())
		missing += int(c.hubs[i].Status().Missing)
	}
	return total, missing, int(c.undone.Load())
}

func (c *swarm) close() {
	var wg sync.WaitGroup
	for _, h := range c.hubs {
		wg.Go(func() { _ = h.Close() }) // it has no error to tell
	}
	wg.Wait()
}
