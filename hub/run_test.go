//go:build !js

package hub_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
	"github.com/kinopio-hub/kinopio-hub/v3/internal/bridge"
	"github.com/kinopio-hub/kinopio-hub/v3/transport"
	"github.com/kinopio-hub/kinopio-hub/v3/transport/native"
)

// Whoever takes runs gets every message once and in order, alone on a subject or with others, and
// while the hub moves, in which there are none; one that panics gets the next all the same.
func TestRunsBringEveryMessageInOrder(t *testing.T) {
	const count = 60_000
	sys := startSystem(t, 0)
	failed := make(chan error, 1)
	h := openHub(t, hub.Config{
		Servers: []string{sys.backbone.ClientURL(), sys.leaf.ClientURL()},
		Dialers: []transport.Dialer{hub.DirectDialer{Dialer: native.Dialer{}}},
	})
	defer h.OnError(func(err error) {
		select {
		case failed <- err:
		default:
		}
	})()
	takes := func(*bridge.Run) {}
	if _, err := h.Subscribe("a", hub.Inline(hub.SubOptions{Max: 1}, takes), func(*hub.Message) {}); !errors.Is(err, hub.ErrInvalidConfig) {
		t.Errorf("runs with a Max: got %v, want %v", err, hub.ErrInvalidConfig)
	}
	got, runs, panicked := make(chan int, count), 0, false
	note := func(data []byte) {
		var n int
		fmt.Sscan(string(data), &n)
		got <- n
	}
	if _, err := h.Subscribe("a.runs", hub.Inline(hub.SubOptions{}, func(r *bridge.Run) {
		runs++
		for _, data := range r.Data {
			note(data)
		}
		if !panicked {
			panicked = true
			panic("on purpose")
		}
	}), func(m *hub.Message) { note(m.Data) }); err != nil {
		t.Fatal(err)
	}
	shared := make(chan int, 2*count)
	for range 2 {
		if _, err := h.Subscribe("a.shared", hub.Inline(hub.SubOptions{}, func(r *bridge.Run) {
			t.Error("a run for one of two handles")
		}), func(m *hub.Message) { shared <- len(m.Data) }); err != nil {
			t.Fatal(err)
		}
	}
	ready := make(chan bool, 1000)
	if _, err := h.Subscribe("a.ready", hub.SubOptions{}, func(*hub.Message) { ready <- true }); err != nil {
		t.Fatal(err)
	}
	if err := h.Flush(soon(t)); err != nil {
		t.Fatal(err)
	}
	peer, err := nats.Connect(sys.backbone.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(peer.Close)
	waitFor(t, "the subscriptions at the publisher's server", func() bool {
		return peer.Publish("a.ready", nil) == nil && len(ready) > 0
	})
	published := make(chan error, 1)
	publish := func(from int) {
		for i := range count / 3 {
			if err := peer.Publish("a.runs", fmt.Append(nil, from+i)); err != nil {
				published <- err
				return
			}
		}
		for i := range count / 3 {
			if err := peer.Publish("a.shared", fmt.Append(nil, from+i)); err != nil {
				published <- err
				return
			}
		}
		published <- peer.FlushTimeout(time.Minute)
	}
	patience := time.After(time.Minute)
	for part := range 3 {
		from := part * count / 3
		go publish(from)
		if part == 1 {
			if err := h.Reconnect(soon(t)); err != nil {
				t.Fatal(err)
			}
		}
		if err := <-published; err != nil {
			t.Fatal(err)
		}
		for i := from; i < from+count/3; i++ {
			select {
			case n := <-got:
				if n != i {
					t.Fatalf("message %d came in place of %d", n, i)
				}
			case <-patience:
				t.Fatalf("message %d did not come", i)
			}
		}
	}
	for came, since := 0, time.Now(); len(shared) < 2*count; time.Sleep(10 * time.Millisecond) {
		if len(shared) > came {
			came, since = len(shared), time.Now()
		} else if time.Since(since) > 20*time.Second {
			t.Fatalf("the other handles have %d messages of %d; %+v", came, 2*count, h.Status())
		}
	}
	select {
	case err := <-failed:
		if !errors.Is(err, hub.ErrCallback) {
			t.Errorf("the panic is reported as %v, want %v", err, hub.ErrCallback)
		}
	case <-soon(t).Done():
		t.Error("the panic is not reported")
	}
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if runs == 0 || len(got) > 0 {
		t.Errorf("%d runs, and %d messages too many", runs, len(got))
	}
}
