package multicast

import (
	"hash/maphash"
	"net/netip"
	"time"
)

// What a source may send. A node sends one heartbeat a second on each interface, and a host
// may run a few dozen nodes.
const (
	sourceRate  = 100 // packets a second
	sourceBurst = 200
	maxSources  = 512
	sourceIdle  = 30 * time.Second // after which its place is free

	// All sources that found no place share this, so that a flood with forged addresses
	// takes nothing from those which were there before.
	strangersRate  = 500
	strangersBurst = 500

	repeatWindow = 500 * time.Millisecond
	maxRepeats   = 4096
)

// A bucket holds tokens, one a packet, and fills with time.
type bucket struct {
	tokens float64
	at     time.Time
}

func (b *bucket) take(now time.Time, rate, burst float64) bool {
	if b.at.IsZero() {
		b.tokens = burst
	} else if d := now.Sub(b.at); d > 0 {
		b.tokens = min(burst, b.tokens+d.Seconds()*rate)
	}
	b.at = now
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// limiter says which packets are too many. It belongs to one goroutine.
type limiter struct {
	sources   map[netip.Addr]*bucket
	strangers bucket
	swept     time.Time
}

// allow tells whether a source may send one more packet.
func (l *limiter) allow(source netip.Addr, now time.Time) bool {
	b := l.sources[source]
	if b == nil {
		if len(l.sources) >= maxSources && now.Sub(l.swept) > time.Second {
			l.swept = now
			for a, b := range l.sources {
				if now.Sub(b.at) > sourceIdle {
					delete(l.sources, a)
				}
			}
		}
		if len(l.sources) >= maxSources {
			return l.strangers.take(now, strangersRate, strangersBurst)
		}
		if l.sources == nil {
			l.sources = map[netip.Addr]*bucket{}
		}
		b = &bucket{}
		l.sources[source] = b
	}
	return b.take(now, sourceRate, sourceBurst)
}

// repeats remembers what came of late. It belongs to one goroutine.
type repeats struct {
	seed maphash.Seed
	seen map[uint64]time.Time
	ring []uint64 // of seen, oldest first
}

// again tells whether the same bytes came within the window, and remembers them if not.
func (r *repeats) again(data []byte, now time.Time) bool {
	if r.seen == nil {
		r.seed, r.seen = maphash.MakeSeed(), map[uint64]time.Time{}
	}
	for len(r.ring) > 0 && (len(r.ring) >= maxRepeats || now.Sub(r.seen[r.ring[0]]) > repeatWindow) {
		delete(r.seen, r.ring[0])
		r.ring = r.ring[1:]
	}
	sum := maphash.Bytes(r.seed, data)
	if _, ok := r.seen[sum]; ok {
		return true
	}
	r.seen[sum] = now
	r.ring = append(r.ring, sum)
	return false
}
