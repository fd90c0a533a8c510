package hub

import (
	"sync"
	"time"
)

// State is where a hub stands between its program and the servers.
type State string

const (
	// StateDisconnected: not connecting, before Connect or after Close.
	StateDisconnected State = "disconnected"
	// StateConnecting: looking for a server, also after a connection was lost.
	StateConnecting State = "connecting"
	// StateConnected: messages flow.
	StateConnected State = "connected"
	// StateError: gave up, as the configuration demands; Status().LastError says why.
	StateError State = "error"
)

// Status is what a hub knows of itself at a moment.
type Status struct {
	State      State
	Server     string        // without credentials; "" without a connection
	Via        string        // "configured" or "leaf"; "" without a connection
	RTT        time.Duration // as last measured
	MaxPayload int           // bytes; 0 without a connection
	Standby    string        // the server of the second connection, without credentials; "" without one
	Moves      int           // planned changes of server that were made
	Reconnects int           // connections after a loss
	// Subscriptions on the wire, and bytes that wait for a connection.
	Subscriptions int
	PendingBytes  int
	// Missing is how many messages did not come to subscriptions and will not, as OnMissing tells.
	Missing uint64
	// Repairing is how many streams of messages wait for one that is missing and was asked for.
	Repairing int
	Phase     Phase // of the move that is being made; "" at rest
	Isolated  bool  // the server is not of one system with the configured ones
	LastError error // of the last attempt to connect or move that failed
}

// A Phase is where a move stands. See docs/moves.md.
type Phase string

const (
	// PhaseConnect: connecting to the new server.
	PhaseConnect Phase = "connect"
	// PhaseJoin: subscribing there, too, and waiting until the old server knows of it.
	PhaseJoin Phase = "join"
	// PhaseLeave: unsubscribing from the old server, until it brings nothing more.
	PhaseLeave Phase = "leave"
	// PhaseDone: the hub is on the new server.
	PhaseDone Phase = "done"
)

// Move is a change of server, or the failure of one.
type Move struct {
	From, To string // without credentials; From is "" for the first connection
	Via      string // how To became known: "configured" or "leaf"
	// Reason is "connect", "requested", "leaf found", "leaf leaving", "server leaving",
	// "leaf changed", "leaf cut off", "leaf lost", "server lost", "faster" or "earlier in the list".
	Reason string
	// Planned: the old connection was alive all the time.
	Planned bool
	// Isolated: the two servers are not one system, so that what others publish on the one is
	// not heard on the other.
	Isolated bool
	Phase    Phase         // how far it came
	Took     time.Duration // from the decision, connecting included
	Held     time.Duration // the part of it in which what the hub published was held back
	Trip     time.Duration // how long a message took from the one server's link to the other's, at most
	Overlap  time.Duration // the part of it in which both servers had the hub's subscriptions
	Err      error         // why the hub stayed where it was
}

// observers calls functions back, in the order of their registration, each event on the
// hub's one goroutine for that.
type observers[T any] struct {
	mu   sync.Mutex
	list []*func(T)
}

func (o *observers[T]) add(fn func(T)) (stop func()) {
	o.mu.Lock()
	defer o.mu.Unlock()
	p := &fn
	o.list = append(o.list, p)
	return func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		for i, other := range o.list {
			if other == p {
				o.list = append(o.list[:i:i], o.list[i+1:]...)
				return
			}
		}
	}
}

// notify calls all; one that panics keeps no other from being called.
func (o *observers[T]) notify(event T, failed func(panicked any)) {
	o.mu.Lock()
	list := o.list
	o.mu.Unlock()
	for _, fn := range list {
		func() {
			defer func() {
				if p := recover(); p != nil {
					failed(p)
				}
			}()
			(*fn)(event)
		}()
	}
}

// An eventQueue is what waits for the observers, so that nothing that carries messages ever
// waits for one.
type eventQueue struct {
	mu       sync.Mutex
	nonEmpty sync.Cond
	waiting  []func()
	closed   bool
}

// Limits of what waits for observers that lag behind: eventsKept of what may be dropped, changesKept of
// what tells where the hub is, of which there are a few a second at most.
const (
	eventsKept  = 256
	changesKept = 64 << 10
)

// put adds an event, unless limit (0: none) wait already.
func (q *eventQueue) put(event func(), limit int) (kept bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || limit > 0 && len(q.waiting) >= limit {
		return false
	}
	q.waiting = append(q.waiting, event)
	q.nonEmpty.Signal()
	return true
}

// run tells the events until close, and those that wait then.
func (q *eventQueue) run() {
	for {
		q.mu.Lock()
		for len(q.waiting) == 0 && !q.closed {
			q.nonEmpty.Wait()
		}
		batch := q.waiting
		q.waiting = nil
		q.mu.Unlock()
		if len(batch) == 0 {
			return
		}
		for _, event := range batch {
			event()
		}
	}
}

func (q *eventQueue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.nonEmpty.Signal()
}
