//go:build !js

package hub_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// is waits until v's value is want; nil: until it has none.
func is(t *testing.T, v *hub.Variable, want any) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for v.Value() != want || v.Meta().Exists != (want != nil) {
		if time.Now().After(deadline) {
			t.Fatalf("%s is %v, %+v: want %v", v.Subject(), v.Value(), v.Meta(), want)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func TestWhoComesLaterSeesWhatWasSet(t *testing.T) {
	s := startServer(t, nil)
	for _, noEcho := range []bool{false, true} {
		open := func() *hub.Hub { return openHub(t, hub.Config{Servers: []string{s.ClientURL()}, NoEcho: noEcho}) }
		first := open()
		v := first.Scope("s").Variable(fmt.Sprint("x", noEcho))
		if err := v.Set(soon(t), map[string]any{"a": 1}); err != nil || first.Flush(soon(t)) != nil {
			t.Fatal(err)
		}
		if m := v.Meta(); !m.Exists || m.Counter != 1 || m.Writer == "" || m.Pending {
			t.Errorf("noEcho %v: meta of who has set: %+v", noEcho, m)
		}
		later := open().Scope("s").Variable(fmt.Sprint("x", noEcho))
		if err := later.Ready(soon(t)); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(later.Value()); got != "map[a:1]" {
			t.Errorf("noEcho %v: the value of who comes later is %s", noEcho, got)
		}
		if m := later.Meta(); m.Counter != 1 || m.Writer != v.Meta().Writer || !m.Exists {
			t.Errorf("noEcho %v: meta of who comes later: %+v", noEcho, m)
		}
		if err := later.Delete(soon(t)); err != nil {
			t.Fatal(err)
		}
		is(t, later, nil)
		is(t, v, nil)
		third := open().Scope("s").Variable(fmt.Sprint("x", noEcho))
		if err := third.Ready(soon(t)); err != nil || third.Value() != nil || third.Meta().Exists || third.Meta().Counter != 2 {
			t.Errorf("noEcho %v: after a delete: %v, %v, %+v", noEcho, err, third.Value(), third.Meta())
		}
		// It does not know the version when it sets, and is the last all the same.
		fourth := open().Scope("s").Variable(fmt.Sprint("x", noEcho))
		if err := fourth.Set(soon(t), "again"); err != nil {
			t.Fatal(err)
		}
		for _, v := range []*hub.Variable{v, later, third, fourth} {
			is(t, v, "again")
		}
	}
}

// Also not in a hub that has no variable, to which what is set is a message like others.
func TestVersionsAreNotAmongHeaders(t *testing.T) {
	s := startServer(t, nil)
	got := make(chan hub.Header, 10)
	h := openHub(t, hub.Config{Servers: []string{s.ClientURL()}})
	for _, subject := range []string{"s.x", "s.*"} {
		sub, err := h.Subscribe(subject, hub.SubOptions{}, func(m *hub.Message) { got <- m.Header })
		if err != nil || sub.Ready(soon(t)) != nil {
			t.Fatal(err)
		}
	}
	next := func(want string) {
		t.Helper()
		select {
		case header := <-got:
			if text := fmt.Sprint(header); text != want {
				t.Errorf("headers %s, want %s", text, want)
			}
		case <-time.After(30 * time.Second):
			t.Fatal("no message")
		}
	}
	for range 2 {
		if err := openHub(t, hub.Config{Servers: []string{s.ClientURL()}}).Scope("s").Variable("x").Set(soon(t), 1); err != nil {
			t.Fatal(err)
		}
		next("map[]")
		next("map[]")
		if _, err := h.Scope("s").Variable("x").OnChange(func(hub.Change) {}); err != nil { // in the second round it has one
			t.Fatal(err)
		}
	}
	plain, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	if err := plain.PublishMsg(&nats.Msg{Subject: "s.x", Header: nats.Header{"Kset": {"nonsense"}, "unit": {"percent"}}}); err != nil {
		t.Fatal(err)
	}
	next("map[unit:[percent]]")
	next("map[unit:[percent]]")
	if err := h.Publish(hub.OutMsg{Subject: "s.x", Header: hub.Header{"Kset": {"1.AAAAAAA"}}}); !errors.Is(err, hub.ErrInvalidValue) {
		t.Errorf("a program publishes a version: %v", err)
	}
}

func TestNobodyKnowsTheValue(t *testing.T) {
	s := startServer(t, nil)
	h := openHub(t, hub.Config{Servers: []string{s.ClientURL()}})
	v := h.Scope("s").Variable("x")
	if m := v.Meta(); m.Known && m.Exists {
		t.Errorf("before the answer: %+v", m)
	}
	if err := v.Ready(soon(t)); err != nil {
		t.Fatal(err)
	}
	if m := v.Meta(); m.Exists || !m.Known || m.Counter != 0 || v.Value() != nil {
		t.Errorf("%v, %+v", v.Value(), m)
	}
	// A message that is not set is the value, too, and later ones do not know it.
	if err := v.Pub(soon(t), 7); err != nil {
		t.Fatal(err)
	}
	is(t, v, 7.0)
	other := openHub(t, hub.Config{Servers: []string{s.ClientURL()}}).Scope("s").Variable("x")
	if err := other.Ready(soon(t)); err != nil || other.Value() != nil {
		t.Errorf("what was published and not set is known to who comes later: %v, %v", err, other.Value())
	}
}

func TestReadyWithoutAServerEndsWithItsContext(t *testing.T) {
	h, err := hub.Open(t.Context(), hub.Config{Servers: []string{"nats://127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	v := h.Scope("s").Variable("x")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := v.Ready(ctx); !errors.Is(err, hub.ErrTimeout) && !errors.Is(err, hub.ErrDisconnected) {
		t.Errorf("%v", err)
	}
}

func TestSetWithoutAConnectionIsSentLater(t *testing.T) {
	s := startServer(t, nil)
	other := openHub(t, hub.Config{Servers: []string{s.ClientURL()}}).Scope("s").Variable("x")
	events := make(chan any, 10)
	if _, err := other.Sub(soon(t), func(m *hub.Message) { events <- m.Value() }); err != nil {
		t.Fatal(err)
	}
	if err := other.Set(soon(t), "old"); err != nil {
		t.Fatal(err)
	}
	h, err := hub.Open(t.Context(), hub.Config{Servers: []string{s.ClientURL()}, ManualConnect: true, Timeout: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	v := h.Scope("s").Variable("x")
	for i := range 5 {
		err := v.Set(t.Context(), i)
		if !errors.Is(err, hub.ErrDisconnected) && !errors.Is(err, hub.ErrTimeout) {
			t.Fatalf("without a connection: %v", err)
		}
		if v.Value() != float64(i) || !v.Meta().Pending {
			t.Fatalf("%v, %+v: want %d, pending", v.Value(), v.Meta(), i)
		}
	}
	time.Sleep(200 * time.Millisecond) // four times what a pub may wait
	if h.Status().PendingBytes != 1 {
		t.Errorf("%d bytes pending, want 1", h.Status().PendingBytes)
	}
	if err := h.Connect(); err != nil {
		t.Fatal(err)
	}
	is(t, other, 4.0)
	is(t, v, 4.0)
	for _, want := range []any{"old", 4.0} {
		if got := <-events; got != want {
			t.Errorf("event %v, want %v", got, want)
		}
	}
	for v.Meta().Pending || h.Status().PendingBytes != 0 {
		time.Sleep(time.Millisecond)
	}
}

func TestOnChangeSaysWhetherThereIsAValue(t *testing.T) {
	s := startServer(t, nil)
	h := openHub(t, hub.Config{Servers: []string{s.ClientURL()}})
	v := h.Scope("s").Variable("x")
	got := make(chan hub.Change, 10)
	stop, err := v.OnChange(func(c hub.Change) { got <- c })
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	next := func(want hub.Change) {
		t.Helper()
		select {
		case c := <-got:
			if c != want {
				t.Errorf("%+v, want %+v", c, want)
			}
		case <-time.After(30 * time.Second):
			t.Fatalf("no change, want %+v", want)
		}
	}
	next(hub.Change{})
	if err := v.Set(soon(t), 1); err != nil {
		t.Fatal(err)
	}
	next(hub.Change{Value: 1.0, Exists: true})
	if err := v.Set(soon(t), nil); err != nil { // a value that is nothing is a value
		t.Fatal(err)
	}
	next(hub.Change{Value: nil, Exists: true})
	if err := v.Delete(soon(t)); err != nil {
		t.Fatal(err)
	}
	next(hub.Change{})
	select {
	case c := <-got:
		t.Errorf("one more change: %+v", c)
	case <-time.After(100 * time.Millisecond):
	}
}

func TestTheSameSetWinsEverywhere(t *testing.T) {
	s := startServer(t, nil)
	var all []*hub.Variable
	for range 5 {
		v := openHub(t, hub.Config{Servers: []string{s.ClientURL()}}).Scope("s").Variable("x")
		if err := v.Ready(soon(t)); err != nil {
			t.Fatal(err)
		}
		all = append(all, v)
	}
	done := make(chan error)
	for i, v := range all {
		go func() {
			var err error
			for n := range 200 {
				err = errors.Join(err, v.Set(t.Context(), fmt.Sprint(i, n)))
			}
			done <- err
		}()
	}
	for range all {
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
	deadline := time.Now().Add(30 * time.Second)
	for {
		same := true
		for _, v := range all {
			same = same && v.Value() == all[0].Value() && v.Meta() == all[0].Meta()
		}
		if same {
			break
		}
		if time.Now().After(deadline) {
			for _, v := range all {
				t.Errorf("%v %+v", v.Value(), v.Meta())
			}
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// What a server does not let this hub set is nobody's value, and others' are its own again.
func TestSetThatIsNotPermitted(t *testing.T) {
	s := startServer(t, permitting(only([]string{"_KH.>", "_INBOX.>"}, []string{">"})))
	admin := openHub(t, hub.Config{Servers: []string{as("admin", s)}})
	first := admin.Scope("s").Variable("x")
	if err := first.Set(soon(t), "theirs"); err != nil || admin.Flush(soon(t)) != nil {
		t.Fatal(err)
	}
	h := openHub(t, hub.Config{Servers: []string{as("u", s)}})
	told := complaints(h)
	v := h.Scope("s").Variable("x")
	if err := v.Set(soon(t), "mine"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-told:
		if !errors.Is(err, hub.ErrPermission) {
			t.Errorf("%v", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("nobody is told")
	}
	is(t, v, "theirs")
	waitFor(t, "the version", func() bool { return v.Meta() == first.Meta() })
	if first.Value() != "theirs" {
		t.Errorf("%v", first.Value())
	}
	if err := first.Set(soon(t), "next"); err != nil {
		t.Fatal(err)
	}
	is(t, v, "next")
}
