package hub_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// A leaf that is about to stop has a hundred hubs leave it together: none of them loses,
// repeats or reorders anything.
func TestCrowdLeavesTogether(t *testing.T) {
	sys := startSystem(t, 0)
	book := &ledger{publisher: map[string]*stream{}}
	var hubs []*hub.Hub
	var made []<-chan hub.Move
	var opening sync.WaitGroup
	var mu sync.Mutex
	for i := range crowd {
		opening.Go(func() {
			h := openHub(t, hub.Config{Servers: []string{sys.leaf.ClientURL(), sys.backbone.ClientURL()}, Selection: hub.Ordered})
			sub, err := h.Subscribe("crowd.*", hub.SubOptions{}, func(m *hub.Message) {
				book.take(fmt.Sprintf("%d<-%s", i, m.Subject), string(m.Data))
			})
			if err != nil || sub.Ready(soon(t)) != nil {
				t.Error(err)
			}
			mu.Lock()
			hubs, made = append(hubs, h), append(made, moves(h))
			mu.Unlock()
		})
	}
	opening.Wait()
	for _, h := range hubs {
		if server := h.Status().Server; server != sys.leaf.ClientURL() {
			t.Logf("on %s: the machine is too busy for the leaf to be first", server)
			if err := h.MoveTo(sys.leaf.ClientURL()); err != nil {
				t.Fatal(err)
			}
		}
	}
	awaitInterest(t, sys, hubs[0])
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	totals := map[string]int{}
	backbone, err := nats.Connect(sys.backbone.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer backbone.Close()
	wg.Go(func() {
		n, err := publishNumbers(ctx, 100, func(payload string) error { return backbone.Publish("crowd.backbone", []byte(payload)) })
		if err != nil {
			t.Error(err)
		}
		backbone.Flush()
		mu.Lock()
		totals["crowd.backbone"] = n
		mu.Unlock()
	})
	go sys.leaf.LameDuckShutdown()
	for _, m := range made {
		// Where the machine is too busy for the first try, a later one succeeds.
		for move := nextMove(t, m); move.Err != nil || !strings.HasSuffix(move.Reason, " leaving"); move = nextMove(t, m) {
			t.Logf("%s: %v", move.Reason, move.Err)
			if !move.Planned {
				t.Fatalf("moved %+v, want a planned move", move)
			}
		}
	}
	stop()
	wg.Wait()
	for subject, n := range totals {
		waitFor(t, "the last message everywhere", func() bool {
			book.mu.Lock()
			defer book.mu.Unlock()
			for i := range hubs {
				if s := book.publisher[fmt.Sprintf("%d<-%s", i, subject)]; s == nil || s.next < n {
					return false
				}
			}
			return true
		})
	}
	if bad := book.failures(); bad != nil {
		t.Errorf("%d hubs missed something:\n%s", len(bad), strings.Join(bad[:min(5, len(bad))], "\n"))
	}
}
