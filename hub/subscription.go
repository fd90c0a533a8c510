package hub

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/bridge"
)

// SubOptions says how a subscription gets its messages. Its zero value gets every message.
type SubOptions struct {
	// Queue makes the subscription a member of a queue group: each message goes to one member.
	Queue string
	// Max ends the subscription after so many messages. 0: no end.
	Max int
	// Conflate is for values, not for events: while the callback runs only the latest message
	// is kept for it. It needs one subject, without wildcards, and no Queue.
	Conflate bool
	// Arrival calls back in the order of arrival: no message waits for one that is before it and has
	// not come, after a loss for example; that one is called back later, when it has been asked for. Without
	// it each publisher's messages come in their order, and wait at most Config.Repair.Wait.
	Arrival bool

	// inline calls back on the goroutine that reads the socket, with a Message that is valid
	// during the call only. The callback must neither wait nor call the hub.
	inline bool
	// awaited says that Ready will be called, once, which then has the error if the server does not
	// permit the subscription. Otherwise OnError has it.
	awaited bool
	// onRun, if set, may be called, as with inline, instead of the callback, for all messages of a
	// run. It needs inline, and does not go with Max.
	onRun func(*bridge.Run)
	// served, if set, gets the messages as requests: what has come is answered, also after Unsubscribe.
	served *serving
	// control makes it the hub's own.
	control bool
	// denied, if set, is called instead of OnError if the server does not permit it.
	denied func(*PermissionError)
}

// A Subscription is one callback on one subject. It lives, on whatever server the hub is,
// until Unsubscribe, its Max, or the end of the hub.
type Subscription struct {
	hub     *Hub
	key     entryKey
	entry   *entry
	place   int // among entry's; the registry's
	inline  bool
	arrival bool
	control bool                   // the hub's own
	awaited atomic.Bool            // until Ready returns
	denied  func(*PermissionError) // may be nil
	fn      func(*Message)
	onRun   func(*bridge.Run) // nil: fn gets every message

	max       int64
	delivered atomic.Int64

	served  *serving // nil: it is no service
	mailbox mailbox
	ended   func() // called when it ends, unless the hub does
	end     sync.Once
	over    atomic.Bool   // no further call
	done    chan struct{} // closed when the last call has returned
}

// Subscribe calls fn with each message on subject, which may have the wildcards * and >, in
// the order of arrival. It does not wait for the server: see [Subscription.Ready]. A callback
// that panics is reported by OnError and gets the next message all the same.
func (h *Hub) Subscribe(subject string, opts SubOptions, fn func(*Message)) (*Subscription, error) {
	return h.subscribe(subject, opts, fn, func() {})
}

func (h *Hub) subscribe(subject string, opts SubOptions, fn func(*Message), ended func()) (*Subscription, error) {
	if err := checkName(subject, true); err != nil {
		return nil, err
	}
	if opts.Queue != "" {
		if err := checkQueue(opts.Queue); err != nil {
			return nil, err
		}
	}
	if err := h.checkLength(subject, len(opts.Queue)); err != nil {
		return nil, err
	}
	if fn == nil || opts.Max < 0 {
		return nil, fmt.Errorf("%w: subscribe %s: want a callback and Max from 0, got Max %d", ErrInvalidConfig, subject, opts.Max)
	}
	if opts.Conflate && (checkName(subject, false) != nil || opts.Queue != "") {
		return nil, fmt.Errorf("%w: subscribe %s: Conflate wants one subject, without wildcards, and no queue group", ErrInvalidConfig, subject)
	}
	if opts.onRun != nil && opts.Max > 0 {
		return nil, fmt.Errorf("%w: subscribe %s: runs go with no Max, got %d", ErrInvalidConfig, subject, opts.Max)
	}
	s := &Subscription{
		hub:     h,
		key:     entryKey{subject, opts.Queue},
		arrival: opts.Arrival,
		control: opts.control,
		inline:  opts.inline,
		fn:      fn,
		onRun:   opts.onRun,
		max:     int64(opts.Max),
		ended:   ended,
		denied:  opts.denied,
		served:  opts.served,
		done:    make(chan struct{}),
	}
	s.awaited.Store(opts.awaited)
	if !s.inline {
		s.mailbox.init()
		s.mailbox.latest = opts.Conflate
		if s.served != nil {
			s.mailbox.dropped = s.served.refuse
		}
		if !h.spawn(s.work) {
			return nil, ErrDisposed
		}
	}
	if err := h.registry.add(s); err != nil {
		s.finish()
		return nil, err
	}
	if opts.Queue == "" && !s.control {
		h.repairs.listen()
	}
	return s, nil
}

// listenTo is subscribe for the hub itself: fn is called with the intake's lock held.
func (h *Hub) listenTo(subject string, fn func(*Message)) *Subscription {
	return h.listenIn(subject, "", fn)
}

// listenIn is listenTo in a queue group.
func (h *Hub) listenIn(subject, queue string, fn func(*Message)) *Subscription {
	if h.checkLength(subject, len(queue)) != nil {
		return nil
	}
	s := &Subscription{hub: h, key: entryKey{subject, queue}, inline: true, control: true, fn: fn, ended: func() {}, done: make(chan struct{})}
	if h.registry.add(s) != nil {
		return nil
	}
	return s
}

// Subject is what was subscribed to.
func (s *Subscription) Subject() string { return s.key.subject }

// Done is closed when the subscription has ended and its last callback has returned; that of a service when what
// it took is answered.
func (s *Subscription) Done() <-chan struct{} { return s.done }

// Ready waits until the server knows of the subscription, so that a message which anyone
// publishes from now on arrives. Its error is a *[PermissionError] if the server does not permit that,
// ErrDisposed, or ctx's.
func (s *Subscription) Ready(ctx context.Context) error {
	err := s.hub.flush(ctx)
	if err == nil {
		err = s.hub.registry.denial(s)
	}
	if s.awaited.CompareAndSwap(true, false) {
		s.hub.registry.awaits(s.entry, -1)
	}
	return err
}

// Unsubscribe ends the subscription: no callback begins after it returns, except that a service still answers
// what has come. It may be called from the callback, and more than once.
func (s *Subscription) Unsubscribe() error {
	if s.finish() {
		s.hub.registry.remove(s)
	}
	return nil
}

// Drain ends the subscription without losing what the server has already sent to it: it
// returns when the last of that has been called back, or ctx has ended, which ends it at once. That of a
// service returns when all requests have been answered and the server has the answers; when ctx ends before, it
// says so, and handlers that run go on.
func (s *Subscription) Drain(ctx context.Context) error {
	start := time.Now()
	s.hub.registry.drain(s)
	err := s.hub.flush(ctx)
	s.hub.registry.remove(s)
	if err != nil || s.inline {
		s.finish()
		return err
	}
	s.mailbox.last()
	select {
	case <-s.done:
		s.finish()
		if s.served != nil {
			return s.hub.flush(ctx)
		}
		return nil
	case <-ctx.Done():
		s.finish()
		return ctxError(ctx, errDraining, start)
	}
}

var errDraining = errors.New("callbacks are still running")

// finish makes sure that no further callback begins.
func (s *Subscription) finish() (first bool) {
	s.end.Do(func() {
		first = true
		if s.served != nil && s.hub.ctx.Err() == nil {
			s.mailbox.last()
		} else {
			s.over.Store(true)
			if s.inline {
				close(s.done)
			} else {
				s.mailbox.close()
			}
		}
		s.hub.spawn(s.ended)
	})
	return first
}

// work is the goroutine of an ordinary callback.
func (s *Subscription) work() {
	defer close(s.done)
	for {
		batch, ok := s.mailbox.take()
		if !ok {
			if s.served != nil {
				s.served.wait(s.hub.ctx)
			}
			return
		}
		for _, m := range batch {
			s.run(m)
		}
		s.mailbox.reuse(batch)
	}
}

// run calls back once, unless the subscription has ended. idle says that neither has it ended nor
// anything gone wrong.
func (s *Subscription) run(m *Message) (idle bool) {
	if s.over.Load() {
		return true
	}
	last := false
	if s.max > 0 {
		n := s.delivered.Add(1)
		if n > s.max {
			return true
		}
		last = n == s.max
	}
	func() {
		defer s.rescue()
		s.fn(m)
		idle = !last
	}()
	if last && s.finish() {
		// The registry may be waiting for the gate of a link that this goroutine holds.
		s.hub.spawn(func() { s.hub.registry.remove(s) })
	}
	return idle
}

// rescue, deferred, reports a callback that panics.
func (s *Subscription) rescue() {
	if p := recover(); p != nil {
		s.hub.panicked("subscription "+s.key.subject, p)
	}
}

// Messages subscribes to subject and yields each message, in order, until the loop is left,
// ctx ends or the hub is closed. An error, ErrInvalidName for one, is yielded last and alone.
func (h *Hub) Messages(ctx context.Context, subject string, opts SubOptions) iter.Seq2[*Message, error] {
	return func(yield func(*Message, error) bool) {
		next := make(chan *Message)
		left := make(chan struct{})
		opts.inline = false
		s, err := h.Subscribe(subject, opts, func(m *Message) {
			select {
			case next <- m:
			case <-left:
			}
		})
		if err != nil {
			yield(nil, err)
			return
		}
		defer s.Unsubscribe()
		defer close(left)
		for {
			select {
			case m := <-next:
				if !yield(m, nil) {
					return
				}
			case <-s.Done():
				return
			case <-ctx.Done():
				return
			}
		}
	}
}
