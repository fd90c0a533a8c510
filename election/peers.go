package election

import "time"

// peer is what is known of another agent.
type peer struct {
	rec  Record
	seen time.Duration // When its last record came, on our clock.

	measured time.Duration // When it last had an RTT.

	verified   bool     // Its leaf was there and led when we looked.
	read       standing // What was read there then.
	verifiedAt time.Duration
	verifying  bool
	nextVerify time.Duration
	fails      int  // Verifications, running.
	dead       bool // Proven, and nothing newer heard.

	election   int           // In which it was last heard to start its leaf.
	startSince time.Duration // When that was, the first time.
	gaveUp     bool          // It has ceased to, which counts once.
}

// starting: p says that it starts its leaf. In one election that is believed once.
func (m *Machine) starting(p *peer) {
	if p.election != m.election {
		p.election, p.startSince, p.gaveUp = m.election, m.now, false
	}
}

// silent: a leader that is silent for so long is missed. A nil peer is.
func (p *peer) silent(now time.Duration) bool { return p == nil || now >= p.seen+Lease }

// heard takes a record into the table, unless it is a copy.
func (m *Machine) heard(r *Record) {
	if r.NodeID == m.opt.NodeID {
		return
	}
	p := m.peers[r.NodeID]
	isNew := p == nil
	if isNew {
		if p = m.place(r); p == nil {
			m.crowded++
			return
		}
	} else if m.copied(p, r) {
		return
	}
	old := p.rec
	if r.Order == 0 {
		r.Order = old.Order
	}
	if r.About == "" {
		r.About = old.About
	}
	if p.verified && (r.About != old.About || r.Epoch != old.Epoch || r.Local != old.Local) { // Not at once each time: anybody can say so.
		p.nextVerify = min(p.nextVerify, p.verifiedAt+verifyAgain)
	}
	p.rec, p.seen = *r, m.now
	if r.RTT != Unmeasured || isNew {
		p.measured = m.now
	}
	if r.State == StartingLeaf {
		m.starting(p)
	}
	m.learn(r.Epoch, false)
	same := !isNew && !p.dead && old.Leads == r.Leads && old.Role == r.Role && old.State == r.State && old.RTT == r.RTT && old.Epoch == r.Epoch && old.Local == r.Local && old.About == r.About
	if same && (!r.Leads || p == m.leader && p.verified && m.now < p.nextVerify) {
		return // The usual case.
	}
	p.dead = false
	m.dirty = true
	if (m.state == Leading || m.state == StartingLeaf) && !same && (isNew || r.State == Discovering) {
		m.answer()
	}
	if r.Leads {
		m.claim(p)
		return
	}
	p.verified, p.fails, p.nextVerify = false, 0, past
	switch {
	case p == m.leader, m.state == MissingLeader && m.missed == r.NodeID:
		m.gone() // By its own word.
	case m.state == Electing && old.State == StartingLeaf && r.State != StartingLeaf && p.election == m.election && !p.gaveUp:
		m.electSince, p.gaveUp = m.now, true // It did not work there; the next one's patience begins.
	}
}

// copied tells whether r says nothing new of p: the same record came on another way,
// late, or from somebody who keeps old ones. An agent without proof may have lost its
// count, or somebody may have lied about it, so that holds for a moment only.
func (m *Machine) copied(p *peer, r *Record) bool {
	if m.opt.without&withoutOrder != 0 {
		return false
	}
	if r.Order > p.rec.Order || p.rec.Order == 0 {
		return false
	}
	return r.Proven && p.rec.Proven && r.Order != 0 || m.now < p.seen+orderTrust
}

// learn takes an epoch over, unless it is further away than the protocol can explain.
func (m *Machine) learn(epoch int64, verified bool) {
	if epoch > m.highest && (epoch <= m.highest+epochJump || verified && m.highest == 0 && epoch <= maxEpoch) {
		m.highest = epoch
	}
}

// place makes room for a new agent: nil when all places are taken by agents that are
// heard.
func (m *Machine) place(r *Record) *peer {
	if len(m.order) >= maxPeers {
		var out *peer
		for _, p := range m.order {
			if p != m.leader && !p.verified && (out == nil || p.seen < out.seen) && (!p.rec.Proven || r.Proven) {
				out = p
			}
		}
		if out == nil || m.now < out.seen+2*Heartbeat && !r.Proven {
			return nil
		}
		m.forget(out)
	}
	p := &peer{nextVerify: past, verifiedAt: past, measured: m.now, election: -1}
	m.peers[r.NodeID] = p
	m.order = append(m.order, p)
	return p
}

// sweep forgets agents that have been silent for long.
func (m *Machine) sweep() {
	kept := m.order[:0]
	for _, p := range m.order {
		if m.now >= p.seen+Stale && p != m.leader {
			m.release(p)
			continue
		}
		kept = append(kept, p)
	}
	clear(m.order[len(kept):])
	m.order = kept
}

func (m *Machine) forget(out *peer) {
	for i, p := range m.order {
		if p == out {
			m.order = append(m.order[:i], m.order[i+1:]...)
			break
		}
	}
	m.release(out)
}

func (m *Machine) release(p *peer) {
	delete(m.peers, p.rec.NodeID)
	if p.verifying { // Its answer will find nobody.
		m.verifying--
	}
}

// candidate tells whether p may lead soon.
func (m *Machine) candidate(p *peer) bool {
	return m.now < p.seen+Lease && p.rec.Role != RoleStopped && !p.dead && !p.rec.Leads
}

// best tells whether no candidate goes before this agent. Those for whom passed holds
// do not count.
func (m *Machine) best(passed func(*peer) bool) bool {
	if m.opt.without&withoutPriority != 0 {
		return true
	}
	for _, p := range m.order {
		first := m.goesFirst(p) ||
			m.missed == p.rec.NodeID && p.rec.State == Discovering // It is back, and has yet to measure.
		if m.candidate(p) && first && (passed == nil || !passed(p)) {
			return false
		}
	}
	return true
}

// goesFirst orders candidates: one whose leaf would serve the LAN before one that would serve its own machine, then as
// they are near to the backbone.
func (m *Machine) goesFirst(p *peer) bool {
	if local := m.placed == OnMachine; p.rec.Local != local && m.opt.without&withoutPlace == 0 {
		return local
	}
	return better(p.rec.RTT, p.rec.NodeID, m.rtt, m.opt.NodeID) < 0
}
