package multicast

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"
)

var epoch = time.Unix(1e9, 0)

// passes counts what a limiter allows of count packets in a time.
func passes(l *limiter, source netip.Addr, from time.Time, count int, within time.Duration) (n int) {
	for i := range count {
		if l.allow(source, from.Add(within*time.Duration(i)/time.Duration(count))) {
			n++
		}
	}
	return n
}

func TestASourceMaySendItsRateAndABurst(t *testing.T) {
	a, b := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("10.0.0.2")
	var l limiter
	if n := passes(&l, a, epoch, 80000, 10*time.Second); n < 10*sourceRate || n > sourceBurst+10*sourceRate {
		t.Errorf("%d of 8000 packets a second for 10 s passed", n)
	}
	if n := passes(&l, b, epoch.Add(10*time.Second), 50, time.Second); n != 50 {
		t.Errorf("%d of another source's 50 packets passed", n)
	}
	if n := passes(&l, a, epoch.Add(time.Minute), 100, time.Millisecond); n != 100 {
		t.Errorf("%d of 100 packets passed after a pause", n)
	}
	if !l.allow(a, epoch) {
		t.Error("a clock that goes back blocks a source")
	}
}

func TestForgedSourcesTakeNothingFromKnownOnes(t *testing.T) {
	known := netip.MustParseAddr("10.0.0.1")
	var l limiter
	l.allow(known, epoch)
	passed := 0
	for i := range 80000 { // 8000 a second, each with an address of its own
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], 0x0b000000+uint32(i))
		now := epoch.Add(time.Duration(i) * time.Second / 8000)
		if l.allow(netip.AddrFrom4(a), now) {
			passed++
		}
		if i%8000 == 0 && !l.allow(known, now) {
			t.Fatal("the known source is limited")
		}
	}
	if most := maxSources + strangersBurst + 10*strangersRate; passed > most {
		t.Errorf("%d forged packets passed, want at most %d", passed, most)
	}
	if len(l.sources) > maxSources {
		t.Errorf("%d sources are remembered", len(l.sources))
	}
	late := epoch.Add(10*time.Second + 2*sourceIdle)
	if l.allow(known, late); len(l.sources) != maxSources {
		t.Errorf("%d sources are remembered", len(l.sources))
	}
	if l.allow(netip.MustParseAddr("10.9.9.9"), late); len(l.sources) != 2 {
		t.Errorf("%d sources are remembered after they fell silent, want the known one and the new one", len(l.sources))
	}
}

func TestARepetitionIsOneForHalfASecond(t *testing.T) {
	var r repeats
	for _, tt := range []struct {
		data  string
		after time.Duration
		want  bool
	}{
		{"a", 0, false},
		{"a", time.Millisecond, true},
		{"b", time.Millisecond, false},
		{"a", repeatWindow, true},
		{"a", repeatWindow + 2, false},
		{"a", repeatWindow + 3, true},
	} {
		if got := r.again([]byte(tt.data), epoch.Add(tt.after)); got != tt.want {
			t.Errorf("%s after %v: %v", tt.data, tt.after, got)
		}
	}
	for i := range 3 * maxRepeats {
		r.again(fmt.Append(nil, i), epoch.Add(time.Second))
	}
	if len(r.seen) > maxRepeats || len(r.ring) != len(r.seen) {
		t.Errorf("%d are remembered, %d in order", len(r.seen), len(r.ring))
	}
}
