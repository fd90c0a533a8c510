package hub_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// A hub that unsubscribes and goes, while messages come, takes nothing from others who listen
// to the same subjects.
func TestHubThatGoesTakesNobodysInterest(t *testing.T) {
	const subjects = 300
	sys := startSystem(t, 0)
	other, err := nats.Connect(sys.backbone.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(other.Close)
	for i := range subjects {
		if _, err := other.Subscribe(fmt.Sprintf("go.%d", i), func(*nats.Msg) {}); err != nil {
			t.Fatal(err)
		}
	}
	if err := other.Flush(); err != nil {
		t.Fatal(err)
	}
	known := func() (n int) {
		for i := range subjects {
			if sys.leaf.GlobalAccount().Interest(fmt.Sprintf("go.%d", i)) > 0 {
				n++
			}
		}
		return n
	}
	waitFor(t, "interest at the leaf", func() bool { return known() == subjects })

	publisher, err := nats.Connect(sys.backbone.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(publisher.Close)
	for round := range 10 {
		h := openHub(t, hub.Config{Servers: []string{sys.backbone.ClientURL()}})
		var heard atomic.Int64
		var subs []*hub.Subscription
		for i := range subjects {
			sub, err := h.Subscribe(fmt.Sprintf("go.%d", i), hub.SubOptions{}, func(*hub.Message) { heard.Add(1) })
			if err != nil {
				t.Fatal(err)
			}
			subs = append(subs, sub)
		}
		if err := h.Flush(soon(t)); err != nil {
			t.Fatal(err)
		}
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if err := publisher.Publish(fmt.Sprintf("go.%d", i%subjects), make([]byte, 100)); err != nil {
					t.Error(err)
					return
				}
			}
		}()
		waitFor(t, "messages", func() bool { return heard.Load() > 1000 })
		for _, sub := range subs {
			if err := sub.Unsubscribe(); err != nil {
				t.Error(err)
			}
		}
		if err := h.Close(); err != nil {
			t.Error(err)
		}
		close(stop)
		<-stopped
		waitFor(t, "the hub to be gone", func() bool { return sys.backbone.NumClients() == 2 })
		marker := fmt.Sprintf("marker.%d", round)
		if _, err := other.Subscribe(marker, func(*nats.Msg) {}); err != nil { // its interest comes after all that went
			t.Fatal(err)
		}
		waitFor(t, "a later interest at the leaf", func() bool { return sys.leaf.GlobalAccount().Interest(marker) > 0 })
		if n := known(); n != subjects {
			t.Fatalf("round %d: of %d subjects that another client listens to, the leaf knows %d", round, subjects, n)
		}
	}
}
