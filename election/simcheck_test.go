package election

import (
	"fmt"
	"time"
)

// The promises of the package's documentation, as bounds. simSlack is for delays of
// datagrams (up to 1.5 s), verifications and clocks that are too fast or slow.
const (
	simSlack = 2 * time.Second
	// At most two heartbeats running are lost, so the third tells the one of the other; that
	// of a restarted agent without its count may be taken for a copy for a while.
	TwoLeadersBound = 3*Heartbeat + orderTrust + simSlack
)

// noLeaderBound: the leader is missed, waited for, candidates that may not come are
// waited for, and a leaf is started.
func (p *plan) noLeaderBound() time.Duration {
	bound := Lease + DefaultGrace + Settle + electionPatience + p.startMost + simSlack
	if p.liar != liarNone { // It can hold an election up.
		bound += Lease + electionMost
	}
	for _, c := range p.causes {
		switch c.kind {
		case causeLie: // It can hold an election up for one lease.
			bound += Lease
		case causeBroken, causeSlow: // Who failed stands back.
			bound += retryStartMost + startPatience
		case causeLeaveLeader, causeLeave, causeLeafDies: // Its leaf may be stopping still.
			bound += 2 * time.Second
		}
	}
	return bound
}

// checker watches a world for broken promises. A clock runs in each group from the
// moment that something is not as it should be, or from the last cause if that came
// later.
type checker struct {
	w    *world
	err  error
	last time.Duration // Cause.
	what string

	two, none   [2]time.Duration // Since when, in each group; never when all is well.
	begun       int              // To lead, since the last cause.
	begunAll    int
	causes      int
	longestTwo  time.Duration
	longestNone time.Duration
	calmed      time.Duration // When a time of heavy loss ended.
}

func (c *checker) init(w *world) {
	c.w = w
	for g := range c.two {
		c.two[g], c.none[g] = never, never
	}
	c.calmed = past
}

func (c *checker) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf("after %v: %s (last cause: %s at %v)", c.w.now, fmt.Sprintf(format, args...), c.what, c.last)
	}
}

// cause: what follows may be its doing.
func (c *checker) cause(what string) {
	c.observe()
	c.last, c.what = c.w.now, what
	c.causes++
	c.begun = 0
	if what == causeNames[causeCalm] {
		c.calmed = c.w.now
	}
	for g := range c.two {
		c.two[g], c.none[g] = never, never
	}
}

// lied: a forgery is allowed one change of leader, and no more time than others.
func (c *checker) lied() { c.causes++; c.begun = -1; c.last, c.what = c.w.now, "a lie" }

// leaders: n began or ceased to lead.
func (c *checker) leaders(n *simNode) {
	if n.leading {
		c.begun++
		c.begunAll++
		groups := 1
		for _, o := range c.w.nodes {
			if o.group != c.w.nodes[0].group {
				groups = 2
			}
		}
		switch c.what {
		case causeNames[causeBoot], causeNames[causeFreeze], causeNames[causeFreezeLeader], causeNames[causeThaw]:
			groups++
			if c.w.plan.loss > 0 {
				groups++ // Two that arrive may not hear each other begin.
			}
		case causeNames[causeLeafDies], "leaf start failed":
			groups++ // Who is better by far comes, or comes back, when another is leading.
		}
		if c.last <= c.calmed+1 {
			groups += 2 // With most datagrams lost, nothing was decided.
		}
		if c.w.plan.spaced && !c.w.plan.places && c.w.plan.legacy == 0 && !c.w.heavy && c.begun > groups {
			c.fail("%s begins to lead: the change number %d for one cause", n.id, c.begun)
		}
	}
	c.observe()
}

// observe looks at the clocks.
func (c *checker) observe() {
	if c.w.heavy {
		for g := range c.two {
			c.two[g], c.none[g] = never, never
		}
		return
	}
	for g := range c.two {
		leaders, missing := c.count(uint8(g))
		if c.w.plan.liar == liarForges {
			leaders = min(leaders, 1) // Who forges what they hear can keep two from hearing of each other.
		}
		two := TwoLeadersBound
		if c.w.plan.liar != liarNone || c.w.plan.places { // A leader that was looked for in vain, for a lie or on another machine, is looked for again after a while.
			two += verifyAgainMost
		}
		c.clock(&c.two[g], leaders > 1, &c.longestTwo, two, "two leaders")
		c.clock(&c.none[g], missing, &c.longestNone, c.w.plan.noLeaderBound(), "no leader")
	}
}

// able tells whether n could lead.
func (c *checker) able(n *simNode) bool {
	return n.alive && n.frozen == never && n.m.state != Stopped && (c.w.failing|c.w.slow)&(1<<n.number) == 0
}

// count says how many lead those who can reach each other in a group, at most, and whether somebody has no leader although there
// could be one. Where nobody serves the LAN each machine has its own.
func (c *checker) count(group uint8) (leaders int, missing bool) {
	var lan, all int
	canLAN := false
	var here, canHere [64]int
	for _, n := range c.w.nodes {
		if !n.alive || n.frozen != never || n.group != group {
			continue
		}
		if n.leading {
			all++
			here[n.machine]++
			if !n.here {
				lan++
			}
		}
		if c.able(n) {
			canHere[n.machine]++
			canLAN = canLAN || !n.here
		}
	}
	if lan > 0 {
		return all, false
	}
	for m := range here {
		leaders = max(leaders, here[m])
		missing = missing || here[m] == 0 && canHere[m] > 0
	}
	// Who forges can keep one that would serve the LAN from being ahead for long enough.
	return leaders, missing || canLAN && (c.w.plan.liar == liarNone || c.w.now > c.w.plan.liarEnds)
}

func (c *checker) clock(since *time.Duration, wrong bool, longest *time.Duration, bound time.Duration, what string) {
	if *since != never {
		took := c.w.now - *since
		*longest = max(*longest, took)
		if took > bound {
			c.fail("%s for %v, and the bound is %v", what, took, bound)
		}
	}
	if !wrong {
		*since = never
	} else if *since == never {
		*since = c.w.now
	}
}

// finish checks that everybody has come to rest, around one leader in each group.
func (c *checker) finish() {
	c.observe()
	if c.err != nil || c.w.heavy {
		return
	}
	for g := range uint8(2) {
		leaders, missing := c.count(g)
		if leaders > 1 {
			c.fail("%d lead in the end", leaders)
			return
		}
		if missing {
			c.fail("nobody leads in the end")
		}
		for _, n := range c.w.nodes {
			if !n.alive || n.frozen != never || n.group != g || n.leading || n.m.state == Stopped {
				continue
			}
			s := n.m.Status()
			failing := n.m.challenging && (c.w.failing|c.w.slow)&(1<<n.number) != 0
			leader := c.w.find(s.Leader)
			if leader != nil && leader.leading && c.w.sees(n, leader) && (s.State == Following || failing) {
				continue
			}
			if c.w.reaches(n) {
				c.fail("%s is %s with leader %q in the end, and another leads", n.id, s.State, s.Leader)
			}
		}
	}
	if c.begunAll > 2*c.causes && c.w.plan.liar == liarNone && !c.w.plan.places {
		c.fail("%d changes of leader for %d causes", c.begunAll, c.causes)
	}
}

// reaches tells whether somebody leads whose leaf n could use.
func (w *world) reaches(n *simNode) bool {
	for _, o := range w.nodes {
		if o.leading && w.sees(n, o) {
			return true
		}
	}
	return false
}
