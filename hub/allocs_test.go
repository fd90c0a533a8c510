package hub

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/natswire"
)

// A nullNet is an engine whose wires take everything and bring nothing by themselves.
var alreadyClosed = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

type nullNet struct{ wire *nullWire }

type nullWire struct {
	receiver receiver
	routes   map[string]any
	ended    chan struct{}
	mu       sync.Mutex // guards routes
}

func (n *nullNet) dial(_ context.Context, _ string, r receiver) (wire, error) {
	n.wire = &nullWire{receiver: r, routes: map[string]any{}, ended: make(chan struct{})}
	return n.wire, nil
}

func (*nullWire) Ping(answered func()) error   { answered(); return nil }
func (*nullWire) Accepted() <-chan struct{}    { return alreadyClosed }
func (w *nullWire) Publish(natswire.Msg) error { return nil }

// route is what subject was subscribed for.
func (w *nullWire) route(subject string) any {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.routes[subject]
}

func (w *nullWire) Subscribe(subject, _ string, route any) (wireSub, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.routes[subject] = route
	return subject, nil
}
func (w *nullWire) Unsubscribe(s wireSub) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.routes, s.(string))
	return nil
}
func (w *nullWire) Flush(context.Context) error { return nil }
func (w *nullWire) RTT() time.Duration          { return time.Millisecond }
func (w *nullWire) MaxPayload() int             { return 1 << 20 }
func (w *nullWire) Disconnect()                 { close(w.ended) }
func (w *nullWire) Done() <-chan struct{}       { return w.ended }
func (w *nullWire) Cause() error                { return ErrDisconnected }

func openNull(t testing.TB) (*Hub, *nullWire) {
	t.Helper()
	cfg, err := Config{Servers: []string{near}}.normalize()
	if err != nil {
		t.Fatal(err)
	}
	n := &nullNet{}
	h := open(context.Background(), cfg, n)
	t.Cleanup(func() { h.Close() })
	if err := h.Connected(context.Background()); err != nil {
		t.Fatal(err)
	}
	// The outbox opens a moment later.
	if err := h.Send(OutMsg{Subject: "a"}).Wait(context.Background()); err != nil {
		t.Fatal(err)
	}
	return h, n.wire
}

// allocs fails the test when do allocates more than so often, on average.
func allocs(t *testing.T, what string, most float64, do func()) {
	t.Helper()
	if got := testing.AllocsPerRun(5000, do); got > most {
		t.Errorf("%s: %v allocations: want at most %v", what, got, most)
	}
}

// What the hub adds to an engine's own work costs no allocation a message.
func TestNothingIsAllocatedForAMessage(t *testing.T) {
	h, wire := openNull(t)
	ctx := context.Background()
	data := []byte(`{"id":123456,"x":1.25,"y":-3.5,"name":"kinopio","ok":1}`)

	allocs(t, "Hub.Publish", 0, func() { h.Publish(OutMsg{Subject: "a.b", Data: data}) })

	v := h.Scope("a").Variable("target")
	var same any = data // a []byte that becomes an any at each call is the caller's allocation
	allocs(t, "Variable.Pub of one value", 0, func() { v.Pub(ctx, same) })
	changing := append([]byte(nil), data...)
	var value any = changing
	allocs(t, "Variable.Pub of changing values", 0, func() {
		changing[6]++
		v.Pub(ctx, value)
	})

	heard := 0
	if _, err := h.Subscribe("a.inline", SubOptions{inline: true}, func(*Message) { heard++ }); err != nil {
		t.Fatal(err)
	}
	batch := []natswire.Inbound{{Route: wire.route("a.inline"), Subject: "a.inline", Data: data}}
	allocs(t, "receiving inline", 0, func() { wire.receiver.Receive(batch) })
	if heard < 5000 {
		t.Errorf("heard %d messages: want 5000 and more", heard)
	}

	h.Scope("a").Variable("followed").Value()
	batch = []natswire.Inbound{{Route: wire.route("a.followed"), Subject: "a.followed", Data: data}}
	allocs(t, "following a variable", 0, func() { wire.receiver.Receive(batch) })

	got := make(chan struct{}, 1)
	if _, err := h.Subscribe("a.plain", SubOptions{}, func(*Message) { got <- struct{}{} }); err != nil {
		t.Fatal(err)
	}
	batch = []natswire.Inbound{{Route: wire.route("a.plain"), Subject: "a.plain", Data: data}}
	allocs(t, "receiving with a callback that may keep the message", 1, func() {
		wire.receiver.Receive(batch)
		<-got
	})
}

// A request costs the message, as any does, and nothing of the service that takes it.
func TestAServiceKeepsItsGoroutines(t *testing.T) {
	h, wire := openNull(t)
	got := make(chan struct{}, 1)
	if _, err := h.Scope("a").Variable("f").Serve(context.Background(), func(_ context.Context, m *Message) (any, error) {
		got <- struct{}{}
		return nil, nil
	}); err != nil {
		t.Fatal(err)
	}
	batch := []natswire.Inbound{{Route: wire.route("a.f"), Subject: "a.f", Reply: "_INBOX.x.1"}}
	allocs(t, "serving", 1, func() {
		wire.receiver.Receive(batch)
		<-got
	})
}

func BenchmarkPubOfTheHubAlone(b *testing.B) {
	h, _ := openNull(b)
	v := h.Scope("a").Variable("b")
	ctx := context.Background()
	var value any = []byte(`{"id":123456,"x":1.25,"y":-3.5,"name":"kinopio","ok":1}`)
	b.ReportAllocs()
	for b.Loop() {
		v.Pub(ctx, value)
	}
}
