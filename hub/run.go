package hub

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

// weight is how many messages m is, and the size of their payloads in bytes.
func (m *inbound) weight() (count, size int) {
	if m.run == nil {
		return 1, len(m.data)
	}
	r := Run{Data: m.run}
	return len(m.run), r.Size()
}

// each calls do with the messages of m, which is a run, one by one, as copies that may be kept.
func (m *inbound) each(do func(*inbound)) {
	_, size := m.weight()
	bytes := make([]byte, 0, size)
	single := *m
	single.run = nil
	for _, data := range m.run {
		at := len(bytes)
		bytes = append(bytes, data...)
		single.data = bytes[at:len(bytes):len(bytes)]
		do(&single)
	}
}

// unroll makes single messages, which may be kept, of all runs.
func unroll(batch []inbound) []inbound {
	runs := false
	for i := range batch {
		runs = runs || batch[i].run != nil
	}
	if !runs {
		return batch
	}
	all := make([]inbound, 0, len(batch))
	for i := range batch {
		if m := &batch[i]; m.run == nil {
			all = append(all, *m)
		} else {
			m.each(func(single *inbound) { all = append(all, *single) })
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
	m.each(func(single *inbound) { calm = l.deliver(single) && calm })
	return calm
}

// takeRun is Subscription.run for a run.
func (s *Subscription) takeRun(r *Run) (calm bool) {
	if s.over.Load() {
		return true
	}
	defer s.rescue()
	s.onRun(r)
	return true
}
