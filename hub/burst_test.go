//go:build !js

package hub_test

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
	"github.com/kinopio-hub/kinopio-hub/v3/transport"
	"github.com/kinopio-hub/kinopio-hub/v3/transport/native"
)

// openDirect opens a hub as pages have it.
func openDirect(t *testing.T) (h *hub.Hub, full *atomic.Bool, writes *atomic.Int64) {
	full, writes = new(atomic.Bool), new(atomic.Int64)
	s := startServer(t, nil)
	h = openHub(t, hub.Config{
		Servers: []string{s.ClientURL()},
		Dialers: []transport.Dialer{hub.DirectDialer{Dialer: native.Dialer{}, Full: full, Writes: writes}},
	})
	return h, full, writes
}

// collect returns where the payloads of a subject go.
func collect(t *testing.T, h *hub.Hub, subject string) <-chan string {
	t.Helper()
	got := make(chan string, 10_000)
	sub, err := h.Subscribe(subject, hub.Inline(hub.SubOptions{}, nil), func(m *hub.Message) { got <- string(m.Data) })
	if err == nil {
		err = sub.Ready(soon(t))
	}
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// rest waits until the writer has come to rest, so that a burst is possible.
func rest(t *testing.T, h *hub.Hub) {
	t.Helper()
	waitFor(t, "a free connection", func() bool {
		done, _ := h.Burst(false, func() {})
		return done
	})
}

func message(i, size int) hub.OutMsg {
	return hub.OutMsg{Subject: "burst.x", Data: fmt.Appendf(nil, "%0*d", size, i)}
}

// want waits for the messages from to to, in order.
func want(t *testing.T, got <-chan string, from, to, size int) {
	t.Helper()
	for i := from; i < to; i++ {
		select {
		case s := <-got:
			if s != fmt.Sprintf("%0*d", size, i) {
				t.Fatalf("message %d: got %d bytes that end in %q", i, len(s), s[max(0, len(s)-20):])
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("message %d did not come", i)
		}
	}
}

func TestBurstWritesOnceAndLeavesNothingToDo(t *testing.T) {
	h, _, writes := openDirect(t)
	got := collect(t, h, "burst.x")
	rest(t, h)
	before := writes.Load()
	answered := make(chan error, 1)
	done, quiet := h.Burst(false, func() {
		for i := range 100 {
			if err := h.Send(message(i, 10)).Err(); err != nil {
				t.Error(err)
			}
		}
	})
	if !done || !quiet {
		t.Fatalf("got done %v, quiet %v: want both", done, quiet)
	}
	if n := writes.Load() - before; n != 1 {
		t.Errorf("%d writes: want 1", n)
	}
	want(t, got, 0, 100, 10)
	for round, wantQuiet := range []bool{false, true} { // the first request sets the timer
		_, quiet = h.Burst(false, func() {
			h.Request(hub.OutMsg{Subject: "burst.nobody"}, time.Minute, func(_ *hub.Message, err error) { answered <- err })
		})
		if quiet != wantQuiet {
			t.Errorf("request %d: quiet is %v", round, quiet)
		}
		if err := <-answered; hub.Code(err) != "NO_RESPONDERS" {
			t.Errorf("got %v, want NO_RESPONDERS", err)
		}
	}
}

func TestBurstKeepsWhatIsFollowedByMore(t *testing.T) {
	h, _, writes := openDirect(t)
	got := collect(t, h, "burst.x")
	const size = 100_000
	rest(t, h)
	before := writes.Load()
	for i := range 15 { // 1.5 MB: more than is kept
		if done, quiet := h.Burst(true, func() { h.Publish(message(i, size)) }); !done || !quiet {
			t.Fatalf("burst %d: done %v, quiet %v", i, done, quiet)
		}
	}
	waitFor(t, "what filled a MiB to be written", func() bool { return writes.Load() > before }) // by a goroutine, if the socket was busy
	if n := writes.Load() - before; n != 1 {
		t.Errorf("%d writes of what was followed by more: want 1, of what filled a MiB", n)
	}
	// What comes otherwise leaves what was kept before it.
	if done, _ := h.Burst(false, func() { h.Publish(message(15, size)) }); !done {
		t.Fatal("the last burst was not done")
	}
	if err := h.Send(message(16, size)).Wait(soon(t)); err != nil {
		t.Fatal(err)
	}
	want(t, got, 0, 17, size)

	rest(t, h)
	h.Burst(true, func() { h.Publish(message(17, size)) })
	if err := h.Flush(soon(t)); err != nil { // by a goroutine, which takes it along
		t.Fatal(err)
	}
	want(t, got, 17, 18, size)

	other := openHub(t, hub.Config{Servers: []string{h.Status().Server}})
	theirs := collect(t, other, "burst.x")
	rest(t, h)
	h.Burst(true, func() { h.Publish(message(18, size)) })
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	want(t, theirs, 18, 19, size) // said before the end
}

func TestBurstOfLargeMessagesIsNotCopied(t *testing.T) {
	h, _, _ := openDirect(t)
	got := collect(t, h, "burst.x")
	const size = 1_000_000 // the server takes 1 MiB
	rest(t, h)
	var kept []byte
	for i := range 5 {
		m := message(i, size)
		waitFor(t, "a burst", func() bool { // not while somebody else sends
			done, _ := h.Burst(true, func() { h.Publish(m, message(100+i, 3), m) })
			return done
		})
		if kept != nil && string(kept) != string(message(i-1, size).Data) {
			t.Error("what was handed over was changed")
		}
		kept = slices.Clone(m.Data)
		clear(m.Data) // the caller may reuse it
	}
	h.Burst(false, func() {})
	for i := range 5 {
		want(t, got, i, i+1, size)
		want(t, got, 100+i, 101+i, 3)
		want(t, got, i, i+1, size)
	}
}

func TestBurstIsNotForWhatWouldWait(t *testing.T) {
	h, full, _ := openDirect(t)
	got := collect(t, h, "burst.x")
	rest(t, h)
	full.Store(true)
	done, quiet := h.Burst(false, func() { h.Publish(message(0, 10)) })
	if !done || quiet {
		t.Errorf("on a full connection: done %v, quiet %v: want it left to the writer", done, quiet)
	}
	want(t, got, 0, 1, 10) // the writer's Write waited as long as it takes
	full.Store(false)
	rest(t, h)
	if done, _ = h.Burst(false, func() { h.Publish(message(1, 10)) }); !done {
		t.Error("not done when the connection is free again")
	}
	want(t, got, 1, 2, 10)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	if done, _ = h.Burst(false, func() { t.Error("called without a connection") }); done {
		t.Error("done without a connection")
	}
	s := startServer(t, nil)
	plain := openHub(t, hub.Config{Servers: []string{s.ClientURL()}})
	if err := plain.Flush(soon(t)); err != nil {
		t.Fatal(err)
	}
	if hub.IsDirect() {
		rest(t, plain)
	} else if done, _ = plain.Burst(false, func() {}); done {
		t.Error("done natively")
	}
}

// Bursts and publishers that wait, side by side: no order within either is lost, and nothing.
func TestBurstsBesideGoroutines(t *testing.T) {
	h, _, _ := openDirect(t)
	bursts, others := collect(t, h, "burst.x"), collect(t, h, "burst.y")
	const count, size = 2000, 300
	over := make(chan struct{})
	go func() {
		defer close(over)
		for i := range count {
			h.Publish(hub.OutMsg{Subject: "burst.y", Data: message(i, size).Data})
		}
	}()
	for i := range count {
		m := message(i, size)
		if done, _ := h.Burst(i%3 != 0 && i < count-1, func() { h.Publish(m) }); !done {
			h.Publish(m)
		}
	}
	<-over
	want(t, bursts, 0, count, size)
	want(t, others, 0, count, size)
}
