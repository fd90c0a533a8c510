package hub

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// endAt is a log handler that ends a hub when that says what, and lets it go on when the hub
// starts nothing any more. It belongs into a bubble of synctest.
type endAt struct {
	slog.Handler
	what  string
	armed atomic.Pointer[Hub] // the hub to end
}

func (e *endAt) Enabled(context.Context, slog.Level) bool { return true }

func (e *endAt) Handle(_ context.Context, r slog.Record) error {
	if r.Message != e.what {
		return nil
	}
	h := e.armed.Swap(nil)
	if h == nil {
		return nil
	}
	h.cancel()
	synctest.Wait()
	return nil
}

// A hub that ends at the end of a move, or while its standby takes over, leaves no connection.
func TestHubThatEndsInAMoveLeavesNoConnection(t *testing.T) {
	for name, test := range map[string]struct {
		standby bool
		begin   func(*Hub, *fakeNet)
	}{
		"planned":   {false, func(h *Hub, _ *fakeNet) { _ = h.Reconnect(context.Background()) }},
		"take-over": {true, func(_ *Hub, n *fakeNet) { n.cut(near, true) }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := threeServers()
				at := &endAt{Handler: slog.DiscardHandler, what: "moved"}
				h := openFake(t, n, Config{Servers: []string{far, mid, near}, Standby: test.standby, Logger: slog.New(at)})
				if err := h.Connected(context.Background()); err != nil {
					t.Fatal(err)
				}
				time.Sleep(10 * time.Second)
				at.armed.Store(h)
				test.begin(h, n)
				select {
				case <-h.Done():
				case <-time.After(time.Minute):
					t.Fatal("the hub has not moved, or does not end")
				}
				n.mu.Lock()
				defer n.mu.Unlock()
				for _, w := range n.wires {
					if !w.gone() {
						t.Errorf("a connection to %s outlives its hub", w.url)
					}
				}
			})
		})
	}
}
