package main

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
	"github.com/kinopio-hub/kinopio-hub/v3/internal/bridge"
	"github.com/kinopio-hub/kinopio-hub/v3/transport"
)

// A pageHub is one hub of the page. What the batches say is done in their order: at once, by the
// call that brings them, where nothing has to wait, and else by a goroutine, the commander, which
// may wait, for backpressure, without holding up JavaScript. Only dispose goes past it.
type pageHub struct {
	id               uint32
	out              rowBuffer
	dialer           transport.Dialer
	ctx              context.Context
	cancel           context.CancelFunc
	wg               sync.WaitGroup // the commander and what it started
	requestsInFlight atomic.Int32   // requests that wait for their answer

	mu          sync.Mutex
	changed     sync.Cond // queue or disposed changed
	queue       [][]byte
	busy        bool // the commander executes
	disposed    bool
	hub         *hub.Hub                    // nil before a successful open
	requests    map[uint32]func()           // that may be cancelled
	authWaiting map[uint32]chan credentials // of the authenticator, by the id of its row
	authSerial  uint32
	unacked     []receipt // published, not settled, in order

	// Of who executes.
	idle     bool // nothing was started that has still to run
	subjects []string
	subs     map[uint32]*hub.Subscription
	msgs     []hub.OutMsg
	healthy  bool // health is reported

	answers answers
}

// receipt is a publish whose ack row is still to come.
type receipt struct {
	id uint32
	bridge.Receipt
}

func newPageHub(id uint32, dialer transport.Dialer, notify func()) *pageHub {
	s := &pageHub{
		id:          id,
		dialer:      dialer,
		requests:    map[uint32]func(){},
		authWaiting: map[uint32]chan credentials{},
		subjects:    []string{""}, // id 0 is no subject
		subs:        map[uint32]*hub.Subscription{},
	}
	s.out.notify = notify
	s.changed.L = &s.mu
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.wg.Go(s.command)
	return s
}

// take does what a batch says, or lets the commander do it; the batch is then its own. It
// does not wait, and is not called side by side. With more what it sends may stay for the next
// batch. idle says that no goroutine has anything to do because of it.
func (s *pageHub) take(batch []byte, more bool) (idle bool) {
	if s.mayExecute() {
		s.idle = true
		done, quiet := functions.Burst(s.hub, more, func() { s.do(batch) })
		if done {
			return quiet && s.idle
		}
	}
	s.enqueue(batch)
	return false
}

// mayExecute says that nothing is before a batch that comes now.
func (s *pageHub) mayExecute() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hub != nil && len(s.queue) == 0 && !s.busy && !s.disposed
}

// enqueue hands a batch to the commander.
func (s *pageHub) enqueue(batch []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.disposed {
		return
	}
	s.queue = append(s.queue, batch)
	s.changed.Signal()
}

// dispose ends the hub whatever the commander is doing; the row rowClosed follows when
// everything has ended. It does not wait.
func (s *pageHub) dispose() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.disposed {
		return
	}
	s.disposed = true
	s.queue = nil
	s.changed.Signal()
	s.cancel() // ends the hub, and whatever the commander waits for
	go func() {
		s.wg.Wait()
		if h := s.current(); h != nil {
			_ = h.Close() // waits; an error cannot be
		}
		s.out.text(rowClosed, 0, 0, "")
	}()
}

// current is the hub, or nil before it is open.
func (s *pageHub) current() *hub.Hub {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hub
}

// command is the commander.
func (s *pageHub) command() {
	for {
		s.mu.Lock()
		for len(s.queue) == 0 && !s.disposed {
			s.changed.Wait()
		}
		if s.disposed {
			s.mu.Unlock()
			return
		}
		batch := s.queue[0]
		s.queue, s.busy = s.queue[1:], true
		s.mu.Unlock()
		s.do(batch)
		s.mu.Lock()
		s.busy = false
		s.mu.Unlock()
	}
}

func (s *pageHub) do(batch []byte) {
	if err := s.execute(batch); err != nil {
		s.out.fail(rowError, 0, err)
	}
	inputs.put(batch)
}

// errNotOpen: the configuration was refused, and JavaScript already knows why.
var errNotOpen = errors.New("the hub is not open")

func (s *pageHub) execute(batch []byte) error {
	r := reader{b: batch}
	for len(r.b) > 0 && s.ctx.Err() == nil {
		op := r.word()
		s.idle = s.idle && (op == opPublish || op == opRequest || op == opRespond || op == opSubject)
		switch op {
		case opOpen:
			s.open(r.bytes(r.word()))
		case opSubject:
			id := r.word()
			switch text, known := r.bytes(r.word()), uint32(len(s.subjects)); {
			case !r.bad && id == known:
				s.subjects = append(s.subjects, string(text))
			case !r.bad && id > 0 && id < known:
				s.subjects[id] = string(text) // it was another's
			default:
				return errBatch
			}
		case opPublish:
			id, count := r.word(), r.word()
			s.msgs = s.msgs[:0]
			for range count {
				if s.msgs = append(s.msgs, r.message(s.subjects)); r.bad {
					return errBatch
				}
			}
			s.publish(id)
		case opSubscribe:
			id, subject, flags, limit := r.word(), r.word(), r.word(), r.word()
			queue := string(r.bytes(r.word()))
			if r.bad || subject >= uint32(len(s.subjects)) {
				return errBatch
			}
			s.subscribe(id, s.subjects[subject], flags, hub.SubOptions{Queue: queue, Max: int(limit), Arrival: flags&flagArrival != 0})
		case opUnsubscribe:
			id := r.word()
			if sub := s.subs[id]; sub != nil {
				delete(s.subs, id)
				_ = sub.Unsubscribe() // ErrDisposed needs no row
			}
		case opRequest:
			id, timeout := r.word(), r.word()
			if m := r.message(s.subjects); !r.bad {
				s.request(id, m, time.Duration(timeout&^flagCancel)*time.Millisecond, timeout&flagCancel != 0)
			}
		case opCancel:
			s.cancelRequest(r.word())
		case opRespond:
			id, answer := r.word(), r.word()
			if m := r.message(s.subjects); !r.bad {
				s.respond(id, answer, m)
			}
		case opCommand:
			id, command, timeout := r.word(), r.word(), r.word()
			if !r.bad {
				s.run(id, command, time.Duration(timeout)*time.Millisecond)
			}
		case opRequestMany:
			id, window, most := r.word(), r.word(), r.word()
			if m := r.message(s.subjects); !r.bad {
				s.requestMany(id, m, time.Duration(window)*time.Millisecond, int(most))
			}
		case opDrain:
			if id, subscription := r.word(), r.word(); !r.bad {
				s.drain(id, subscription)
			}
		case opCredentials:
			if id, text := r.word(), r.bytes(r.word()); !r.bad {
				s.answerAuth(id, text)
			}
		default:
			return errBatch
		}
		if r.bad {
			return errBatch
		}
	}
	return nil
}
