package election

// claim: p says that it leads. Anybody can say so; this agent acts on it when it has
// seen the leaf, and until then only waits a little.
func (m *Machine) claim(p *peer) {
	switch {
	case m.state == Stopped:
		m.successor = true
	case m.state == Leading && m.staysBefore(p):
		m.answer() // It shall hear of us, and yield.
		if m.outdated(p) {
			m.verify(p)
		}
	case p != m.leader && p.verified && m.now < p.verifiedAt+verifyLeader && !m.outdated(p):
		m.consider(p)
	default:
		m.verify(p)
		if m.leader == nil && !p.verified && p.fails == 0 && m.mayDoubt() &&
			(m.state == Discovering || m.state == Electing || m.state == MissingLeader) {
			m.follow(p)
		}
	}
}

// staysBefore tells whether this agent, which leads, goes on although p leads too.
func (m *Machine) staysBefore(p *peer) bool {
	own := standing{m.opt.NodeID, m.epoch, m.rtt, m.placed == OnMachine}
	return m.opt.without&withoutYield != 0 || wins(m.modern(p), m.anywhere(), own, m.standing(p)) < 0
}

// standing is by what p is ordered among leaders. Its epoch and place are what was read at its leaf, once that was: of those
// a record can say anything. (Manifests of 2.1.0 are not held to that.)
func (m *Machine) standing(p *peer) standing {
	s := standing{p.rec.NodeID, p.rec.Epoch, p.rec.RTT, p.rec.Local}
	if p.verified && m.opt.without&withoutWhatWasRead == 0 {
		s.local = p.read.local
		if p.rec.State != "" {
			s.epoch = p.read.epoch
		}
	}
	return s
}

// outdated: p says otherwise than what was read at its leaf, which may be a lie.
func (m *Machine) outdated(p *peer) bool {
	return p.verified && p.rec.State != "" && m.opt.without&withoutWhatWasRead == 0 && (p.read.epoch != p.rec.Epoch || p.read.local != p.rec.Local)
}

// doubt has p's leaf looked at again, if that was not done a moment ago.
func (m *Machine) doubt(p *peer) {
	p.nextVerify = min(p.nextVerify, p.verifiedAt+verifyAgain)
	m.verify(p)
}

func (m *Machine) anywhere() bool { return m.opt.without&withoutPlace != 0 }

// mayDoubt: in one leaderless time, leaders that are not verified are followed for one
// lease altogether. So long can a lie delay an election.
func (m *Machine) mayDoubt() bool {
	if m.doubted == never {
		m.doubted = m.now
	}
	return m.now < m.doubted+Lease
}

// verify asks whether p's leaf is there, unless that was asked a moment ago.
func (m *Machine) verify(p *peer) {
	if p.verifying || m.now < p.nextVerify {
		return
	}
	if m.opt.without&withoutVerify != 0 {
		m.verifying++
		p.verifying = true
		m.verified(p.rec.NodeID, true, standing{p.rec.NodeID, p.rec.Epoch, p.rec.RTT, p.rec.Local})
		return
	}
	if m.verifying >= verifyMost {
		return // Its next heartbeat asks again.
	}
	m.verifying++
	p.verifying = true
	m.do(Effect{Kind: Verify, Record: p.rec})
}

func (m *Machine) verified(node string, ok bool, read standing) {
	p := m.peers[node]
	if p == nil || !p.verifying {
		return
	}
	m.verifying--
	p.verifying, m.dirty = false, true
	if !p.rec.Leads || p.dead || p.silent(m.now) {
		p.verified = false
		return
	}
	if !ok {
		m.refuted(p)
		return
	}
	p.fails, p.verified, p.verifiedAt, p.nextVerify, p.read = 0, true, m.now, m.now+verifyLeader, read
	m.learn(p.rec.Epoch, true)
	m.consider(p)
}

// refuted: the leaf of p is not there.
func (m *Machine) refuted(p *peer) {
	p.fails++
	p.nextVerify = m.now + min(verifyAgain<<min(p.fails-1, 10), verifyAgainMost)
	followed := p == m.leader && m.state == Following
	if followed && p.verified && p.fails < verifyFailures {
		p.nextVerify = m.now + verifyAgain
		return
	}
	missed := p.verified
	p.verified = false
	if followed {
		m.lose(missed)
	}
}

// consider acts on a verified leader.
func (m *Machine) consider(p *peer) {
	switch m.state {
	case Stopped:
	case Leading:
		if !m.staysBefore(p) {
			m.follow(p)
		}
	case StartingLeaf:
		if m.challenging && (p == m.leader || !m.beats(p, m.leader)) {
			return
		}
		m.follow(p)
	default:
		if p == m.leader || m.leader == nil || !m.leader.verified || m.beats(p, m.leader) {
			m.follow(p)
		}
	}
}

// modern: p goes by the rules of this version.
func (m *Machine) modern(p *peer) bool {
	return p.rec.State != "" && m.opt.without&withoutBackboneFirst == 0
}

func (m *Machine) beats(a, b *peer) bool {
	return wins(m.modern(a) && m.modern(b), m.anywhere(), m.standing(a), m.standing(b)) < 0
}

// follow makes p the leader, whatever this agent has been.
func (m *Machine) follow(p *peer) {
	if p != m.leader {
		m.streak, m.followedAt = 0, m.now
	}
	m.leader, m.challenging, m.startDeadline = p, false, never
	m.enter(Following)
	m.dirty = true
	if p.verified {
		m.leaderKnown()
		m.hold(p)
	}
	if !m.opt.WarmStandby || m.announced {
		m.dropLeaf()
	}
}

// leaderKnown ends a leaderless time.
func (m *Machine) leaderKnown() {
	m.newcomer, m.settleUntil, m.doubted, m.electBegan, m.electSince, m.graceUntil = false, past, never, never, never, past
}

// followed looks after the leader that is followed.
func (m *Machine) followed() {
	p := m.leader
	switch {
	case p.silent(m.now) && m.opt.without&withoutLease == 0:
		missed := p.verified
		p.verified, p.nextVerify = false, past
		m.lose(missed)
	case !p.verified && m.now >= m.doubted+Lease:
		m.lose(false)
	default:
		m.keepWarm()
		m.preempt()
	}
}

// lose: the leader is silent, and is waited for if it was one.
func (m *Machine) lose(missed bool) {
	if missed {
		m.graceUntil, m.missed = m.now+m.opt.Grace, m.leader.rec.NodeID
	}
	m.leader, m.streak, m.dirty = nil, 0, true
	m.hold(nil)
	m.leaderless()
}

// gone: the leader has said, or it is proven, that it does not lead any more.
func (m *Machine) gone() {
	if m.leader != nil {
		m.missed = m.leader.rec.NodeID
	}
	m.leader, m.streak, m.graceUntil, m.dirty = nil, 0, past, true
	m.hold(nil)
	if m.state == StartingLeaf {
		m.challenging = false
		return
	}
	m.newcomer = false
	m.leaderless()
}

// dead: it is proven that a leader's process has ended.
func (m *Machine) dead(node string) {
	p := m.peers[node]
	if p == nil || m.opt.without&withoutDeathProof != 0 {
		return
	}
	p.dead, p.verified, p.nextVerify = true, false, past
	switch {
	case p == m.leader:
		m.gone()
	case m.state == MissingLeader && m.missed == node:
		m.gone()
	}
}

// leaderless goes where an agent without a leader belongs.
func (m *Machine) leaderless() {
	var found *peer
	for _, p := range m.order {
		if !p.rec.Leads || p.dead || p.silent(m.now) {
			continue
		}
		if !p.verified || m.now >= p.verifiedAt+verifyLeader {
			m.verify(p)
		} else if found == nil || m.beats(p, found) {
			found = p
		}
	}
	switch {
	case found != nil:
		m.follow(found)
	case m.now < m.settleUntil:
		m.enter(Discovering)
	case m.now < m.graceUntil && m.opt.without&withoutGrace == 0:
		m.enter(MissingLeader)
	default:
		if m.electBegan == never {
			m.newElection()
		}
		m.enter(Electing)
	}
}

// newElection begins to count the time that others are waited for.
func (m *Machine) newElection() {
	m.electBegan, m.electSince = m.now, m.now
	m.election++
}

// hold keeps a connection to the leader.
func (m *Machine) hold(p *peer) {
	if !m.opt.FastFailover {
		return
	}
	if p == nil {
		// A leader that is merely silent may still be proven dead, so the connection stays
		// for the grace.
		if m.now < m.graceUntil || m.heldNode == "" {
			return
		}
		m.heldNode = ""
		m.do(Effect{Kind: Hold})
		return
	}
	m.heldNode = p.rec.NodeID
	m.do(Effect{Kind: Hold, Record: p.rec})
}
