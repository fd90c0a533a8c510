//go:build !js

package hub_test

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// subscriptions are how many the clients of a server have, by the server's count.
func subscriptions(t testing.TB, s *server.Server) (n int) {
	t.Helper()
	z, err := s.Connz(&server.ConnzOptions{Limit: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range z.Conns {
		if c.Kind == "Client" {
			n += int(c.NumSubs)
		}
	}
	return n
}

// brief is a configuration by which names end soon.
func brief(s *server.Server) hub.Config {
	return hub.Config{Servers: []string{s.ClientURL()}, Linger: 30 * time.Millisecond, ReadLinger: 60 * time.Millisecond}
}

// resting waits until a server has n subscriptions, and goes on to have them.
func resting(t *testing.T, s *server.Server, n int) {
	t.Helper()
	waitFor(t, fmt.Sprintf("%d subscriptions", n), func() bool { return subscriptions(t, s) == n })
}

// A hub that has been used has some subscriptions of its own. atRest is how many they are.
func atRest(t *testing.T, s *server.Server, h *hub.Hub) (n int) {
	t.Helper()
	v := h.Scope("first").Variable("x")
	if err := v.Pub(soon(t), 1); err != nil {
		t.Fatal(err)
	}
	if sub, err := v.Sub(soon(t), func(*hub.Message) {}); err != nil || sub.Unsubscribe() != nil || v.Ready(soon(t)) != nil {
		t.Fatal(err)
	}
	v.Release()
	waitFor(t, "no names", func() bool { return h.Status().Subscriptions == 0 })
	if err := h.Flush(soon(t)); err != nil {
		t.Fatal(err)
	}
	for { // what it begins by itself, it begins soon
		n = subscriptions(t, s)
		time.Sleep(300 * time.Millisecond)
		if subscriptions(t, s) == n {
			return n
		}
	}
}

func TestNamesEndWithTheirLastUse(t *testing.T) {
	s := startServer(t, nil)
	h := openHub(t, brief(s))
	before := atRest(t, s, h)
	uses := map[string]func(*hub.Variable) error{
		"a callback": func(v *hub.Variable) error {
			sub, err := v.Sub(soon(t), func(*hub.Message) {})
			if err == nil {
				err = sub.Unsubscribe()
			}
			return err
		},
		"a watcher": func(v *hub.Variable) error {
			stop, err := v.Watch(func(any) {})
			if err == nil {
				stop()
				stop()
			}
			return err
		},
		"OnChange": func(v *hub.Variable) error {
			stop, err := v.OnChange(func(hub.Change) {})
			if err == nil {
				stop()
			}
			return err
		},
		"a read":         func(v *hub.Variable) error { v.Value(); return nil },
		"Meta":           func(v *hub.Variable) error { v.Meta(); return nil },
		"Ready":          func(v *hub.Variable) error { return v.Ready(soon(t)) },
		"nothing at all": func(*hub.Variable) error { return nil },
		"a publication and a read": func(v *hub.Variable) error {
			v.Value()
			return v.Pub(soon(t), 1)
		},
		"a delete": func(v *hub.Variable) error { return v.Delete(soon(t)) },
	}
	for what, use := range uses {
		for i := range 100 {
			if err := use(h.Scope("s").Variable(fmt.Sprint(len(what), "-", i))); err != nil {
				t.Fatalf("%s: %v", what, err)
			}
		}
		resting(t, s, before)
	}
}

func TestWhatIsUsedDoesNotEnd(t *testing.T) {
	s := startServer(t, nil)
	h := openHub(t, brief(s))
	other := openHub(t, hub.Config{Servers: []string{s.ClientURL()}})
	scope := h.Scope("s")
	var heard atomic.Int64
	if _, err := scope.Variable("sub").Sub(soon(t), func(*hub.Message) { heard.Add(1) }); err != nil {
		t.Fatal(err)
	}
	var watched atomic.Int64
	if _, err := scope.Variable("watch").Watch(func(any) { watched.Add(1) }); err != nil {
		t.Fatal(err)
	}
	if err := scope.Variable("set").Set(soon(t), 7); err != nil {
		t.Fatal(err)
	}
	polled := scope.Variable("polled")
	for end := time.Now().Add(time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		polled.Value()
	}
	runtime.GC()
	runtime.GC()
	for _, name := range []string{"sub", "watch"} {
		if err := other.Scope("s").Variable(name).Pub(soon(t), 1); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, "both", func() bool { return heard.Load() == 1 && watched.Load() == 1 })
	for round := 1; ; round++ { // on a slow machine its lease may end between two reads
		if err := other.Scope("s").Variable("polled").Pub(soon(t), round); err != nil || other.Flush(soon(t)) != nil || h.Flush(soon(t)) != nil {
			t.Fatal(err)
		}
		if polled.Value() == float64(round) {
			break
		}
	}
	set := other.Scope("s").Variable("set")
	if err := set.Ready(soon(t)); err != nil || set.Value() != 7.0 {
		t.Errorf("what a hub has set it keeps: %v, %v", set.Value(), err)
	}
}

// What is left is heard no more, and what was known of it stays to be read, until it is known better.
func TestValueOfANameThatEnded(t *testing.T) {
	s := startServer(t, nil)
	h := openHub(t, brief(s))
	before := atRest(t, s, h)
	other := openHub(t, hub.Config{Servers: []string{s.ClientURL()}})
	theirs := other.Scope("s").Variable("x")
	if err := theirs.Set(soon(t), "old"); err != nil || other.Flush(soon(t)) != nil {
		t.Fatal(err)
	}
	v := h.Scope("s").Variable("x")
	if err := v.Ready(soon(t)); err != nil || v.Value() != "old" {
		t.Fatalf("%v, %v", v.Value(), err)
	}
	ended := func() { waitFor(t, "the end", func() bool { return h.Status().Subscriptions == 0 }) }
	ended()
	if err := theirs.Set(soon(t), "new"); err != nil || other.Flush(soon(t)) != nil || h.Flush(soon(t)) != nil {
		t.Fatal(err)
	}
	if got := v.Value(); got != "old" && got != "new" {
		t.Errorf("the last known value is %v", got)
	}
	if err := v.Ready(soon(t)); err != nil || v.Value() != "new" || v.Meta() != theirs.Meta() {
		t.Errorf("once it is known better: %v, %v, %+v", v.Value(), err, v.Meta())
	}
	ended()
	theirs.Release() // nobody keeps it any more
	if err := v.Ready(soon(t)); err != nil || v.Value() != nil || v.Meta().Exists {
		t.Errorf("when nobody keeps it any more: %v, %v, %+v", v.Value(), err, v.Meta())
	}
	// What was published stays until the next.
	if err := theirs.Pub(soon(t), "event"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the event", func() bool { return v.Value() == "event" })
	ended()
	if err := v.Ready(soon(t)); err != nil || v.Value() != "event" {
		t.Errorf("what was published: %v, %v", v.Value(), err)
	}
	ended()
	other.Close()
	resting(t, s, before)
}

func TestReleaseEndsAtOnce(t *testing.T) {
	s := startServer(t, nil)
	h := openHub(t, hub.Config{Servers: []string{s.ClientURL()}})
	before := atRest(t, s, h)
	other := openHub(t, hub.Config{Servers: []string{s.ClientURL()}})
	v := h.Scope("s").Variable("x")
	if err := v.Set(soon(t), 1); err != nil || h.Flush(soon(t)) != nil {
		t.Fatal(err)
	}
	theirs := other.Scope("s").Variable("x")
	if err := theirs.Ready(soon(t)); err != nil || theirs.Value() != 1.0 {
		t.Fatalf("%v, %v", theirs.Value(), err)
	}
	v.Release()
	if n := h.Status().Subscriptions; n != 0 {
		t.Errorf("%d subscriptions after Release", n)
	}
	if err := theirs.Set(soon(t), 2); err != nil || other.Flush(soon(t)) != nil {
		t.Fatal(err)
	}
	if err := v.Ready(soon(t)); err != nil || v.Value() != 2.0 { // anew
		t.Errorf("%v, %v", v.Value(), err)
	}
	v.Release()
	theirs.Release()
	if err := v.Ready(soon(t)); err != nil || v.Value() != nil {
		t.Errorf("after all have released it: %v, %v", v.Value(), err)
	}
	// Callbacks and watchers go on.
	got, seen := make(chan any, 10), make(chan any, 10)
	sub, err := v.Sub(soon(t), func(m *hub.Message) { got <- m.Value() })
	if err != nil {
		t.Fatal(err)
	}
	stop, err := v.Watch(func(value any) { seen <- value })
	if err != nil {
		t.Fatal(err)
	}
	v.Release()
	if err := theirs.Pub(soon(t), 3); err != nil {
		t.Fatal(err)
	}
	if err := arrives(got, 3.0); err != nil {
		t.Error(err)
	}
	if err := arrives(seen, 3.0); err != nil {
		t.Error(err)
	}
	stop()
	sub.Unsubscribe()
	waitFor(t, "the end of the callback", func() bool { v.Release(); return h.Status().Subscriptions == 0 })
	other.Close()
	resting(t, s, before)
}

// What was set and is still to be sent is sent before its name ends.
func TestReleaseLosesNothing(t *testing.T) {
	s := startServer(t, nil)
	other := openHub(t, hub.Config{Servers: []string{s.ClientURL()}}).Scope("s").Variable("x")
	got := make(chan any, 10)
	if _, err := other.Sub(soon(t), func(m *hub.Message) { got <- m.Value() }); err != nil {
		t.Fatal(err)
	}
	cfg := brief(s)
	cfg.ManualConnect, cfg.Timeout = true, 20*time.Millisecond
	h, err := hub.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	v := h.Scope("s").Variable("x")
	if err := v.Set(t.Context(), "kept"); err == nil {
		t.Fatal("it was sent without a connection")
	}
	v.Release()
	if err := h.Connect(); err != nil {
		t.Fatal(err)
	}
	if err := arrives(got, "kept"); err != nil {
		t.Error(err)
	}
	waitFor(t, "the end", func() bool { st := h.Status(); return st.Subscriptions == 0 && st.PendingBytes == 0 })
}

// Names begin and end while the hub moves: no server has any of those that have ended.
func TestNamesEndDuringMoves(t *testing.T) {
	sys := startSystem(t, 5*time.Millisecond)
	cfg := brief(sys.backbone)
	h := openHub(t, cfg)
	before := atRest(t, sys.backbone, h)
	var done atomic.Bool
	moved := make(chan error, 1)
	go func() {
		defer done.Store(true)
		for i := range 10 {
			to := sys.leaf
			if i%2 == 1 {
				to = sys.backbone
			}
			if err := h.MoveTo(to.ClientURL()); err != nil {
				moved <- err
				return
			}
		}
		moved <- nil
	}()
	rounds := 0
	for ; !done.Load(); rounds++ {
		v := h.Scope("m").Variable(fmt.Sprint(rounds))
		sub, err := v.Sub(soon(t), func(*hub.Message) {})
		if err != nil {
			t.Fatal(err)
		}
		v.Value()
		sub.Unsubscribe()
		if rounds%2 == 0 {
			v.Release()
		}
	}
	if err := <-moved; err != nil {
		t.Fatal(err)
	}
	resting(t, sys.backbone, before)
	resting(t, sys.leaf, 0)
	t.Logf("%d names during ten moves", rounds)
}
