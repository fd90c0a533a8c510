package hub_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// A hub with a thousand subscriptions moves them all.
func TestThousandSubscriptionsMove(t *testing.T) {
	const subjects = 1000
	sys := startSystem(t, 10*time.Millisecond)
	h := openHub(t, hub.Config{Servers: []string{sys.backbone.ClientURL()}})
	book := &ledger{publisher: map[string]*stream{}}
	for i := range subjects {
		sub, err := h.Subscribe(fmt.Sprintf("many.%d", i), hub.SubOptions{}, func(m *hub.Message) {
			book.number(m.Subject, string(m.Data))
		})
		if err != nil || sub.Ready(soon(t)) != nil {
			t.Fatal(err)
		}
	}
	awaitInterest(t, sys, h)
	nc, err := nats.Connect(sys.leaf.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var wg sync.WaitGroup
	rounds := 0
	wg.Go(func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for ; ctx.Err() == nil; rounds++ {
			for i := range subjects {
				if err := nc.Publish(fmt.Sprintf("many.%d", i), []byte(strconv.Itoa(rounds))); err != nil {
					t.Error(err)
					return
				}
				if i%2 == 0 {
					<-tick.C
				}
			}
		}
		nc.Flush()
	})
	for i := range 4 {
		if err := h.MoveTo([]string{sys.leaf.ClientURL(), sys.backbone.ClientURL()}[i%2]); err != nil {
			t.Logf("move %d: %v", i, err)
		}
	}
	stop()
	wg.Wait()
	if moves := h.Status().Moves; moves < 2 {
		t.Errorf("%d moves of 4 were made", moves)
	}
	for i := range subjects {
		waitFor(t, "the last message", func() bool {
			book.mu.Lock()
			defer book.mu.Unlock()
			s := book.publisher[fmt.Sprintf("many.%d", i)]
			return s != nil && s.next >= rounds
		})
	}
	if bad := book.failures(); bad != nil {
		t.Errorf("%d subjects missed something:\n%s", len(bad), strings.Join(bad[:min(5, len(bad))], "\n"))
	}
}
