package hub_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// A variable that is published follows its subject only while somebody listens: that begins and ends
// while messages come.
func TestVariableBeginsAndEndsToFollowWhileMessagesCome(t *testing.T) {
	s := startServer(t, nil)
	h := openHub(t, hub.Config{Servers: []string{s.ClientURL()}})
	other := openHub(t, hub.Config{Servers: []string{s.ClientURL()}})
	v := h.Scope("l").Variable("v")
	if err := v.Pub(soon(t), 1); err != nil {
		t.Fatal(err)
	}
	keep, err := h.Subscribe("l.*", hub.SubOptions{}, func(*hub.Message) {})
	if err != nil || keep.Ready(soon(t)) != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			other.Publish(hub.OutMsg{Subject: "l.v", Data: []byte(time.Now().String())})
		}
	})
	end := time.Now().Add(2 * time.Second)
	for rounds := 0; time.Now().Before(end) || rounds < 100; rounds++ {
		done := make(chan struct{})
		go func() {
			defer close(done)
			if sub, err := v.Sub(soon(t), func(*hub.Message) {}); err != nil {
				t.Error(err)
			} else {
				sub.Unsubscribe()
			}
			h.Status()
		}()
		select {
		case <-done:
		case <-soon(t).Done():
			t.Fatalf("stuck in round %d", rounds)
		}
	}
	stop()
	wg.Wait()
}
