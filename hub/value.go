package hub

import "bytes"

// A valueRule decides what the value of a variable is: what this hub has sent last, until servers have put it
// in order, and then what was heard last. It is pure; npm/src/value.ts is the same, and both play
// conformance/values.json.
//
// Until an own message has come back (its echo), what is heard was put in order before it by the server:
// the value is newer already. An own message that does not go out (failed), or that comes back to nobody
// (passed, denied), was never the value: the value is then what was heard last.
type valueRule struct {
	last    payload // that was heard
	settled payload // the value beside what is pending
	pending []own   // in the order in which they were sent
	bytes   int     // of pending
	serial  uint64
}

// A payload is known from the first message on, unless the value was deleted.
type payload struct {
	data  []byte
	known bool
}

// own is a message of this hub's that is not in order yet.
type own struct {
	payload
	id   uint64
	echo bool // it is expected to be heard
	gone bool // a connection has it
	set  bool // it has a version, as has whatever may take its place
}

// Of what is pending the oldest are forgotten beyond so many messages, or bytes if there is more than one:
// the newest are what the value depends on. An echo is looked for among the first echoWithin, as all come
// in order.
const (
	pendingKept  = 1024
	pendingBytes = 64 << 10
	echoWithin   = 16
)

// now is the value.
func (r *valueRule) now() payload {
	if n := len(r.pending); n > 0 {
		return r.pending[n-1].payload
	}
	return r.settled
}

// sent: this hub publishes data, of which it will hear if echo.
func (r *valueRule) sent(data []byte, echo bool) (id uint64) {
	return r.add(own{payload: payload{data, true}, echo: echo})
}

// set: this hub sets the value, or deletes it. Of several that were set only the last counts.
func (r *valueRule) set(p payload, echo bool) (id uint64) {
	r.remove(func(m *own) bool { return m.set })
	return r.add(own{payload: p, echo: echo, set: true})
}

func (r *valueRule) add(m own) (id uint64) {
	r.serial++
	m.id = r.serial
	r.pending = append(r.pending, m)
	r.bytes += len(m.data)
	for len(r.pending) > pendingKept || r.bytes > pendingBytes && len(r.pending) > 1 {
		r.drop(1)
	}
	return r.serial
}

// went: a connection has the message.
func (r *valueRule) went(id uint64) {
	for i := len(r.pending) - 1; i >= 0 && r.pending[i].id >= id; i-- {
		if r.pending[i].id == id {
			r.pending[i].gone = true
		}
	}
	r.settle()
}

// failed: the message does not go out.
func (r *valueRule) failed(id uint64) {
	r.remove(func(m *own) bool { return m.id == id })
	r.settle()
}

// denied: the server takes none of these messages.
func (r *valueRule) denied() {
	r.drop(len(r.pending))
	r.settled = r.last
}

// heard: a message has come. unsure says that it is not known whether it is older than the value: that is so
// until an echo has come, which may never be; passed says so.
func (r *valueRule) heard(data []byte) (unsure bool) { return r.echoed(payload{data, true}) }

// echoed is heard for what was set, or deleted, and is no newer than what is known: the hub's own, mostly.
func (r *valueRule) echoed(p payload) (unsure bool) {
	r.last = p
	r.settled = p
	for i := range r.pending[:min(len(r.pending), echoWithin)] {
		if m := &r.pending[i]; m.echo && m.known == p.known && bytes.Equal(m.data, p.data) {
			r.drop(i + 1)
			r.settle()
			return false
		}
	}
	for i := range r.pending {
		unsure = unsure || r.pending[i].echo && r.pending[i].gone
	}
	return unsure
}

// place: what was set has a later version than all that was set before. What this hub has published stays as it is.
func (r *valueRule) place(p payload) {
	r.last, r.settled = p, p
	r.remove(func(m *own) bool { return m.set })
}

// passed: what went up to id will not be heard any more.
func (r *valueRule) passed(id uint64) {
	r.remove(func(m *own) bool { return m.id <= id && m.gone })
	r.settle()
}

// lost: the connection broke. What it had may have arrived.
func (r *valueRule) lost() {
	for i := range r.pending {
		if m := &r.pending[i]; m.gone {
			r.settled = m.payload
		}
	}
	r.remove(func(m *own) bool { return m.gone })
}

// forget begins anew, with other ids.
func (r *valueRule) forget() { *r = valueRule{serial: r.serial} }

// settle takes what went and comes back to nobody off the beginning.
func (r *valueRule) settle() {
	n := 0
	for ; n < len(r.pending) && r.pending[n].gone && !r.pending[n].echo; n++ {
		r.settled = r.pending[n].payload
	}
	r.drop(n)
}

// drop takes n off the beginning.
func (r *valueRule) drop(n int) {
	for i := range r.pending[:n] {
		r.bytes -= len(r.pending[i].data)
		r.pending[i] = own{}
	}
	if n == len(r.pending) {
		r.pending = r.pending[:0] // again from the beginning, without an allocation
	} else {
		r.pending = r.pending[n:]
	}
}

func (r *valueRule) remove(which func(*own) bool) {
	kept := r.pending[:0]
	for _, m := range r.pending {
		if which(&m) {
			r.bytes -= len(m.data)
		} else {
			kept = append(kept, m)
		}
	}
	clear(r.pending[len(kept):])
	r.pending = kept
}
