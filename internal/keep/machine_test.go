package keep

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// Somebody who was away for a while, and whose offer went nowhere, names a beat that was heard long ago: whoever hears that
// offers what it has, as what has changed since is offered no more.
func TestBeatOfWhoMissedOthersIsNoticed(t *testing.T) {
	for missed, want := range map[int]bool{0: false, 1: false, 2: true, 5: true} {
		serial := 0
		name := func() string {
			serial++
			return fmt.Sprintf("%07d", serial)
		}
		m := New(name, func(n time.Duration) time.Duration { return n / 2 }, name)
		now := time.Second
		m.Online(now)
		m.Follow(now, "a.x")
		m.Unanswered(now, "a.x")
		m.Set(now, "a.x", []byte("1"), false, 1)
		beats := func(n int, before string) string {
			for range n {
				now += 5 * time.Second
				token := name()
				m.HeardBeat(now, token+" "+before)
				before = token
				m.Tick(now + 2*time.Second)
			}
			return before
		}
		known := beats(3, "0") // After these nothing is offered any more.
		beats(missed, known)
		m.Effects()
		now += 5 * time.Second
		m.HeardBeat(now, name()+" "+known)
		m.Tick(now + 2*time.Second)
		offered := false
		for _, e := range m.Effects() {
			offered = offered || e.Kind == Offer && strings.Contains(string(e.Data), "a.x")
		}
		if offered != want {
			t.Errorf("after %d beats that the sender has missed: offered %v, want %v", missed, offered, want)
		}
	}
}
