//go:build !js

package keep

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// FuzzStamp: what is read is written again as it was.
func FuzzStamp(f *testing.F) {
	f.Add("0")
	f.Add("1f.Abcdef9-+")
	f.Add("1fffffffffffff.0000000")
	f.Fuzz(func(t *testing.T, text string) {
		s, ok := ParseStamp(text)
		switch {
		case ok && s.String() != text:
			t.Errorf("%q is read as %+v, which is written %q", text, s, s)
		case !ok && s != Stamp{}:
			t.Errorf("%q is refused, and yet %+v", text, s)
		case s.Counter > MostCounter:
			t.Errorf("%q has the counter %d", text, s.Counter)
		}
	})
}

// FuzzMachineHears: whatever others in the account say about values, in whatever order, a value is never replaced by an
// older one, nothing is kept of names that nobody follows, and one sentence makes a bounded number of others.
func FuzzMachineHears(f *testing.F) {
	f.Add("offer 1.AAAAAAA a.b|2.BBBBBBB a.c\nbeat x y\nheard a.b 2.AAAAAAA hello\nanswer a.b 3.AAAAAAA- \nset a.b x\nasked a.b\ntick 9000\n")
	f.Add("set d 1\nset d 2\noffer 1fffffffffffff.zzzzzzz d\nheard d 1fffffffffffff.zzzzzzz+ \nset d 3\nunanswered a.b\noffline\nonline\ntick 60000\n")
	f.Add("beat a b\nbeat c a\nbeat  \nbeat a\nrefused a.c\noffer 0 a.b\noffer x\n")
	f.Fuzz(func(t *testing.T, script string) {
		count := 0
		token := func() string { count++; return fmt.Sprintf("%07d", count) }
		m := New(token, func(d time.Duration) time.Duration { return d / 2 }, token)
		names := []string{"a.b", "a.c", "d"}
		for _, name := range names {
			m.Follow(0, name)
		}
		m.Online(0)
		var now time.Duration
		newest := map[string]Version{}
		steps := 0
		for line := range strings.Lines(script) {
			if steps++; steps > 200 {
				break
			}
			now += 100 * time.Millisecond
			verb, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
			name, rest2, _ := strings.Cut(rest, " ")
			said, data, _ := strings.Cut(rest2, " ")
			stamp, ok := ParseStamp(said)
			switch {
			case verb == "offer":
				m.HeardOffer(now, strings.ReplaceAll(rest, "|", "\n"))
			case verb == "beat":
				m.HeardBeat(now, rest)
			case verb == "heard" && ok && stamp.Counter > 0:
				m.Heard(now, name, stamp, []byte(data))
			case verb == "answer" && ok:
				m.Answered(now, name, stamp, []byte(data))
			case verb == "unanswered":
				m.Unanswered(now, name)
			case verb == "asked":
				m.Asked(name)
			case verb == "set" && m.cells[name] != nil && !m.Exhausted(name):
				m.Set(now, name, []byte(rest2), rest2 == "", uint64(steps))
			case verb == "refused":
				m.Refused(now, name, true)
			case verb == "offline":
				m.Offline()
			case verb == "online":
				m.Online(now)
			case verb == "tick":
				for range 20 {
					now += time.Second
					m.Tick(now)
				}
			}
			m.Tick(now)
			if did := len(m.Effects()); did > 400 {
				t.Fatalf("%q makes %d effects", line, did)
			}
			if len(m.cells) > len(names) || len(m.heard) > beatsKept {
				t.Fatalf("%d names and %d beats are kept", len(m.cells), len(m.heard))
			}
			for name, c := range m.cells {
				if c.stamp.Version.Before(newest[name]) {
					t.Fatalf("%s: %v after %v", name, c.stamp, newest[name])
				}
				newest[name] = c.stamp.Version
			}
			if next := m.Next(); next != 0 && next < now-time.Hour {
				t.Fatalf("it wants to be told %v at %v", next, now)
			}
		}
	})
}
