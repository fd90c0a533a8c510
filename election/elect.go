package election

// elect decides whether it is this agent's turn.
func (m *Machine) elect() {
	if m.now < m.standBackUntil || m.leaf == leafStopping {
		return
	}
	waited, all := m.now-m.electSince, m.now-m.electBegan
	if m.newcomer && all < m.opt.Grace+Lease && m.othersHaveLeader() {
		return
	}
	// Those that go before us, and those that have begun, are waited for; but not for ever,
	// and not longer in all for there being many of them: they may not hear us, or may not
	// even exist.
	if m.opt.without&withoutPatienceEnd != 0 {
		waited, all = 0, 0
	}
	if all < electionMost && m.othersBegin() {
		return
	}
	passed := func(p *peer) bool {
		if all >= electionMost {
			return true
		}
		if p.rec.State == "" { // It does not tell what it is doing.
			return waited >= Lease
		}
		return waited >= electionPatience
	}
	if m.best(passed) {
		m.start()
	}
}

// othersBegin tells whether somebody starts a leaf already, or leads and is being
// verified.
func (m *Machine) othersBegin() bool {
	if m.opt.without&withoutPriority != 0 {
		return false
	}
	for _, p := range m.order {
		if p != m.leader && (m.candidate(p) && p.rec.State == StartingLeaf && m.now < p.startSince+startPatience+Heartbeat ||
			p.rec.Leads && p.verifying && !p.dead && !p.silent(m.now) && (m.state == Following || m.mayDoubt())) {
			return true
		}
	}
	return false
}

// othersHaveLeader tells whether somebody follows a leader that this agent has not
// heard, or waits for one.
func (m *Machine) othersHaveLeader() bool {
	for _, p := range m.order {
		if m.candidate(p) && (p.rec.State == Following || p.rec.State == MissingLeader) {
			return true
		}
	}
	return false
}

// preempt looks for an advantage over a healthy leader that lasts.
func (m *Machine) preempt() {
	if !m.ahead() {
		m.streak = 0
		return
	}
	if m.streak > 0 && m.now < m.nextEval {
		return
	}
	m.streak++
	m.nextEval = m.now + evaluateEvery
	if m.streak < evaluations && m.opt.without&withoutAdvantage == 0 {
		return
	}
	m.streak = 0
	m.challenging = true
	m.start()
}

func (m *Machine) ahead() bool {
	p := m.leader
	if !p.verified || m.leaf == leafStopping || m.leaf == leafStarting || m.now < m.followedAt+Lease {
		return false // (Others may go before us, and have not been heard yet.)
	}
	if m.outdated(p) {
		m.doubt(p)
		return false
	}
	if m.opt.without&withoutPlace == 0 {
		switch {
		case p.read.local && m.placed == OnLAN: // Nobody else can use that leader: the LAN has none.
			return m.now >= m.standBackUntil && (m.now >= m.followedAt+electionMost || !m.othersBegin() && m.best(nil))
		case m.placed == OnMachine && !p.read.local:
			return false
		}
	}
	return m.rtt != Unmeasured && m.now >= m.calmUntil && m.nearer(p) && !m.othersBegin() && m.best(nil)
}

// nearer tells whether this agent is nearer to the backbone than the leader p, by far.
func (m *Machine) nearer(p *peer) bool {
	if p.rec.RTT == Unmeasured {
		if m.now < p.measured+unmeasuredFor {
			return false
		}
	} else if least := advantage; p.rec.RTT-m.rtt < least && (m.opt.without&withoutAdvantage == 0 || p.rec.RTT <= m.rtt) {
		return false
	}
	if read := p.read.rtt; read != Unmeasured && read-m.rtt < advantage && m.opt.without&(withoutAdvantage|withoutWhatWasRead) == 0 {
		// At its leaf it said otherwise than in its records, which anybody can send.
		m.doubt(p)
		return false
	}
	return true
}

// start begins to lead: with the leaf that runs already, or one that is started.
func (m *Machine) start() {
	m.epoch = m.highest + 1
	if m.leaf == leafRunning {
		m.lead()
		return
	}
	m.enter(StartingLeaf)
	m.startDeadline = m.now + startPatience
	if m.leaf == leafNone {
		m.startLeaf()
	}
}

func (m *Machine) startLeaf() {
	m.leaf, m.announced = leafStarting, false
	m.do(Effect{Kind: StartLeaf, Epoch: m.highest + 1})
}

// keepWarm keeps a leaf at hand while another agent leads.
func (m *Machine) keepWarm() {
	if m.opt.WarmStandby && m.leader.verified && m.leaf == leafNone && m.now >= m.standBackUntil {
		m.startLeaf()
	}
}

func (m *Machine) leafStarted() {
	if m.leaf != leafStarting {
		return // It is being stopped.
	}
	m.leaf, m.dirty = leafRunning, true
	switch {
	case m.state == StartingLeaf:
		m.lead()
	case !m.opt.WarmStandby || m.state == Stopped:
		m.dropLeaf()
	}
}

func (m *Machine) lead() {
	m.epoch = m.highest + 1
	m.highest = m.epoch
	m.leader, m.challenging, m.announced, m.failures, m.streak = nil, false, true, 0, 0
	m.startDeadline, m.standBackUntil, m.lastError = never, past, ""
	m.leaderKnown()
	m.hold(nil)
	m.enter(Leading)
}

// failed: there is no leaf although one was wanted. Others go first for a while.
func (m *Machine) failed(problem string) {
	m.lastError, m.dirty, m.startDeadline = problem, true, never
	m.failures++
	if m.opt.without&withoutStandBack == 0 {
		m.standBackUntil = m.now + min(retryStart<<min(m.failures-1, 10), retryStartMost)
	}
	m.calmUntil = m.now + challengeAfter
	switch m.state {
	case StartingLeaf:
		if m.challenging {
			m.challenging = false
			m.enter(Following)
			return
		}
		m.newElection()
		m.enter(Electing)
	case Leading:
		m.newElection()
		m.enter(Electing)
	}
}

// dropLeaf stops the leaf, if there is one.
func (m *Machine) dropLeaf() {
	if m.leaf == leafStarting || m.leaf == leafRunning {
		m.leaf, m.dirty = leafStopping, true
		m.do(Effect{Kind: StopLeaf})
	}
}

// leave says goodbye. A leaf that leads goes on for a moment, so that its clients find
// the next one before it ends.
func (m *Machine) leave() {
	if m.state == Stopped {
		return
	}
	m.lingerUntil = m.now
	if m.state == Leading {
		for _, p := range m.order {
			if m.candidate(p) {
				m.lingerUntil = m.now + lingerFor
			}
		}
	}
	m.leader, m.challenging, m.startDeadline = nil, false, never
	m.graceUntil = past
	m.hold(nil)
	m.enter(Stopped)
}
