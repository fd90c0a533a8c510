package hub

import (
	"errors"
	"sync"
)

// A Variable is one subject that values, requests and answers go through. All variables of
// one name in a hub are the same one.
type Variable struct {
	hub     *Hub
	subject string
	err     error

	mu       sync.Mutex
	data     []byte // the last payload seen; nil before the first
	read     bool   // somebody has asked for the value
	tracking *Subscription
}

// Variable returns the variable name in s. See [Hub.Scope] for names that cannot be. A
// variable whose subject has no wildcard follows its subject from now on: see [Variable.Value].
func (s *Scope) Variable(name string) *Variable {
	err := errors.Join(s.err, checkName(name, true))
	return s.hub.variable(s.name+"."+name, err)
}

func (h *Hub) variable(subject string, err error) *Variable {
	if err != nil {
		return &Variable{hub: h, subject: subject, err: err}
	}
	h.mu.Lock()
	v := h.variables[subject]
	if v == nil {
		v = &Variable{hub: h, subject: subject}
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
// subscription; it follows from its first Value on. The value that this hub published is
// there at once.
func (v *Variable) Value() any {
	v.track(true)
	v.mu.Lock()
	data := v.data
	v.mu.Unlock()
	return v.hub.decode(data)
}

// track begins to follow the subject, if it can be followed.
func (v *Variable) track(read bool) {
	if v.err != nil || checkName(v.subject, false) != nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.read = v.read || read
	if v.tracking != nil || (!read && v.data != nil) {
		return
	}
	// The error can only be that the hub has been closed.
	v.tracking, _ = v.hub.Subscribe(v.subject, SubOptions{Inline: true}, func(m *Message) { v.keep(m.Data) })
}

// written says that the program uses v from the other side.
func (v *Variable) written() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.read || v.tracking == nil {
		return
	}
	v.tracking.Unsubscribe()
	v.tracking = nil
}

// keep stores a payload as the value.
func (v *Variable) keep(data []byte) {
	own := make([]byte, len(data))
	copy(own, data)
	v.mu.Lock()
	v.data = own
	v.mu.Unlock()
}
