package hub

import "fmt"

// A Run is one message, or several that came in a row, on one subject, each without reply and
// headers. It is valid during the call that brings it.
type Run struct {
	Subject string
	Data    [][]byte // the payloads, at least one
}

// Size is that of all payloads, in bytes.
func (r *Run) Size() (size int) {
	for _, data := range r.Data {
		size += len(data)
	}
	return size
}

// unroll makes single messages, which may be kept, of all runs.
func unroll(batch []inbound) []inbound {
	count, size := 0, 0
	for i := range batch {
		for _, data := range batch[i].run {
			count++
			size += len(data)
		}
	}
	if count == 0 {
		return batch
	}
	all := make([]inbound, 0, len(batch)+count)
	bytes := make([]byte, 0, size)
	for _, m := range batch {
		if m.run == nil {
			all = append(all, m)
			continue
		}
		run := m.run
		m.run = nil
		for _, data := range run {
			at := len(bytes)
			bytes = append(bytes, data...)
			m.data = bytes[at:len(bytes):len(bytes)]
			all = append(all, m)
		}
	}
	return all
}

// deliverRun is deliver for a run, which is handed on as a whole to a handle that takes runs and is
// the only one. The gate is locked.
func (l *link) deliverRun(m *inbound) (calm bool) {
	if handles := *m.route.entry.handles.Load(); len(handles) == 1 && handles[0].onRun != nil {
		l.run = Run{m.subject, m.run}
		return handles[0].takeRun(&l.run)
	}
	calm = true
	r := Run{Data: m.run}
	bytes := make([]byte, 0, r.Size())
	single := *m
	single.run = nil
	for _, data := range m.run {
		at := len(bytes)
		bytes = append(bytes, data...)
		single.data = bytes[at:len(bytes):len(bytes)]
		calm = l.deliver(&single) && calm
	}
	return calm
}

// takeRun is run for a run.
func (s *Subscription) takeRun(r *Run) (calm bool) {
	if s.over.Load() {
		return true
	}
	defer func() {
		if p := recover(); p != nil {
			s.hub.report(fmt.Errorf("%w: subscription %s: panic: %v", ErrCallback, s.key.subject, p))
		}
	}()
	s.onRun(r)
	return true
}
