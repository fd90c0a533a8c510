package leaf

import (
	"net/netip"
	"slices"
	"time"
)

// halfOpen is a connection that is no client yet: before TLS, in it, or before its request.
type halfOpen struct {
	at     netip.AddrPort
	since  time.Time
	silent bool // Nothing has come by it.
}

// halfOpenRules say how many there may be and for how long.
type halfOpenRules struct {
	silence time.Duration
	most    int
}

// sweepEvery is the time between two looks at who has connected to the WebSocket listener.
const sweepEvery = time.Second

// mostHalfOpen takes a quarter of the descriptors that this process may have.
func mostHalfOpen() int { return min(mostOpen, max(mostOpenShare, descriptors()/4)) }

// cut says which of those that wait are to be ended: who has been silent for too long, what one
// address has beyond its share, the youngest first, and what is too much in all, the oldest first, as
// who means it is done in a moment. Who is on this machine has other ways to be in its way.
func (r halfOpenRules) cut(waiting []halfOpen, now time.Time) (ends []netip.AddrPort) {
	share := max(1, r.most/mostOpenShare)
	slices.SortFunc(waiting, func(a, b halfOpen) int {
		if order := a.since.Compare(b.since); order != 0 {
			return order
		}
		return a.at.Compare(b.at)
	})
	from := map[netip.Addr]int{}
	var left []netip.AddrPort
	for _, w := range waiting {
		who := sourceOf(w.at.Addr())
		switch {
		case w.silent && now.Sub(w.since) >= r.silence, !who.IsLoopback() && from[who] >= share:
			ends = append(ends, w.at)
		default:
			from[who]++
			left = append(left, w.at)
		}
	}
	if more := len(left) - r.most; more > 0 {
		ends = append(ends, left[:more]...)
	}
	return ends
}
