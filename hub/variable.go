package hub

import (
	"bytes"
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

	target atomic.Bool // it was used to publish, request or serve

	mu       sync.Mutex // never held while the outbox is being locked
	data     []byte     // the last payload; never written while lent
	lent     bool       // others have data
	known    bool       // there was one
	first    chan struct{}
	read     bool // somebody has asked for the value
	subs     int  // plain callbacks on the subject, beside which following it costs nothing
	distinct bool
	tracking *Subscription
	unechoed []unechoed
	watchers []*watcher
}

// unechoed is an own publish whose echo has not come back yet. Until it does, what arrives
// was put in order before it by the server: the value is already newer than that.
type unechoed struct {
	data   []byte
	losses uint64 // of links, when it was published: with one more the echo may never come
	at     time.Time
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
	h.mu.Lock()
	v := h.variables[subject]
	if v == nil {
		v = &Variable{hub: h, subject: subject, noPub: checkName(subject, false), first: make(chan struct{})}
		h.variables[subject] = v
	}
	h.mu.Unlock()
	v.track(false)
	return v
}

// Subject is v's name on the wire.
func (v *Variable) Subject() string { return v.subject }

// Value returns the last value that was seen on v, whoever published it, or nil before the
// first. A variable follows its subject from its creation on, with one exception: one that
// was used to publish, request or serve and whose value nobody has read costs no
// subscription; it follows from its first Value, Ready or Watch on, and while it has a
// callback ([Variable.Sub]). What this hub publishes is the value at once.
func (v *Variable) Value() any {
	v.track(true)
	v.mu.Lock()
	data := v.data
	v.lent = true
	v.mu.Unlock()
	return v.hub.decode(data)
}

// Ready waits until v has a value. Its error is ErrDisposed or ctx's, or that of the name.
func (v *Variable) Ready(ctx context.Context) error {
	if v.err != nil {
		return v.err
	}
	if err := checkName(v.subject, false); err != nil {
		return err
	}
	v.track(true)
	start := time.Now()
	select {
	case <-v.first:
		return nil
	case <-v.hub.ctx.Done():
		return ErrDisposed
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", v.subject, ctxError(ctx, errNoValue, start))
	}
}

var errNoValue = errors.New("no value yet")

// track begins to follow the subject, if it can be followed.
func (v *Variable) track(read bool) {
	if v.err != nil || v.noPub != nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.read = v.read || read
	v.follow()
}

// follow subscribes to the subject if there is a reason to, or ends that. v.mu is held.
func (v *Variable) follow() {
	wanted := v.read || v.subs > 0 || !v.target.Load()
	if !wanted && v.tracking != nil {
		v.tracking.Unsubscribe()
		v.tracking = nil
	}
	if !wanted || v.tracking != nil {
		return
	}
	// The error can only be that the hub has been closed.
	v.tracking, _ = v.hub.Subscribe(v.subject, SubOptions{Inline: true}, func(m *Message) { v.heard(m.Data) })
}

// written says that the program uses v from the other side.
func (v *Variable) written() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.target.Store(true)
	v.follow()
}

// listened counts a plain callback that has begun or ended.
func (v *Variable) listened(by int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.subs += by
	if v.err == nil && checkName(v.subject, false) == nil {
		v.follow()
	}
}

// heard takes a message of the subject.
func (v *Variable) heard(data []byte) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.unechoed) > 0 {
		losses := v.hub.losses.Load()
		for i, own := range v.unechoed {
			if own.losses == losses && bytes.Equal(own.data, data) {
				v.unechoed = v.unechoed[i+1:]
				return
			}
		}
		if last := v.unechoed[len(v.unechoed)-1]; last.losses == losses && time.Since(last.at) < v.hub.cfg.Timeout {
			return
		}
		v.unechoed = nil
	}
	v.set(data) // no copy: what an engine hands over it does not use again
	v.lent = true
}

// set changes the value and tells the watchers. v.mu is held.
func (v *Variable) set(data []byte) {
	if v.known && bytes.Equal(v.data, data) {
		return
	}
	v.data, v.lent = data, len(v.watchers) > 0
	if !v.known {
		v.known = true
		close(v.first)
	}
	for _, w := range v.watchers {
		w.put(data)
	}
}

// spareBytes bounds the former value that is kept to be written over by the next one.
const spareBytes = 1 << 20

// publish makes the data of m the value and sends it. The outbox is locked over both, so that values and
// messages have one order for all who publish on v.
func (v *Variable) publish(ctx context.Context, m *[1]OutMsg, distinct bool) *Receipt {
	data := m[0].Data
	if !v.target.Load() {
		v.written()
	}
	o := &v.hub.outbox
	if err := o.enter(ctx, 0); err != nil {
		return failedReceipt(err)
	}
	defer o.mu.Unlock()
	v.mu.Lock()
	before, lent, known := v.data, v.lent, v.known
	same := known && bytes.Equal(before, data)
	if same && (distinct || v.distinct) {
		v.mu.Unlock()
		return handedOver
	}
	own := before
	if !same {
		own = append(v.spare[:0], data...)
		v.spare = nil
		v.set(own)
	}
	if v.tracking != nil && !v.hub.cfg.NoEcho {
		v.lent = true
		v.unechoed = append(v.unechoed, unechoed{own, v.hub.losses.Load(), time.Now()})
	}
	v.mu.Unlock()
	r := o.take(m[:])
	switch {
	case r != handedOver && r.Err() != nil && known:
		v.revert(own, before)
	case !same && !lent && cap(before) <= spareBytes:
		v.spare = before
	}
	return r
}

// revert takes back a value that could not be sent, unless there is a newer one.
func (v *Variable) revert(own, before []byte) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if n := len(v.unechoed); n > 0 && bytes.Equal(v.unechoed[n-1].data, own) {
		v.unechoed = v.unechoed[:n-1]
	}
	if bytes.Equal(v.data, own) {
		v.set(before)
		v.lent = true // perhaps it was before
	}
}
