//go:build !js

package hub_test

import (
	"strings"
	"testing"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// What hubs tell each other about repairs is nobody's message without a number: moves after a loss
// take no longer than those before.
func TestMovesAfterRepairsTakeNoLonger(t *testing.T) {
	sys := startSystem(t, 5*time.Millisecond)
	near, cut := cuttable(t, delayed(t, strings.TrimPrefix(sys.leaf.ClientURL(), "nats://"), 5*time.Millisecond))
	source := openHub(t, hub.Config{Servers: []string{sys.backbone.ClientURL()}})
	h := openHub(t, hub.Config{Servers: []string{near}, ReconnectWait: 10 * time.Millisecond, Logger: logTo(t)})
	p := record(t, h, "r.*")
	waitFor(t, "interest", func() bool { return sys.backbone.GlobalAccount().Interest("r.a") > 0 })
	// A service of the hub gets a run of requests, too.
	if _, err := h.Subscribe("q.a", hub.SubOptions{Queue: "q"}, func(*hub.Message) {}); err != nil || h.Flush(soon(t)) != nil {
		t.Fatal(err)
	}
	plain, flush := publisher(t, sys.leaf.ClientURL(), false)
	n := 0
	send := func(count int) {
		for range count {
			n++
			publishCount(t, source, "r.a", n)
		}
	}
	send(50)
	waitFor(t, "the first messages", func() bool { return p.count("r.a") == n })
	for range 3 {
		for range 200 {
			if err := plain("q.a", nil); err != nil {
				t.Fatal(err)
			}
		}
		send(200)
		before := h.Status().Reconnects
		cut()
		waitFor(t, "another connection", func() bool { return h.Status().Reconnects > before })
		send(10)
		waitFor(t, "what was missing", func() bool { return p.count("r.a") == n })
	}
	if err := flush(); err != nil {
		t.Fatal(err)
	}
	p.exact(t, "the hub", "r.a", n)
	if h.HasPlain() {
		t.Error("the hub has seen messages without numbers, and each move goes one more way there and back for them")
	}
}
