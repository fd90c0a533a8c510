package election

// Status is the part of an agent's state that it shows.
type Status struct {
	State     State
	Role      Role
	Leader    string // Node that leads, this one included; "" when none is known.
	Confirmed bool   // That leader's leaf was seen, or is this node's.
	Epoch     int64  // Of that leader, or the highest seen.
	RTT       RTT
	Streak    int // Evaluations running in which this agent was ahead of the leader.
	LastError string
	Peers     int
	Crowded   int64 // Records of agents that found no place in the table.
}

// Status returns what is the case after the last Step.
func (m *Machine) Status() Status {
	s := Status{State: m.state, Role: m.role(), Epoch: m.highest, RTT: m.rtt, Streak: m.streak,
		LastError: m.lastError, Peers: len(m.order), Crowded: m.crowded}
	switch {
	case m.state == Leading:
		s.Leader, s.Epoch, s.Confirmed = m.opt.NodeID, m.epoch, true
	case m.leader != nil:
		s.Leader, s.Epoch, s.Confirmed = m.leader.rec.NodeID, m.standing(m.leader).epoch, m.leader.verified
	}
	return s
}

// Knows tells whether an agent is among those that are heard.
func (m *Machine) Knows(node string) bool { return m.peers[node] != nil }

// Leader returns the record of the agent that is followed; false when there is none,
// and when this agent leads.
func (m *Machine) Leader() (Record, bool) {
	if m.leader == nil {
		return Record{}, false
	}
	return m.leader.rec, true
}

func (m *Machine) changed() {
	if s := m.Status(); s != m.shown {
		m.shown = s
		m.do(Effect{Kind: Changed})
	}
}
