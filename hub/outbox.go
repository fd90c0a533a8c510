package hub

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/natswire"
)

// The outbox is where everything that the hub sends goes through, in order: straight to the
// current link, or, while there is none or a move holds it, into a bounded queue.
type outbox struct {
	hub *Hub

	mu      sync.Mutex
	link    *link // nil: messages wait
	waiting []*receipt
	bytes   int
	timer   *time.Timer
	closed  bool
	crowd   int           // publishers that wait for room on the link
	turn    chan struct{} // has room for the one of them that is next
	sent    uint64        // messages that were handed to a link; answers go past the outbox
	size    uint64        // of their payloads, in bytes

	publisher  uint64 // the hub's name in numbers
	index      uint64 // of the newest stream
	streams    map[string]*outStream
	latest     *outStream // that was used last
	store      store
	storeEmpty bool // the store has become empty
}

// Publish hands messages to the current link, in order and all or none. It does not wait
// for a connection: without one, or during a move, they wait (their data is copied) for
// at most Config.Timeout, and if that is too short OnError has an ErrDisconnected: [Variable.Pub] returns it, and
// [Hub.Flush] waits until all has gone. It may wait while the
// connection is congested. The caller may reuse the data when Publish has returned. An error, such as ErrInvalidName,
// ErrMessageTooLarge or that more than Config.PendingLimit would wait, says that nothing was sent.
func (h *Hub) Publish(msgs ...OutMsg) error { return h.reportLater(h.send(msgs...)) }

// reportLater is r's error; one that r has later, OnError gets.
func (h *Hub) reportLater(r *receipt) error {
	if r == handedOver {
		return nil
	}
	o := &h.outbox
	o.mu.Lock()
	defer o.mu.Unlock()
	if r.Settled() {
		return r.err
	}
	subject := r.msgs[0].Subject
	r.failed = func(err error) {
		if !errors.Is(err, ErrDisposed) {
			h.report(fmt.Errorf("publish on %s: %w", subject, err))
		}
	}
	return nil
}

// send is Publish that says what becomes of the messages.
func (h *Hub) send(msgs ...OutMsg) *receipt {
	checked := ""
	for i := range msgs {
		if subject := msgs[i].Subject; subject != checked || subject == "" {
			if err := checkName(subject, false); err != nil {
				return failedReceipt(err)
			}
			checked = subject
		}
		if err := h.checkMessage(&msgs[i]); err != nil {
			return failedReceipt(err)
		}
		if err := h.checkLength(msgs[i].Subject, len(msgs[i].Reply)); err != nil {
			return failedReceipt(err)
		}
	}
	return h.outbox.send(msgs)
}

// send is Hub.send for subjects that are known to be good. It keeps nothing of msgs, so that
// a caller's slice needs no allocation.
func (o *outbox) send(msgs []OutMsg) *receipt {
	if len(msgs) == 0 {
		o.mu.Lock() // nothing needs no room
	} else if err := o.enter(context.Background(), 0); err != nil {
		return failedReceipt(err)
	}
	defer o.mu.Unlock()
	return o.take(msgs)
}

// take is send with o.mu held.
func (o *outbox) take(msgs []OutMsg) *receipt {
	if o.closed {
		return failedReceipt(ErrDisposed)
	}
	if o.link == nil {
		return o.wait(&receipt{}, msgs)
	}
	if err := tooLarge(o.link, msgs); err != nil {
		return failedReceipt(err)
	}
	for i := range msgs {
		if err := o.publish(&msgs[i]); err != nil {
			if !isDisconnected(err) {
				return failedReceipt(err)
			}
			o.link = nil
			return o.wait(&receipt{}, msgs[i:])
		}
	}
	return handedOver
}

// sendRequest sends msg for q, unless q has ended before. If it was not sent, q is told why.
func (o *outbox) sendRequest(ctx context.Context, limit time.Duration, msg OutMsg, q *request) {
	requests := &o.hub.requests
	if err := o.enter(ctx, limit); err != nil {
		if errors.Is(err, context.DeadlineExceeded) && !o.isOpen() {
			err = fmt.Errorf("%w: no server for %v: %w", ErrDisconnected, limit, context.DeadlineExceeded)
		}
		requests.finish(q, nil, err)
		return
	}
	defer o.mu.Unlock()
	if o.closed {
		requests.finish(q, nil, ErrDisposed)
		return
	}
	if o.link != nil {
		if err := o.link.openInbox(); err != nil {
			requests.finish(q, nil, err)
			return
		}
		if !requests.sending(q, o.link, &msg) {
			return
		}
		err := tooLarge(o.link, []OutMsg{msg})
		if err == nil {
			err = o.publish(&msg)
		}
		if err != nil {
			requests.finish(q, nil, err)
		}
		return
	}
	r := &receipt{msgs: []OutMsg{msg}, failed: func(err error) { requests.finish(q, nil, err) }}
	r.sending = func(l *link) bool { return requests.sending(q, l, &r.msgs[0]) }
	if r = o.wait(r, r.msgs); r.err != nil {
		requests.finish(q, nil, r.err)
	}
}

// wait queues r with a copy of msgs. o.mu is held.
func (o *outbox) wait(r *receipt, msgs []OutMsg) *receipt {
	size := 0
	for _, m := range msgs {
		size += len(m.Data) + len(m.Subject)
	}
	if o.bytes+size > o.hub.cfg.PendingLimit {
		return failedReceipt(fmt.Errorf("%w: %d bytes wait for a connection and %d more exceed the limit of %d", ErrDisconnected, o.bytes, size, o.hub.cfg.PendingLimit))
	}
	r.msgs = make([]OutMsg, len(msgs))
	for i, m := range msgs {
		m.Data = append([]byte(nil), m.Data...)
		r.msgs[i] = m
	}
	r.done = make(chan struct{})
	r.deadline = time.Now().Add(o.hub.cfg.Timeout)
	r.size = size
	o.bytes += size
	o.waiting = append(o.waiting, r)
	if len(o.waiting) == 1 {
		o.arm()
	}
	return r
}

// settle ends r's waiting. o.mu is held.
func (o *outbox) settle(r *receipt, err error) {
	o.bytes -= r.size
	r.err = err
	r.msgs = nil
	if err != nil && r.failed != nil {
		r.failed(err)
	}
	close(r.done)
}

// transmit gives r to the link; false means that the link has died and r must wait on.
func (o *outbox) transmit(r *receipt) bool {
	if r.sending != nil {
		if err := o.link.openInbox(); err != nil {
			o.settle(r, err)
			return true
		}
		if !r.sending(o.link) {
			o.settle(r, ErrTimeout)
			return true
		}
	}
	if err := tooLarge(o.link, r.msgs); err != nil {
		o.settle(r, err)
		return true
	}
	for i := range r.msgs {
		if err := o.publish(&r.msgs[i]); err != nil {
			if isDisconnected(err) && r.sending == nil {
				return false
			}
			o.settle(r, err)
			return true
		}
	}
	o.settle(r, nil)
	return true
}

// hold lets everything wait from now on.
func (o *outbox) hold() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.link = nil
}

// open sends what waits, in order, and what comes from now on, through l.
func (o *outbox) open(l *link) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return
	}
	o.link = l
	for len(o.waiting) > 0 {
		if !o.transmit(o.waiting[0]) {
			o.link = nil
			break
		}
		o.waiting = o.waiting[1:]
	}
	if len(o.waiting) == 0 {
		o.waiting = nil
	}
	o.arm()
}

// arm sets the timer to the first deadline. o.mu is held.
func (o *outbox) arm() {
	if o.timer != nil {
		o.timer.Stop()
		o.timer = nil
	}
	if len(o.waiting) > 0 && !o.closed {
		o.timer = time.AfterFunc(time.Until(o.waiting[0].deadline), o.expire)
	}
}

// expire fails what has waited too long.
func (o *outbox) expire() {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := time.Now()
	for len(o.waiting) > 0 && !o.waiting[0].deadline.After(now) {
		o.settle(o.waiting[0], fmt.Errorf("%w: no server for %v", ErrDisconnected, o.hub.cfg.Timeout))
		o.waiting = o.waiting[1:]
	}
	o.arm()
}

func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
	o.link = nil
	for _, r := range o.waiting {
		o.settle(r, ErrDisposed)
	}
	o.waiting = nil
	o.arm()
}

func (o *outbox) pending() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.bytes
}

// withdraw takes r back if it still waits.
func (o *outbox) withdraw(r *receipt, why error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, other := range o.waiting {
		if other == r {
			o.waiting = append(o.waiting[:i:i], o.waiting[i+1:]...)
			o.settle(r, why)
			o.arm()
			return
		}
	}
}

// wait returns when r is settled. When ctx ends first, r is withdrawn, so that the error
// means that it was not sent.
func (h *Hub) wait(ctx context.Context, r *receipt) error {
	if r == handedOver {
		return nil
	}
	start := time.Now()
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		h.outbox.withdraw(r, ctxError(ctx, ErrDisconnected, start))
		<-r.done
		return r.err
	}
}

// publish hands one message to the link, with a number if the server takes that much. o.mu is held.
func (o *outbox) publish(m *OutMsg) error {
	if err := o.hub.checkLength(m.Subject, len(m.Reply)); err != nil {
		return err
	}
	var s *outStream
	if !o.hub.cfg.NoNumbers && m.number.Stream == 0 && !m.answer && numbered(m.Subject) && m.size()+natswire.NumberSize <= o.link.limit {
		s = o.stream(m.Subject)
		one := *m // the caller's stays as it is
		one.number, one.line = number{Stream: s.id, Count: s.count + 1}, s.line
		m = &one
	}
	err := o.link.wire.Publish(m.wire())
	if err != nil {
		return err
	}
	o.sent++
	o.size += uint64(len(m.Data))
	if s != nil {
		s.counted()
		s.used = o.sent
		o.store.keep(s, m)
		if o.storeEmpty {
			o.storeEmpty = false
			o.hub.repairs.published()
		}
	}
	return nil
}

// traffic is how many messages, and bytes of payloads, have been handed to links.
func (o *outbox) traffic() (messages, bytes uint64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.sent, o.size
}

// tooLarge checks a batch before any of it is sent.
func tooLarge(l *link, msgs []OutMsg) error {
	for i := range msgs {
		if size := msgs[i].size(); size > l.limit {
			return fmt.Errorf("%w: %s: %d bytes, and %s takes %d", ErrMessageTooLarge, msgs[i].Subject, size, l.target, l.limit)
		}
	}
	return nil
}
