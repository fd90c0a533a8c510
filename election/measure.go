package election

import (
	"context"
	"math"
	"net"
	"sync"
	"time"
)

const (
	probeEvery    = 5 * time.Second
	probeFailures = 3  // Running, until a measured backbone counts as unreachable.
	probeMost     = 60 // Looks between two connections, at most: 5 minutes.
	bridgeLooks   = 12 // Of a bridge, the best of which counts: a minute.
)

// A pace says when the backbone is measured by a connection of its own. Each is a line in the log of a
// backbone that expects TLS, so an agent that knows the answer asks seldom: 5 s after a change, then at
// intervals that double up to 5 minutes. While its leaf has a bridge, that is measured and nothing else.
type pace struct {
	pause, left int // In looks: the next pause, and what is left of this one.
	last        RTT
	failures    int
	bridge      []RTT
}

func newPace() *pace { return &pace{last: Unmeasured, failures: probeFailures} } // The first result counts at once.

// due is asked at each look, every 5 s, and tells whether to connect now. hurry is that it matters at once:
// a leader is being looked for, or this agent is about to take over.
func (p *pace) due(hurry bool) bool {
	if hurry || p.failures > 0 {
		p.pause, p.left = 1, 0
	}
	if p.left--; p.left > 0 {
		return false
	}
	p.left = max(p.pause, 1)
	p.pause = min(max(2*p.pause, 1), probeMost)
	return true
}

// connected takes the result of a connection, and returns what to tell, if anything.
func (p *pace) connected(rtt RTT) (RTT, bool) {
	if rtt == Unmeasured {
		p.failures++
		return Unmeasured, p.failures >= probeFailures
	}
	if away := rtt - p.last; p.last == Unmeasured || away > advantage/2 || away < -advantage/2 {
		p.pause, p.left = 1, 1 // It has changed, and may be changing.
	}
	p.failures, p.last = 0, rtt
	return rtt, true
}

// bridged takes what the bridge measured, and returns the best of late: what a connection has to carry
// makes its answers late, and says nothing of the way.
func (p *pace) bridged(rtt RTT) RTT {
	if p.bridge = append(p.bridge, rtt); len(p.bridge) > bridgeLooks {
		p.bridge = p.bridge[1:]
	}
	best := rtt
	for _, r := range p.bridge {
		best = min(best, r)
	}
	p.failures, p.last = 0, best
	return best
}

// probe measures the backbone until ctx ends, in whole milliseconds: at this agent's bridge, which is
// Unmeasured without one, or else by TCP connections, of which the best of the list counts.
func probe(ctx context.Context, servers []string, bridge func() RTT, hurry func() bool, tell func(RTT)) {
	if len(servers) == 0 {
		return
	}
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	p := newPace()
	for {
		if rtt := bridge(); rtt != Unmeasured {
			tell(p.bridged(rtt))
		} else if p.bridge = nil; p.due(hurry()) {
			if rtt, say := p.connected(measure(ctx, servers)); say {
				tell(rtt)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func measure(ctx context.Context, servers []string) RTT {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	var mu sync.Mutex
	var all sync.WaitGroup
	best := Unmeasured
	for _, s := range servers {
		address, err := dialAddress(s)
		if err != nil {
			continue // Refused by normalize.
		}
		all.Go(func() {
			began := time.Now()
			conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
			if err != nil {
				return
			}
			rtt := RTT(math.Round(float64(time.Since(began)) / float64(time.Millisecond)))
			conn.Close()
			mu.Lock()
			defer mu.Unlock()
			if best == Unmeasured || rtt < best {
				best = rtt
			}
		})
	}
	all.Wait()
	return best
}
