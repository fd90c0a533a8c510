package hub

import (
	"bytes"
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// A Variable is one subject that values, requests and answers go through. All variables of
// one name in a hub are the same one.
type Variable struct {
	hub     *Hub
	subject string
	err     error
	noPub   error // why nothing can be published on it: wildcards

	spare []byte // a former value that nobody has, for the next; the outbox is locked

	// Of the time of its lease: it was used to publish, request or serve; somebody has read the value.
	wrote, looked atomic.Bool
	lease         lease

	mu             sync.Mutex // never held while the outbox is being locked
	rule           valueRule
	lent           bool          // others have the value's data, which is then never written
	first          chan struct{} // closed while there is a value that is not stale
	firstKnown     bool          // it is closed
	stale          bool          // the subject was not followed for a while, and nothing has come since
	kept           keptValue     // what is known of it beside
	losses         uint64        // of links, that rule knows of
	fencing        bool          // it is being found out whether echoes still come
	denied         error         // why nothing is heard
	denialReported bool          // of that
	uses           uses
	distinct       bool
	tracking       *Subscription
	watchers       list.List // of *watcher
}

// VariableOptions changes how a variable behaves for this hub.
type VariableOptions struct {
	// Distinct keeps values that equal the present one from being published.
	Distinct bool
}

// Variable returns the variable name in s. See [Hub.Scope] for names that cannot be. A
// variable whose subject has no wildcard follows its subject from now on: see [Variable.Value].
func (s *Scope) Variable(name string, options ...VariableOptions) *Variable {
	err := errors.Join(s.err, checkName(name, true))
	v := s.hub.variable(s.name+"."+name, err)
	if one(options).Distinct {
		v.mu.Lock()
		v.distinct = true
		v.mu.Unlock()
	}
	return v
}

func (h *Hub) variable(subject string, err error) *Variable {
	if err == nil {
		err = h.checkLength(subject, 0)
	}
	if err != nil {
		return &Variable{hub: h, subject: subject, err: err, first: make(chan struct{})}
	}
	v := h.all().get(subject)
	h.keeping()
	v.mention()
	return v
}

// Subject is v's name on the wire.
func (v *Variable) Subject() string { return v.subject }

// Value returns the last value that was seen on v, whoever published it, or nil before the
// first. A variable follows its subject from its creation on, with one exception: one that
// was used to publish, request or serve and whose value nobody has read costs no
// subscription; it follows from its first Value, Ready or Watch on, and while it has a
// callback ([Variable.Sub]). What this hub publishes is the value at once. When nobody uses a variable any more,
// that ends: see [Variable.Release].
func (v *Variable) Value() any {
	v.read()
	return v.hub.decode(v.lend().data)
}

// lend is the value, for somebody who may keep it.
func (v *Variable) lend() payload {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.lent = true
	return v.rule.now()
}

// Ready waits until it is known what v's value is, or that it has none: nobody is there who knows one. That takes
// 2 s at most from when there is a connection. Its error is ErrDisposed or ctx's, or that of the name.
func (v *Variable) Ready(ctx context.Context) error {
	if v.err != nil {
		return v.err
	}
	if err := checkName(v.subject, false); err != nil {
		return err
	}
	v.read()
	v.mu.Lock()
	v.uses.waiting++
	v.used(true)
	if v.kept.known == nil {
		v.kept.known = make(chan struct{})
		if v.kept.isKnown {
			close(v.kept.known)
		}
	}
	first, known := v.first, v.kept.known
	v.mu.Unlock()
	defer func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.uses.waiting--
		v.used(false)
	}()
	start := time.Now()
	select {
	case <-first:
		return nil
	case <-known:
		return nil
	case <-v.hub.ctx.Done():
		return ErrDisposed
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", v.subject, ctxError(ctx, errNoValue, start))
	}
}

var errNoValue = errors.New("it is not known yet whether there is a value")

// tellDenied reports, once, that the server does not permit to follow a value that somebody has asked for.
func (v *Variable) tellDenied() {
	v.mu.Lock()
	err := v.denied
	if !(v.uses.asked || v.watchers.Len() > 0) || v.denialReported {
		err = nil
	}
	v.denialReported = v.denialReported || err != nil
	v.mu.Unlock()
	if err != nil {
		v.hub.report(err)
	}
}

// heard takes a message of the subject. No copy: what an engine hands over it does not use again.
func (v *Variable) heard(data []byte) {
	v.change(func(r *valueRule) {
		v.kept.bare = true
		v.fresh()
		if r.heard(data) {
			v.fence()
		}
	})
}

// change lets do something to the value, and tells of what comes of it.
func (v *Variable) change(do func(*valueRule)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.notice()
	before := v.rule.now()
	do(&v.rule)
	v.lent = true // at least it may be
	v.notifyWatchers(before)
}

// notice lets the rule know of links that broke. v.mu is held, here and below.
func (v *Variable) notice() {
	if losses := v.hub.losses.Load(); losses != v.losses {
		v.losses = losses
		v.rule.lost()
	}
}

// notifyWatchers tells the watchers if the value is another one than before.
func (v *Variable) notifyWatchers(before payload) {
	v.tellAbsent(before)
	now := v.rule.now()
	v.tellFirst(now.known)
	if now.known != before.known || !bytes.Equal(now.data, before.data) {
		v.tell(now, false)
	}
}

// fenceAfter is how long an echo may take before the server is asked whether it still comes.
const fenceAfter = 100 * time.Millisecond

// fence finds out whether the echoes of what was sent so far still come: they come before the server's answer
// to what is sent now.
func (v *Variable) fence() {
	if v.fencing {
		return
	}
	id := v.rule.serial
	v.fencing = v.hub.spawn(func() {
		timer := time.NewTimer(fenceAfter)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-v.hub.ctx.Done():
			return
		}
		ctx, cancel := context.WithTimeout(v.hub.ctx, v.hub.cfg.Timeout)
		defer cancel()
		// Without an answer in time nothing says that they come, either.
		_ = v.hub.flush(ctx)
		v.change(func(r *valueRule) {
			v.fencing = false
			r.passed(id)
		})
	})
}

// spareBytes bounds the former value that is kept to be written over by the next one.
const spareBytes = 1 << 20

// publish makes the data of m the value and sends it. The outbox is locked over both, so that values and
// messages have one order for all who publish on v. Unless id is 0, settle has to be told what becomes of r.
func (v *Variable) publish(ctx context.Context, m *[1]OutMsg, distinct bool) (r *receipt, id uint64) {
	data := m[0].Data
	if !v.wrote.Load() {
		v.written()
	}
	o := &v.hub.outbox
	if err := o.enter(ctx, 0); err != nil {
		return failedReceipt(err), 0
	}
	defer o.mu.Unlock()
	v.mu.Lock()
	v.notice()
	before, lent := v.rule.now(), v.lent || len(v.rule.pending) > 0
	same := before.known && bytes.Equal(before.data, data)
	if same && (distinct || v.distinct) {
		v.mu.Unlock()
		return handedOver, 0
	}
	copied := before.data
	if !same {
		copied = append(v.spare[:0], data...)
		v.spare = nil
		v.lent = v.watchers.Len() > 0
	}
	echo := v.echoes()
	v.kept.bare = true
	v.fresh()
	id = v.rule.sent(copied, echo)
	v.notifyWatchers(before)
	v.mu.Unlock()
	r = o.take(m[:])
	switch {
	case r == handedOver && !echo:
		v.mu.Lock()
		v.rule.went(id)
		if !same && !lent && len(v.rule.pending) == 0 && cap(before.data) <= spareBytes {
			v.spare = before.data
		}
		v.mu.Unlock()
	case r.Settled():
		v.settle(id, r.Err())
	default:
		return r, id
	}
	return r, 0
}

// settle notes what has become of a message that was published.
func (v *Variable) settle(id uint64, err error) {
	v.change(func(r *valueRule) {
		if err != nil {
			r.failed(id)
		} else {
			r.went(id)
		}
	})
}
