package election

import (
	"cmp"
	"math"
	"time"
)

// Options of a machine.
type Options struct {
	NodeID string
	// Grace is for how long a silent leader is waited for. 0: DefaultGrace.
	Grace time.Duration
	// FastFailover asks for connections to the leader (Hold), whose proven death needs
	// no grace.
	FastFailover bool
	// WarmStandby keeps a leaf started while another agent leads.
	WarmStandby bool

	without rule // For tests: rules that are switched off.
}

// rule names what tests switch off, to see that they notice.
type rule uint16

const (
	withoutYield rule = 1 << iota
	withoutGoodbye
	withoutOrder
	withoutVerify
	withoutStandBack
	withoutGrace
	withoutLease
	withoutAdvantage
	withoutPriority
	withoutDeathProof
	withoutStartDeadline
	withoutPatienceEnd
	withoutBackboneFirst // As 2.1.0.
	withoutPlace
	withoutWhatWasRead
)

const (
	never = time.Duration(math.MaxInt64)
	past  = time.Duration(math.MinInt64 / 2)
)

type leafState uint8

const (
	leafNone leafState = iota
	leafStarting
	leafRunning
	leafStopping
)

// Machine is one agent's part in the election: it is told what happens and answers
// what is to be done. It has no goroutine, clock, socket or randomness; the same events
// at the same times give the same effects. One goroutine at a time may use it.
//
// Times are durations since any fixed moment, on a clock that runs evenly; what a
// wall clock shows plays no part.
type Machine struct {
	opt     Options
	now     time.Duration
	wake    time.Duration
	dirty   bool // Something has changed that run must look at.
	effects []Effect
	shown   Status

	state       State
	rtt         RTT
	placed      Place // Of its leaf.
	epoch       int64 // Under which this agent leads, or will when its leaf has started.
	highest     int64 // Epoch that was seen.
	leaf        leafState
	announced   bool // The leaf that runs has led.
	lastError   string
	settleUntil time.Duration

	peers     map[string]*peer
	order     []*peer // The same, in a fixed order.
	crowded   int64   // Records that found no place.
	verifying int

	leader     *peer         // Who is followed, or challenged.
	followedAt time.Duration // Since when.
	graceUntil time.Duration // For the leader that is missed.
	doubted    time.Duration // When an unverified leader was first followed, in this leaderless time.
	missed     string        // The node of that leader.
	heldNode   string

	newcomer       bool          // No leader was ever followed, nor was there one.
	election       int           // How many there have been.
	electBegan     time.Duration // In this leaderless time.
	electSince     time.Duration // The same, or when somebody's start failed since.
	startDeadline  time.Duration
	standBackUntil time.Duration // From elections.
	calmUntil      time.Duration // From pre-emptions, as the leaf has failed.
	failures       int
	challenging    bool
	streak         int
	nextEval       time.Duration

	lastBeat, nextBeat time.Duration
	lingerUntil        time.Duration
	successor, ended   bool
}

// NewMachine returns the machine of an agent that begins at now.
func NewMachine(o Options, now time.Duration) *Machine {
	o.Grace = cmp.Or(o.Grace, DefaultGrace)
	return &Machine{
		opt: o, now: now, wake: now,
		state: Discovering, rtt: Unmeasured, newcomer: true,
		peers:       map[string]*peer{},
		settleUntil: now + Settle,
		graceUntil:  past, doubted: never, electBegan: never, electSince: never, startDeadline: never, standBackUntil: past, calmUntil: past,
		lastBeat: past, nextBeat: now, lingerUntil: past,
	}
}

// Wake is when Step wants to be called next although nothing happens.
func (m *Machine) Wake() time.Duration { return m.wake }

// Step tells what happened at now, and returns what is to be done, in this order. The
// effects are valid until the next call.
func (m *Machine) Step(now time.Duration, e *Event) []Effect {
	m.now = max(m.now, now)
	m.effects = m.effects[:0]
	if m.ended {
		return nil
	}
	if m.wake != never && m.now >= m.wake+wokenAfter || e.Kind == Woke {
		m.woke()
	}
	switch e.Kind {
	case Heard:
		m.heard(e.Record)
	case Measured:
		if m.rtt != e.RTT {
			m.rtt, m.dirty, m.nextBeat = e.RTT, true, m.now
		}
	case Placed:
		if m.placed != e.Place {
			m.placed, m.dirty, m.nextBeat = e.Place, true, m.now
		}
	case LeafStarted:
		m.leafStarted()
	case LeafFailed:
		if m.leaf != leafStopping {
			m.leaf = leafNone
			m.failed("start leaf: " + e.Err)
		}
	case LeafDied:
		if m.leaf != leafStopping {
			m.leaf = leafNone
			m.failed("leaf has ended: " + e.Err)
		}
	case LeafStopped:
		m.leaf, m.dirty = leafNone, true
	case Verified:
		m.verified(e.Node, e.OK, standing{e.Node, e.Epoch, e.RTT, e.Local})
	case Dead:
		m.dead(e.Node)
	case Stop:
		m.leave()
	}
	if m.dirty || m.now >= m.wake {
		m.run()
	}
	return m.effects
}

// woke: this process, or its machine, did not run while others went on. Whoever was looking for a leader begins to listen
// again, as there may be one; who leads says so at once, and hears of another in turn.
func (m *Machine) woke() {
	m.dirty, m.nextBeat = true, m.now
	switch m.state {
	case Discovering, Electing, MissingLeader:
		m.settleUntil, m.doubted, m.electBegan, m.electSince = m.now+Settle, never, never, never
		m.enter(Discovering)
	}
}

// run does what is due.
func (m *Machine) run() {
	m.dirty = false
	for range 6 { // States lead to each other, but not in circles.
		before := m.state
		m.decide()
		if m.state == before {
			break
		}
	}
	if m.now >= m.nextBeat {
		m.beat()
	}
	if m.state == Stopped && m.leaf == leafNone && m.now >= m.lingerUntil {
		m.ended = true
		m.changed()
		m.do(Effect{Kind: Ended})
		m.wake = never
		return
	}
	m.changed()
	m.wake = m.next()
}

func (m *Machine) decide() {
	switch m.state {
	case Discovering:
		if m.now >= m.settleUntil {
			m.leaderless()
		}
	case Following:
		m.followed()
	case MissingLeader:
		if m.now >= m.graceUntil || m.opt.without&withoutGrace != 0 {
			m.leaderless()
		}
	case Electing:
		m.elect()
	case StartingLeaf:
		if m.challenging && m.leader.silent(m.now) {
			m.leader, m.challenging = nil, false
		}
		if m.now >= m.startDeadline && m.opt.without&withoutStartDeadline == 0 {
			m.dropLeaf()
			m.failed("start leaf: not started within " + startPatience.String())
		}
	case Stopped:
		if m.now >= m.lingerUntil || m.successor {
			m.lingerUntil = min(m.lingerUntil, m.now)
			m.dropLeaf()
		}
	}
}

// next is when run has something to do again.
func (m *Machine) next() time.Duration {
	wake := m.nextBeat
	switch m.state {
	case Discovering:
		wake = min(wake, m.settleUntil)
	case Following:
		if m.opt.without&withoutLease == 0 {
			wake = min(wake, m.leader.seen+Lease)
		}
		if !m.leader.verified {
			wake = min(wake, m.doubted+Lease)
		}
		if m.streak > 0 {
			wake = min(wake, m.nextEval)
		}
		if m.opt.WarmStandby && m.leaf == leafNone && m.standBackUntil > m.now {
			wake = min(wake, m.standBackUntil)
		}
	case MissingLeader:
		wake = min(wake, m.graceUntil)
	case Electing:
		wake = min(wake, m.now+evaluateEvery)
	case StartingLeaf:
		if m.opt.without&withoutStartDeadline == 0 {
			wake = min(wake, m.startDeadline)
		}
		if m.challenging {
			wake = min(wake, m.leader.seen+Lease)
		}
	case Stopped:
		if m.lingerUntil > m.now {
			wake = min(wake, m.lingerUntil)
		}
	}
	return wake
}

// enter goes to another state, and lets everybody know at once.
func (m *Machine) enter(s State) {
	if m.state == s {
		return
	}
	m.state, m.dirty, m.nextBeat = s, true, m.now
}

func (m *Machine) do(e Effect) { m.effects = append(m.effects, e) }

// beat sends a heartbeat, and forgets who has been silent for long.
func (m *Machine) beat() {
	if m.state != Stopped || m.opt.without&withoutGoodbye == 0 {
		m.do(Effect{Kind: Send, Record: m.self()})
	}
	m.lastBeat = m.now
	switch m.state {
	case Discovering:
		m.nextBeat = m.now + helloEvery
	case Stopped:
		m.nextBeat = m.now + goodbyeEvery
	default:
		m.nextBeat = m.now + Heartbeat
	}
	m.sweep()
}

// answer sends a heartbeat soon, because somebody looks for what it says.
func (m *Machine) answer() {
	if at := max(m.now, m.lastBeat+answerAfter); at < m.nextBeat {
		m.nextBeat, m.dirty = at, true
	}
}

// self is what this agent says of itself.
func (m *Machine) self() Record {
	r := Record{NodeID: m.opt.NodeID, Role: m.role(), State: m.state, Epoch: m.highest, RTT: m.rtt, Local: m.placed == OnMachine}
	if m.state == Leading {
		r.Leads, r.Epoch = true, m.epoch
	}
	return r
}

func (m *Machine) role() Role {
	switch m.state {
	case Leading:
		return RoleLeader
	case Following:
		return RoleFollower
	case Stopped:
		return RoleStopped
	case Electing:
		if m.now < m.standBackUntil {
			return RoleStopped
		}
	}
	return RoleCandidate
}
