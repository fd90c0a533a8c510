package election

import (
	"math/rand/v2"
	"time"
)

// plan is what a LAN is like and what happens to it.
type plan struct {
	nodes                 int
	boot                  time.Duration // In which all nodes are switched on.
	loss, late, twice     float64
	delay                 time.Duration
	startLeast, startMost time.Duration // Of a leaf.
	legacy                float64
	fast, warm            bool
	places                bool // Some leaves are reachable on their own machine only.
	spaced                bool // Each cause finds a LAN at rest.
	causes                []cause
	end                   time.Duration
	without               rule
	liar                  liarKind
	liarEnds              time.Duration
}

type cause struct {
	at   time.Duration
	node uint8
	kind causeKind
}

type causeKind int64

const (
	causeBoot  causeKind = iota // The node's process starts, if it does not run.
	causeKill                   // The process is killed; its host lives.
	causeDark                   // The host loses its power.
	causeLeave                  // The agent is stopped cleanly.
	causeSplit                  // The LAN falls into two.
	causeHeal
	causeRTT      // The node measures another RTT.
	causeLeafDies // If it runs.
	causeBroken   // The node's leaves cannot start any more.
	causeSlow     // They take too long.
	causeMended
	causeHeavy // Most datagrams are lost.
	causeCalm
	causeLie    // Somebody sends a forged record.
	causeFreeze // The process stands still for a while, or the machine sleeps.
	causeThaw
	causePlace // The machine's LAN comes or goes, as far as its leaf is concerned.
	causeKillLeader
	causeDarkLeader
	causeLeaveLeader
	causeRestartLeader
	causeFreezeLeader
	causeKinds
	causeLiar // It speaks again; no part of a random plan.
)

var causeNames = [...]string{"boot", "kill", "power off", "leave", "split", "heal", "rtt", "leaf dies", "broken leaf", "slow leaf",
	"mended leaf", "heavy loss", "calm", "lie", "freeze", "thaw", "place", "kill leader", "power off leader", "leader leaves", "restart leader", "freeze leader"}

// rest is how long a LAN may need to be at rest again after a cause.
func (p *plan) rest() time.Duration { return p.noLeaderBound() + TwoLeadersBound }

// randomPlan makes up a LAN of n nodes.
func randomPlan(rng *rand.Rand, n int) plan {
	p := plan{
		nodes: n, delay: 5 * ms, startLeast: 10 * ms, startMost: 100 * ms,
		fast: rng.IntN(3) == 0, warm: rng.IntN(6) == 0, spaced: rng.IntN(4) == 0,
	}
	if rng.IntN(2) == 0 {
		p.boot = time.Duration(rng.Int64N(int64(20 * sec)))
	}
	if rng.IntN(3) > 0 {
		p.loss, p.late, p.twice = 0.3*rng.Float64(), 0.1*rng.Float64(), 0.1*rng.Float64()
		p.delay = time.Duration(1 + rng.Int64N(int64(200*ms)))
	}
	if rng.IntN(4) == 0 {
		p.startMost = 4 * sec
	}
	if rng.IntN(4) == 0 {
		p.legacy = 0.5
	}
	p.places = p.legacy == 0 && rng.IntN(4) == 0
	count := 1 + rng.IntN(7)
	if p.spaced {
		count = 1 + rng.IntN(3)
	}
	at := p.boot
	for range count {
		if p.spaced {
			at += p.rest()
		}
		at += time.Duration(rng.Int64N(int64(8 * sec)))
		p.causes = append(p.causes, cause{at, uint8(rng.IntN(n)), 1 + causeKind(rng.Int64N(int64(causeKinds-1)))})
	}
	// In the end the network is whole.
	if p.spaced {
		at += p.rest()
	}
	p.causes = append(p.causes, cause{at + sec, 0, causeCalm})
	if rng.IntN(3) > 0 {
		p.causes = append(p.causes, cause{at + sec, 0, causeHeal})
	}
	p.end = at + sec + p.rest() + 5*sec
	for _, c := range p.causes {
		if c.kind == causeLeafDies || c.kind == causeBroken || c.kind == causeSlow {
			p.end = max(p.end, at+challengeAfter+20*sec)
		}
	}
	p.end += p.freezes()
	return p
}

// freezes is for how long somebody may be frozen, and may then have to wait with an advantage because its leaf has not started in
// that time.
func (p *plan) freezes() time.Duration {
	for _, c := range p.causes {
		if c.kind == causeFreeze || c.kind == causeFreezeLeader {
			return time.Minute + challengeAfter + 20*sec
		}
	}
	return 0
}

func (w *world) cause(n *simNode, k causeKind) {
	leader := func(then causeKind) {
		for _, l := range w.nodes {
			if l.leading {
				w.cause(l, then)
				return
			}
		}
	}
	if k == causeBoot && n.alive || k == causePlace && !w.plan.places {
		return
	}
	switch k {
	case causeLeave, causeRTT, causeLeafDies, causePlace, causeFreeze:
		if n.frozen != never {
			return // It notices nothing.
		}
	}
	if k == causeLiar {
		w.liar.speak(w)
		return
	}
	w.log("— %s (%s, machine %d, local %v)", causeNames[k], n.id, n.machine, n.here)
	if k != causeLie {
		w.check.cause(causeNames[k])
	}
	switch k {
	case causeBoot:
		w.bootNode(n)
	case causeKill, causeDark:
		if !n.alive {
			return
		}
		w.kill(n, k == causeKill)
	case causeLeave:
		if n.alive {
			w.step(n, &Event{Kind: Stop})
		}
	case causeSplit:
		for _, o := range w.nodes {
			o.group = uint8(w.rng.IntN(2))
		}
	case causeHeal:
		for _, o := range w.nodes {
			o.group = 0
		}
	case causeRTT:
		n.rtt = Unmeasured
		if w.rng.IntN(5) > 0 {
			n.rtt = RTT(w.rng.IntN(200))
		}
		if n.alive {
			w.step(n, &Event{Kind: Measured, RTT: n.rtt})
		}
	case causeLeafDies:
		if n.alive && n.leaf == leafRunning {
			n.leaf = leafNone
			n.token++
			w.step(n, &Event{Kind: LeafDied, Err: "simulated"})
		}
	case causeBroken:
		w.failing |= 1 << n.number
	case causeSlow:
		w.slow |= 1 << n.number
	case causeMended:
		w.failing, w.slow = 0, 0
	case causeHeavy:
		w.heavy = true
	case causeCalm:
		w.heavy = false
	case causeLie:
		w.lie(n)
	case causeFreeze:
		w.freeze(n)
	case causeThaw:
		w.thaw(n)
	case causePlace:
		n.here = !n.here
		if n.alive {
			w.step(n, &Event{Kind: Placed, Place: n.place()})
		}
	case causeFreezeLeader:
		leader(causeFreeze)
	case causeKillLeader:
		leader(causeKill)
	case causeDarkLeader:
		leader(causeDark)
	case causeLeaveLeader:
		leader(causeLeave)
	case causeRestartLeader:
		for _, l := range w.nodes {
			if l.leading {
				w.kill(l, true)
				w.queue.push(job{at: w.now + time.Duration(w.rng.Int64N(int64(15*sec))), kind: jobCause, node: l.number, token: int64(causeBoot)})
				break
			}
		}
	}
	w.check.observe()
}

func (w *world) bootNode(n *simNode) {
	n.alive, n.hostUp, n.ended, n.leaf, n.holds = true, true, false, leafNone, ""
	n.token = (n.token>>16 + 1) << 16
	n.origin = time.Duration(w.rng.Int64N(int64(2*time.Hour))) - time.Hour - w.now
	n.wall = time.Duration(w.rng.Int64N(int64(2*time.Hour))) - time.Hour
	n.ppm = w.rng.Int64N(10_000) - 5_000
	if w.rng.IntN(8) == 0 && w.plan.liar != liarReplays {
		n.order = 0 // Its cache was wiped, and its clock is behind. (With a secret old records then silence it.)
	}
	n.wake = -1
	n.m = NewMachine(n.opt, n.local(w.now))
	w.step(n, &Event{Kind: Tick})
	if w.plan.places {
		w.step(n, &Event{Kind: Placed, Place: n.place()})
	}
	w.step(n, &Event{Kind: Measured, RTT: n.rtt})
}

func (n *simNode) place() Place {
	if n.here {
		return OnMachine
	}
	return OnLAN
}

// freeze stops a process for up to a minute: by a signal, while time passes for it and its socket takes what comes; or with
// its machine, which sleeps.
func (w *world) freeze(n *simNode) {
	if !n.alive || n.frozen != never {
		return
	}
	n.frozen, n.thaws, n.asleep = w.now, w.now+sec+time.Duration(w.rng.Int64N(int64(59*sec))), w.rng.IntN(2) == 0
	w.queue.push(job{at: n.thaws, kind: jobCause, node: n.number, token: int64(causeThaw)})
}

func (w *world) thaw(n *simNode) {
	if !n.alive || n.frozen == never || n.thaws != w.now {
		return
	}
	if n.asleep {
		n.origin -= w.now - n.frozen
	}
	n.frozen = never
	e := Event{Kind: Tick}
	if n.asleep && w.rng.IntN(2) == 0 { // Its wall clock tells, or does not.
		e.Kind = Woke
	}
	w.step(n, &e)
}

// kill ends a process at once. If its host lives, its connections are reset, and who
// connects again is refused.
func (w *world) kill(n *simNode, hostLives bool) {
	n.alive, n.hostUp, n.leaf, n.frozen = false, hostLives, leafNone, never
	was := n.leading
	n.leading = false
	if was {
		w.check.leaders(n)
	}
	for _, o := range w.nodes {
		if hostLives && o.alive && o.holds == n.id && o.group == n.group {
			w.queue.push(job{at: w.now + ms + time.Duration(w.rng.Int64N(int64(4*ms))), kind: jobDead, node: o.number, token: o.token >> 16, record: &Record{NodeID: n.id}})
		}
	}
}

// lie sends one forged record to everybody.
func (w *world) lie(n *simNode) {
	r := Record{NodeID: n.id, Role: RoleCandidate, RTT: 0, Order: n.order + w.rng.Int64N(3)}
	switch w.rng.IntN(5) {
	case 0: // The leader says goodbye.
		r.Role, r.State = RoleStopped, Stopped
		for _, l := range w.nodes {
			if l.leading {
				r.NodeID, r.Order = l.id, l.order+1
			}
		}
	case 1: // Somebody who does not exist leads, for ever.
		r.NodeID, r.Leads, r.Role, r.State, r.Epoch = "00-ghost", true, RoleLeader, Leading, w.rng.Int64N(1<<50)
	case 2: // Somebody who does not exist goes before everybody.
		r.NodeID, r.State = "00-ghost", StartingLeaf
	case 3: // A node leads that does not.
		r.Leads, r.Role, r.State, r.Epoch = true, RoleLeader, Leading, w.rng.Int64N(100)
	case 4: // A count that is far ahead.
		r.Order, r.Epoch = 1<<52, 1<<52
	}
	w.check.lied()
	j := job{at: w.now, kind: jobDeliver, node: n.number, record: &r, to: 1<<len(w.nodes) - 1, ok: true}
	w.queue.push(j)
}
