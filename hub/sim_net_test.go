//go:build !js

package hub

import (
	"container/heap"
	"math/rand/v2"
	"sync"
	"time"
)

// A simNet is a system of NATS servers in memory, and the network between them, for tests in which time
// is synctest's: a cluster's servers have routes to one another, and leaf servers hang on bridges, as a tree.
// Servers deal with each connection's lines in their order, and know of subscriptions elsewhere only
// what they have been told, by the ways that messages go, too.
//
// One goroutine does everything that happens in it, one thing after the other, so that it depends
// on little else than its seed.
type simNet struct {
	mu      sync.Mutex
	rng     *rand.Rand
	start   time.Time
	events  simEvents
	serial  uint64
	wake    chan struct{} // the next event is another one
	ended   chan struct{}
	over    bool
	calls   []func() // to be made without the lock
	servers []*simServer
	trace   func(format string, args ...any) // nil: nobody reads it

	published func(w *simWire, m *OutMsg) // told of everything that a connection takes
	sabotage  func(m *simMsg) bool        // a server drops m silently: the checks must notice
	twice     func(m *simMsg) bool        // or sends it twice
	runs      bool                        // messages in a row are handed on as runs
	returned  map[string]bool             // payloads that a route has brought back where they had been
	unrouted  map[string]bool             // payloads for which no member of a queue group was left where they were sent
	hops      int                         // messages from one place to the next
}

type simEvent struct {
	at     time.Duration
	serial uint64 // what was planned first happens first
	do     func()
}

type simEvents []simEvent

func (e simEvents) Len() int { return len(e) }
func (e simEvents) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].serial < e[j].serial
}
func (e simEvents) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *simEvents) Push(x any)   { *e = append(*e, x.(simEvent)) }
func (e *simEvents) Pop() any {
	last := len(*e) - 1
	x := (*e)[last]
	(*e)[last] = simEvent{}
	*e = (*e)[:last]
	return x
}

func newSimNet(rng *rand.Rand) *simNet {
	return &simNet{rng: rng, start: time.Now(), wake: make(chan struct{}, 1), ended: make(chan struct{}), returned: map[string]bool{}, unrouted: map[string]bool{}}
}

func (n *simNet) now() time.Duration { return time.Since(n.start) }

// at plans do. n.mu is held, here and in what follows.
func (n *simNet) at(at time.Duration, do func()) {
	n.serial++
	if len(n.events) == 0 || at < n.events[0].at {
		notify(n.wake)
	}
	heap.Push(&n.events, simEvent{at, n.serial, do})
}

// after plans do for when d has passed, for callers without the lock.
func (n *simNet) after(d time.Duration, do func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.at(n.now()+d, do)
}

func (n *simNet) logf(format string, args ...any) {
	if n.trace != nil {
		n.trace(format, args...)
	}
}

// random is a time up to d.
func (n *simNet) random(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return time.Duration(n.rng.Int64N(int64(d)))
}

// run is the net's goroutine, until stop.
func (n *simNet) run() {
	defer close(n.ended)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		n.mu.Lock()
		for !n.over && len(n.events) > 0 && n.events[0].at <= n.now() {
			heap.Pop(&n.events).(simEvent).do()
			for len(n.calls) > 0 {
				calls := n.calls
				n.calls = nil
				n.mu.Unlock()
				for _, call := range calls {
					call()
				}
				n.mu.Lock()
			}
		}
		wait := time.Hour
		if len(n.events) > 0 {
			wait = n.events[0].at - n.now()
		}
		over := n.over
		n.mu.Unlock()
		if over {
			return
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-n.wake:
		}
	}
}

func (n *simNet) stop() {
	n.mu.Lock()
	n.over = true
	n.mu.Unlock()
	notify(n.wake)
	<-n.ended
}

// A simPipe is one direction of a connection: what goes in comes out in order, later, or is lost with
// everything behind it.
type simPipe struct {
	n             *simNet
	delay, jitter time.Duration
	perByte       time.Duration // what the bandwidth makes of it
	free          time.Duration // when the line has been free last, for it
	last          time.Duration // when what went in last comes out
	stalled       time.Duration // until then nothing comes out of what goes in
	lost          int           // times that all was lost
}

func (p *simPipe) send(size int, do func()) {
	n := p.n
	n.hops++
	at := n.now()
	if p.perByte > 0 {
		p.free = max(p.free, at) + time.Duration(size)*p.perByte
		at = p.free
	}
	at = max(at+p.delay+n.random(p.jitter), p.last, p.stalled)
	p.last = at
	lost := p.lost
	n.at(at, func() {
		if p.lost == lost {
			do()
		}
	})
}

// lose loses what is in the pipe.
func (p *simPipe) lose() { p.lost++ }

type simKey struct{ subject, queue string }
