package hub

import "github.com/kinopio-hub/kinopio-hub/v3/internal/bridge"

// weight is how many messages m is, and the size of their payloads in bytes.
func (m *inbound) weight() (count, size int) {
	if m.Run == nil {
		return 1, len(m.Data)
	}
	r := bridge.Run{Data: m.Run}
	return len(m.Run), r.Size()
}

// each calls do with the messages of m, which is a run, one by one, as copies that may be kept.
func (m *inbound) each(do func(*inbound)) {
	_, size := m.weight()
	bytes := make([]byte, 0, size)
	single := *m
	single.Run = nil
	for _, data := range m.Run {
		at := len(bytes)
		bytes = append(bytes, data...)
		single.Data = bytes[at:len(bytes):len(bytes)]
		do(&single)
		if single.Number.Stream != 0 {
			single.Number.Count++
		}
	}
}

// takeRun is Subscription.run for a run.
func (s *Subscription) takeRun(r *bridge.Run) (idle bool) {
	if s.over.Load() {
		return true
	}
	defer s.rescue()
	s.onRun(r)
	return true
}
