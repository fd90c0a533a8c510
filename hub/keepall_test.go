//go:build !js

package hub_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// keeps opens a hub that keeps.
func keeps(t *testing.T, url string, o hub.KeepOptions) *hub.Keeper {
	t.Helper()
	k, err := openHub(t, hub.Config{Servers: []string{url}}).Keep(o)
	if err != nil || k.Ready(soon(t)) != nil {
		t.Fatal(err)
	}
	return k
}

// A value outlives the last program that knew it, and so does that it was deleted.
func TestKeeperRemembersWhatWasSet(t *testing.T) {
	s := startServer(t, nil)
	var mu sync.Mutex
	var changes []hub.KeptValue
	k := keeps(t, s.ClientURL(), hub.KeepOptions{Changed: func(v hub.KeptValue) {
		mu.Lock()
		defer mu.Unlock()
		changes = append(changes, v)
	}})
	first, err := hub.Open(t.Context(), hub.Config{Servers: []string{s.ClientURL()}})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"kept", "gone"} {
		if err := first.Scope("s").Variable(name).Set(soon(t), "value of "+name); err != nil {
			t.Fatal(err)
		}
	}
	if err := first.Scope("s").Variable("gone").Delete(soon(t)); err != nil {
		t.Fatal(err)
	}
	if err := first.Scope("s").Variable("event").Pub(soon(t), "no value"); err != nil || first.Flush(soon(t)) != nil {
		t.Fatal(err)
	}
	waitFor(t, "the keeper to hear of it", func() bool { mu.Lock(); defer mu.Unlock(); return len(changes) == 3 })
	first.Close()
	later := openHub(t, hub.Config{Servers: []string{s.ClientURL()}})
	for name, want := range map[string]any{"kept": "value of kept", "gone": nil, "event": nil} {
		v := later.Scope("s").Variable(name)
		if err := v.Ready(soon(t)); err != nil || v.Value() != want {
			t.Errorf("%s is %v (%v), want %v", name, v.Value(), err, want)
		}
	}
	if m := later.Scope("s").Variable("gone").Meta(); m.Exists || m.Counter != 2 {
		t.Errorf("what was deleted is %+v, want it known with its version", m)
	}
	if got := k.Status(); got.Values != 2 || got.Bytes != len("s.kept")+len("value of kept")+len("s.gone") || got.Evicted != 0 {
		t.Errorf("the keeper has %+v", got)
	}

	// Another one goes on with what this one has told.
	k.Close()
	second := keeps(t, s.ClientURL(), hub.KeepOptions{})
	mu.Lock()
	for _, v := range changes { // also older ones, after newer ones
		if err := second.Restore(v); err != nil {
			t.Error(err)
		}
	}
	if err := second.Restore(changes[0]); err != nil {
		t.Error(err)
	}
	mu.Unlock()
	later.Close()
	third := openHub(t, hub.Config{Servers: []string{s.ClientURL()}}).Scope("s").Variable("kept")
	if err := third.Ready(soon(t)); err != nil || third.Value() != "value of kept" {
		t.Errorf("after the keeper was replaced: %v, %v", third.Value(), err)
	}
}

// A keeper holds no more than it may: what has not changed for longest goes, and is told.
func TestKeeperIsBounded(t *testing.T) {
	s := startServer(t, nil)
	var mu sync.Mutex
	var gone []string
	k := keeps(t, s.ClientURL(), hub.KeepOptions{Patterns: []string{"s.*"}, MaxValues: 3, MaxBytes: 200, Evicted: func(subject string) {
		mu.Lock()
		defer mu.Unlock()
		gone = append(gone, subject)
	}})
	h := openHub(t, hub.Config{Servers: []string{s.ClientURL()}})
	set := func(scope, name string, size int) {
		t.Helper()
		if err := h.Scope(scope).Variable(name).Set(soon(t), make([]byte, size)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 3 {
		set("s", fmt.Sprint(i), 10)
	}
	set("s", "0", 11)
	set("other", "x", 10)
	set("s", "3", 10)
	evicted := func() string { mu.Lock(); defer mu.Unlock(); return fmt.Sprint(gone) }
	waitFor(t, "the first to go", func() bool { return evicted() == "[s.1]" })
	set("s", "4", 180)
	waitFor(t, "others to go for a large one", func() bool { return evicted() == "[s.1 s.2 s.0]" })
	if got := k.Status(); got.Values != 2 || got.Evicted != 3 || got.Bytes != 2*3+10+180 {
		t.Errorf("got %+v", got)
	}
	set("s", "5", 300)
	waitFor(t, "one that is larger than the limit to go, too", func() bool { return evicted() == "[s.1 s.2 s.0 s.3 s.4 s.5]" })
}

func TestKeeperSaysWhatItCannotTake(t *testing.T) {
	h := openHub(t, hub.Config{Servers: []string{startServer(t, nil).ClientURL()}})
	for _, o := range []hub.KeepOptions{{Patterns: []string{"a..b"}}, {MaxValues: -1}, {MaxBytes: -1}} {
		if k, err := h.Keep(o); err == nil {
			k.Close()
			t.Errorf("%+v was taken", o)
		}
	}
	k, err := h.Keep(hub.KeepOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []hub.KeptValue{{Subject: "a", Version: "x"}, {Subject: "a", Version: "0"}, {Subject: "a.*", Version: "1.aaaaaaa"}, {Subject: "a", Version: "1.aaaaaaa-"}} {
		if err := k.Restore(v); !errors.Is(err, hub.ErrInvalidValue) && !errors.Is(err, hub.ErrInvalidName) {
			t.Errorf("%+v: got %v", v, err)
		}
	}
}
