package main

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kinopio-hub/kinopio-hub/hub"
	"github.com/kinopio-hub/kinopio-hub/transport"
)

// A session is one hub of the page. What the batches say is done in their order: at once, by the
// call that brings them, where nothing has to wait, and else by a goroutine, the commander, which
// may wait, for backpressure, without holding up JavaScript. Only dispose goes past it.
type session struct {
	id     uint32
	out    outbox
	dialer transport.Dialer
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup // the commander and what it started
	asking atomic.Int32   // requests that wait for their answer

	mu       sync.Mutex
	some     sync.Cond // queue or disposed changed
	queue    [][]byte
	busy     bool // the commander executes
	disposed bool
	hub      *hub.Hub                    // nil before a successful open
	requests map[uint32]func()           // that may be cancelled
	asked    map[uint32]chan credentials // of the authenticator, by the id of its row
	asks     uint32
	unacked  []receipt // published, not settled, in order

	// Of who executes.
	calm     bool // nothing was started that has still to run
	subjects []string
	subs     map[uint32]*hub.Subscription
	msgs     []hub.OutMsg
	healthy  bool // health is reported

	answers answers
}

// receipt is a publish whose ack row is still to come.
type receipt struct {
	id uint32
	*hub.Receipt
}

func newSession(id uint32, dialer transport.Dialer, notify func()) *session {
	s := &session{
		id:       id,
		dialer:   dialer,
		requests: map[uint32]func(){},
		asked:    map[uint32]chan credentials{},
		subjects: []string{""}, // id 0 is no subject
		subs:     map[uint32]*hub.Subscription{},
	}
	s.out.notify = notify
	s.some.L = &s.mu
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.wg.Go(s.command)
	return s
}

// take does what a batch says, or lets the commander do it; the batch is then the session's. It
// does not wait, and is not called side by side. With more what it sends may stay for the next
// batch. calm says that no goroutine has anything to do because of it.
func (s *session) take(batch []byte, more bool) (calm bool) {
	if s.mayExecute() {
		s.calm = true
		done, quiet := s.hub.Burst(more, func() { s.do(batch) })
		if done {
			return quiet && s.calm
		}
	}
	s.enqueue(batch)
	return false
}

// mayExecute says that nothing is before a batch that comes now.
func (s *session) mayExecute() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hub != nil && len(s.queue) == 0 && !s.busy && !s.disposed
}

// enqueue hands a batch to the commander.
func (s *session) enqueue(batch []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.disposed {
		return
	}
	s.queue = append(s.queue, batch)
	s.some.Signal()
}

// dispose ends the hub whatever the commander is doing; the row rowClosed follows when
// everything has ended. It does not wait.
func (s *session) dispose() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.disposed {
		return
	}
	s.disposed = true
	s.queue = nil
	s.some.Signal()
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
func (s *session) current() *hub.Hub {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hub
}

// command is the commander.
func (s *session) command() {
	for {
		s.mu.Lock()
		for len(s.queue) == 0 && !s.disposed {
			s.some.Wait()
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

func (s *session) do(batch []byte) {
	if err := s.execute(batch); err != nil {
		s.out.fail(rowError, 0, err)
	}
	inputs.put(batch)
}

// errNotOpen: the configuration was refused, and JavaScript already knows why.
var errNotOpen = errors.New("the hub is not open")

func (s *session) execute(batch []byte) error {
	r := reader{b: batch}
	for len(r.b) > 0 && s.ctx.Err() == nil {
		op := r.word()
		s.calm = s.calm && (op == opPublish || op == opRequest || op == opRespond || op == opSubject)
		switch op {
		case opOpen:
			s.open(r.bytes(r.word()))
		case opSubject:
			id := r.word()
			if text := r.bytes(r.word()); !r.bad && id == uint32(len(s.subjects)) {
				s.subjects = append(s.subjects, string(text))
			} else {
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
			s.subscribe(id, s.subjects[subject], flags, hub.SubOptions{Queue: queue, Max: int(limit), Inline: true})
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

func (s *session) open(config []byte) {
	h, err := openHub(s, config)
	if err != nil {
		s.out.fail(rowDone, 0, err)
		return
	}
	s.mu.Lock()
	s.hub = h
	s.mu.Unlock()
}

// publish sends s.msgs, all or none.
func (s *session) publish(id uint32) {
	if s.hub == nil {
		s.out.fail(rowAckFailed, id, errNotOpen)
		return
	}
	s.settle(id, s.hub.Publish(s.msgs...))
	clear(s.msgs)
}

// settle adds the ack row of id once r is settled.
func (s *session) settle(id uint32, r *hub.Receipt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Settled() {
		s.ack(id, r.Err())
		return
	}
	s.calm = false
	s.unacked = append(s.unacked, receipt{id, r})
	if len(s.unacked) == 1 && !s.disposed {
		s.wg.Go(s.awaitReceipts)
	}
}

func (s *session) ack(id uint32, err error) {
	if err != nil {
		s.out.fail(rowAckFailed, id, err)
	} else {
		s.out.ack(id)
	}
}

// awaitReceipts ends when nothing is left unsettled.
func (s *session) awaitReceipts() {
	for {
		s.mu.Lock()
		first := s.unacked[0]
		s.mu.Unlock()
		select {
		case <-first.Done():
		case <-s.ctx.Done():
			return // JavaScript has rejected everything itself
		}
		s.ack(first.id, first.Err())
		s.mu.Lock()
		s.unacked = s.unacked[1:]
		empty := len(s.unacked) == 0
		if empty {
			s.unacked = nil
		}
		s.mu.Unlock()
		if empty {
			return
		}
	}
}

func (s *session) subscribe(id uint32, subject string, flags uint32, opts hub.SubOptions) {
	if s.hub == nil {
		s.out.fail(rowRefused, id, errNotOpen)
		return
	}
	withSubject, serve := flags&flagSubject != 0, flags&flagServe != 0
	sub, err := s.hub.Subscribe(subject, opts, func(m *hub.Message) {
		var answer uint32
		if m.Reply != "" {
			answer = s.answers.keep(m.Responder(), serve)
		}
		s.out.message(rowMessage, id, answer, m, withSubject)
	})
	if err != nil {
		s.out.fail(rowRefused, id, err)
		return
	}
	s.subs[id] = sub
	if flags&flagReady != 0 {
		s.goRow(rowReady, rowRefused, id, 0, sub.Ready)
	}
}

func (s *session) request(id uint32, m hub.OutMsg, timeout time.Duration, mayCancel bool) {
	if s.hub == nil {
		s.out.fail(rowFailed, id, errNotOpen)
		return
	}
	s.asking.Add(1)
	over := false // with s.mu held
	cancel := s.hub.Request(m, timeout, func(reply *hub.Message, err error) {
		s.asking.Add(-1)
		if mayCancel {
			s.mu.Lock()
			over = true
			delete(s.requests, id)
			s.mu.Unlock()
		}
		if err != nil {
			s.out.fail(rowFailed, id, err)
		} else {
			s.out.message(rowReply, id, 0, reply, false)
		}
	})
	if mayCancel {
		s.mu.Lock()
		if !over {
			s.requests[id] = cancel
		}
		s.mu.Unlock()
	}
}

// requestMany adds a message row for each answer, and a done row when no more are waited for.
func (s *session) requestMany(id uint32, m hub.OutMsg, window time.Duration, most int) {
	if s.hub == nil {
		s.out.fail(rowDone, id, errNotOpen)
		return
	}
	s.hub.RequestMany(m, window, most,
		func(answer *hub.Message) { s.out.message(rowMessage, id, 0, answer, true) },
		func(err error) {
			if err != nil {
				s.out.fail(rowDone, id, err)
			} else {
				s.out.text(rowDone, id, 0, "")
			}
		})
}

// drain ends a subscription when all that the server has sent to it is in rows.
func (s *session) drain(id, subscription uint32) {
	sub := s.subs[subscription]
	if sub == nil {
		s.out.text(rowDone, id, 0, "") // it has ended
		return
	}
	delete(s.subs, subscription)
	s.goRow(rowDone, rowDone, id, 0, sub.Drain)
}

func (s *session) cancelRequest(id uint32) {
	s.mu.Lock()
	cancel := s.requests[id]
	s.mu.Unlock()
	if cancel != nil {
		cancel()
	}
}

func (s *session) respond(id, answer uint32, m hub.OutMsg) {
	responder, ok := s.answers.take(answer)
	if !ok {
		s.out.fail(rowAckFailed, id, hub.ErrNoReply)
		return
	}
	s.settle(id, responder.Respond(m))
}

func (s *session) run(id, command uint32, timeout time.Duration) {
	h := s.hub
	if h == nil {
		s.out.fail(rowDone, id, errNotOpen)
		return
	}
	switch command {
	case cmdConnect:
		if err := h.Connect(); err != nil {
			s.out.fail(rowDone, id, err)
		} else {
			s.out.text(rowDone, id, 0, "")
		}
	case cmdConnected:
		s.goRow(rowDone, rowDone, id, timeout, h.Connected)
	case cmdReconnect:
		s.goRow(rowDone, rowDone, id, timeout, h.Reconnect)
	case cmdFlush:
		s.goRow(rowDone, rowDone, id, timeout, h.Flush)
	case cmdLocalNetwork:
		s.goRow(rowDone, rowDone, id, timeout, func(ctx context.Context) error {
			_, err := h.RequestLocalNetwork(ctx) // what came of it is in the status
			return err
		})
	case cmdHealth:
		if !s.healthy {
			s.healthy = true
			h.OnHealth(func(health hub.Health) { s.out.text(rowHealth, 0, 0, healthJSON(health)) })
		}
		s.out.text(rowDone, id, 0, "")
	}
}

// goRow runs wait on a goroutine, bounded by timeout if there is one, and adds the row done,
// or failed with its error.
func (s *session) goRow(done, failed, id uint32, timeout time.Duration, wait func(context.Context) error) {
	s.wg.Go(func() {
		ctx := s.ctx
		if timeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, timeout)
			defer cancel()
		}
		if err := wait(ctx); err != nil {
			s.out.fail(failed, id, err)
		} else {
			s.out.text(done, id, 0, "")
		}
	})
}
