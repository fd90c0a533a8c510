//go:build !js

package hub_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// A crowd book is what one hub has been told of who is in a scope.
type crowdBook struct {
	mu   sync.Mutex
	here map[string]any
	left []string
}

func follow(t *testing.T, p *hub.Presence) *crowdBook {
	t.Helper()
	b := &crowdBook{here: map[string]any{}}
	if _, err := p.OnChange(func(c hub.PresenceChange) {
		b.mu.Lock()
		defer b.mu.Unlock()
		_, known := b.here[c.Member.ID]
		if known == (c.Kind == hub.MemberJoined) {
			t.Errorf("%s of %+v, known %v", c.Kind, c.Member, known)
		}
		if c.Kind == hub.MemberLeft {
			delete(b.here, c.Member.ID)
			b.left = append(b.left, c.Member.ID)
			return
		}
		b.here[c.Member.ID] = c.Member.Data
	}); err != nil {
		t.Fatal(err)
	}
	return b
}

// data are those of the members, in any order.
func (b *crowdBook) is(want ...any) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	rest := map[string]int{}
	for _, data := range b.here {
		rest[fmt.Sprint(data)]++
	}
	for _, data := range want {
		rest[fmt.Sprint(data)]--
	}
	for _, n := range rest {
		if n != 0 {
			return false
		}
	}
	return true
}

func (b *crowdBook) departures() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.left)
}

func TestWhoIsInAScope(t *testing.T) {
	s := startServer(t, nil)
	open := func() *hub.Hub { return openHub(t, hub.Config{Servers: []string{s.ClientURL()}}) }
	a, b, watching := open(), open(), open()
	room := func(h *hub.Hub) *hub.Presence { return h.Scope("room").Scope("7").Presence() }
	if first, second := room(a), room(a); first != second {
		t.Error("a scope has several presences")
	}
	if err := room(watching).Ready(soon(t)); err != nil || len(room(watching).Members()) != 0 {
		t.Fatalf("nobody is here: %v, %v", err, room(watching).Members())
	}
	book := follow(t, room(watching))
	own := follow(t, room(a))
	if err := room(a).Join("a"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "a", func() bool { return book.is("a") && own.is("a") })
	if err := room(b).Join(map[string]any{"name": "b"}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "b", func() bool {
		return book.is("a", map[string]any{"name": "b"}) && own.is("a", map[string]any{"name": "b"})
	})
	if err := room(b).Update([]byte{0xff, '\n', 0}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "other data", func() bool { return book.is("a", []byte{0xff, '\n', 0}) })
	// Who comes later knows all.
	late := open()
	if err := room(late).Ready(soon(t)); err != nil {
		t.Fatal(err)
	}
	members := room(late).Members()
	if len(members) != 2 || members[0].Self || members[1].Self || members[0].ID == members[1].ID {
		t.Errorf("who comes later sees %+v", members)
	}
	if got := room(a).Members(); len(got) != 2 || got[0].Self == got[1].Self {
		t.Errorf("a member sees %+v", got)
	}
	// Somebody else's scope is another one.
	if got := late.Scope("room").Presence().Members(); len(got) != 0 {
		t.Errorf("another scope has %+v", got)
	}
	if err := room(a).Leave(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "one of them", func() bool { return book.is([]byte{0xff, '\n', 0}) && own.is([]byte{0xff, '\n', 0}) })
	if err := room(a).Join(nil); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "a again", func() bool { return book.is(nil, []byte{0xff, '\n', 0}) })
	start := time.Now()
	b.Close()
	waitFor(t, "the end of b", func() bool { return book.is(nil) })
	if took := time.Since(start); took > 8*time.Second { // a hub that dies without a word is noticed later than that
		t.Errorf("a hub that is closed is seen to leave after %v", took)
	}
	if got := book.departures(); got != 2 {
		t.Errorf("%d departures, want 2", got)
	}
}

func TestPresenceRefuses(t *testing.T) {
	s := startServer(t, nil)
	h := openHub(t, hub.Config{Servers: []string{s.ClientURL()}})
	if err := h.Scope("room").Presence().Update(1); !errors.Is(err, hub.ErrInvalidConfig) {
		t.Errorf("update of who has not joined: %v", err)
	}
	if err := h.Scope("room").Presence().Join(strings.Repeat("x", 1025)); !errors.Is(err, hub.ErrInvalidValue) || !strings.Contains(err.Error(), "1024") {
		t.Errorf("too much data: %v", err)
	}
	if err := h.Scope("room").Presence().Join(make(chan int)); !errors.Is(err, hub.ErrInvalidValue) {
		t.Errorf("no data: %v", err)
	}
	for _, name := range []string{"", "a b", "*", "a.>"} {
		p := h.Scope(name).Presence()
		_, watch := p.OnChange(func(hub.PresenceChange) {})
		for what, err := range map[string]error{"join": p.Join(1), "update": p.Update(1), "leave": p.Leave(), "ready": p.Ready(t.Context()), "onChange": watch} {
			if !errors.Is(err, hub.ErrInvalidName) {
				t.Errorf("%s in %q: %v", what, name, err)
			}
		}
	}
	p := h.Scope("room").Presence()
	h.Close()
	if _, err := p.OnChange(func(hub.PresenceChange) {}); !errors.Is(err, hub.ErrDisposed) {
		t.Errorf("after the end: %v", err)
	}
	if err := p.Join(1); !errors.Is(err, hub.ErrDisposed) {
		t.Errorf("after the end: %v", err)
	}
	if err := p.Ready(t.Context()); !errors.Is(err, hub.ErrDisposed) {
		t.Errorf("after the end: %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	away, err := hub.Open(t.Context(), hub.Config{Servers: []string{"nats://127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer away.Close()
	if err := away.Scope("room").Presence().Ready(ctx); !errors.Is(err, hub.ErrTimeout) && !errors.Is(err, hub.ErrDisconnected) {
		t.Errorf("without a server: %v", err)
	}
}

// Who moves, reconnects or loses its connection for a moment is here all the time; who dies without a word is seen to leave.
func TestWhoStaysAndWhoDies(t *testing.T) {
	sys := startSystem(t, 5*time.Millisecond)
	address, cut := cuttable(t, sys.backbone.Addr().String())
	doomed, shut, _ := gated(t, sys.backbone.Addr().String())
	watching := openHub(t, hub.Config{Servers: []string{sys.backbone.ClientURL()}})
	other := openHub(t, hub.Config{Servers: []string{sys.leaf.ClientURL()}})
	h := openHub(t, hub.Config{Servers: []string{address}})
	dies := openHub(t, hub.Config{Servers: []string{"nats://" + doomed}})
	book := follow(t, watching.Scope("room").Presence())
	far := follow(t, other.Scope("room").Presence())
	for name, one := range map[string]*hub.Hub{"moves": h, "dies": dies, "other": other} {
		if err := one.Scope("room").Presence().Join(name); err != nil {
			t.Fatal(err)
		}
	}
	all := func() bool { return book.is("moves", "dies", "other") && far.is("moves", "dies", "other") }
	waitFor(t, "all", all)
	for range 3 {
		if err := h.MoveTo(sys.leaf.ClientURL()); err != nil {
			t.Fatal(err)
		}
		if err := h.MoveTo(address); err != nil {
			t.Fatal(err)
		}
	}
	reconnects := h.Status().Reconnects
	cut()
	waitFor(t, "the reconnection", func() bool { return h.Status().Reconnects > reconnects })
	if err := h.Reconnect(soon(t)); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	shut()
	waitFor(t, "one to die", func() bool { return book.is("moves", "other") && far.is("moves", "other") })
	t.Logf("seen to leave after %v", time.Since(start))
	if book.departures() != 1 || far.departures() != 1 {
		t.Errorf("%d and %d departures, want 1", book.departures(), far.departures())
	}
}

// The members of two parts do not see each other, and do again.
func TestPresenceOfTwoParts(t *testing.T) {
	sys, divide, unite := startDivided(t)
	here := openHub(t, hub.Config{Servers: []string{sys.backbone.ClientURL()}}).Scope("room").Presence()
	there := openHub(t, hub.Config{Servers: []string{sys.leaf.ClientURL()}}).Scope("room").Presence()
	a, b := follow(t, here), follow(t, there)
	if err := errors.Join(here.Join("here"), there.Join("there")); err != nil {
		t.Fatal(err)
	}
	both := func() bool { return a.is("here", "there") && b.is("here", "there") }
	waitFor(t, "both", both)
	divide()
	waitFor(t, "each alone", func() bool { return a.is("here") && b.is("there") })
	if err := here.Update("changed"); err != nil {
		t.Fatal(err)
	}
	unite()
	waitFor(t, "both again", func() bool { return a.is("changed", "there") && b.is("changed", "there") })
}

// Whoever may publish there can say what it likes; what is true comes back.
func TestForgedPresence(t *testing.T) {
	s := startServer(t, nil)
	h := openHub(t, hub.Config{Servers: []string{s.ClientURL()}}).Scope("room").Presence()
	watching := openHub(t, hub.Config{Servers: []string{s.ClientURL()}}).Scope("room").Presence()
	book := follow(t, watching)
	if err := h.Join("true"); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the member", func() bool { return book.is("true") })
	id := h.Members()[0].ID
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	say := func(text string) {
		t.Helper()
		if err := errors.Join(nc.Publish("_KH.here.room", []byte(text)), nc.Flush()); err != nil {
			t.Fatal(err)
		}
	}
	say("left " + id + " 5")
	waitFor(t, "the departure", func() bool { return book.departures() == 1 })
	waitFor(t, "its return", func() bool { return book.is("true") })
	say("here " + id + " 900 5\nwrong")
	waitFor(t, "the truth", func() bool { return book.is("true") })
	say("gone AAAAAAAAAA\n" + id + " 5000")
	for _, text := range []string{
		"", "here", "here ", "here x 1 1\nx", "here " + id + " 0 1\nx", "here " + id + " 99999999999999999999 1\nx", "here BBBBBBBBBB 1 9999\nx", "here BBBBBBBBBB 1 -1\n",
		"left", "left x", "call", "call AAAAAAAAAA 1", "list AAAAAAAAAA 1 2 1\n", "list AAAAAAAAAA 1 1 1\nx\n\n", "say", "gone", "gone " + id, "who", strings.Repeat("x", 100_000),
	} {
		say(text)
	}
	// Nobody answers for them.
	for i := range 20 {
		say(fmt.Sprintf("here GHOST%05d 1 5\nghost", i))
	}
	waitFor(t, "the ghosts", func() bool { return !book.is("true") })
	waitFor(t, "their end", func() bool { return book.is("true") })
	if got := book.departures(); got != 21 {
		t.Errorf("%d departures, want those of 20 ghosts, and one that was forged", got)
	}
}

func TestPresenceThatIsNotPermittedIsTold(t *testing.T) {
	s := startServer(t, permitting(only([]string{"_INBOX.>"}, []string{"_INBOX.>"})))
	h := openHub(t, hub.Config{Servers: []string{as("u", s)}})
	told := complaints(h)
	p := h.Scope("room").Presence()
	if err := p.Join("x"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-told:
		if !errors.Is(err, hub.ErrPermission) || !strings.Contains(err.Error(), "_KH.here.room") {
			t.Errorf("%v", err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("nobody is told")
	}
	if err := p.Ready(soon(t)); err != nil {
		t.Error(err)
	}
}

// Scopes that were left cost nothing any more.
func TestPresenceEnds(t *testing.T) {
	s := startServer(t, nil)
	h := openHub(t, brief(s))
	before := atRest(t, s, h)
	for i := range 100 {
		p := h.Scope(fmt.Sprint("room", i)).Presence()
		stop, err := p.OnChange(func(hub.PresenceChange) {})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(p.Join(i), p.Ready(soon(t)), p.Leave()); err != nil {
			t.Fatal(err)
		}
		p.Members()
		stop()
	}
	resting(t, s, before)
}
