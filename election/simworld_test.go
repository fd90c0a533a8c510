package election

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

const sec, ms = time.Second, time.Millisecond

// world is a LAN of machines. All that happens in it comes from its seed.
type world struct {
	seed  uint64
	rng   *rand.Rand
	now   time.Duration
	queue queue
	nodes []*simNode
	lost  []uint8 // Datagrams running that were lost from a node (row) to another.
	plan  plan
	check checker
	trace *[]string // nil: none is kept.

	liar    *liar
	heavy   bool // Any number of datagrams may be lost.
	failing uint64
	slow    uint64
}

type simNode struct {
	number  uint8
	id      string
	m       *Machine
	opt     Options
	alive   bool // Its process runs.
	hostUp  bool
	legacy  bool // Its records are like those of kinopio-hub 2.1.0.
	machine uint8
	here    bool          // Its leaf is reachable on its own machine only.
	frozen  time.Duration // Since when its process does not run, while others go on; never if it runs.
	thaws   time.Duration
	asleep  bool // Its clock stands still, too, and nothing is kept for it.
	group   uint8
	rtt     RTT
	origin  time.Duration // Of its monotonic clock.
	ppm     int64         // By which that clock is too fast.
	wall    time.Duration // By which its wall clock is wrong.
	order   int64
	wake    time.Duration // That is planned.
	leaf    leafState
	token   int64 // Of what was asked of the leaf last, and of this life.
	holds   string
	leading bool
	ended   bool
}

func (n *simNode) local(t time.Duration) time.Duration {
	return n.origin + t + time.Duration(int64(t)/1000*n.ppm/1000)
}

func (n *simNode) global(local time.Duration) time.Duration {
	return time.Duration(float64(local-n.origin)*1e6/float64(1e6+n.ppm)) + time.Microsecond
}

func newWorld(seed uint64, p plan, rng *rand.Rand) *world {
	w := &world{seed: seed, rng: rng, plan: p, lost: make([]uint8, p.nodes*p.nodes)}
	w.check.init(w)
	for i := range p.nodes {
		n := &simNode{
			number: uint8(i), id: fmt.Sprintf("node-%02d", (i*37+int(seed%50))%97),
			hostUp: true, rtt: Unmeasured, frozen: never, machine: uint8(i),
			legacy: rng.Float64() < p.legacy,
		}
		n.opt = Options{NodeID: n.id, FastFailover: p.fast && !n.legacy, WarmStandby: p.warm && !n.legacy, without: p.without}
		if n.legacy {
			n.opt.without |= withoutBackboneFirst | withoutPlace | withoutWhatWasRead
		}
		if rng.IntN(4) > 0 {
			n.rtt = RTT(rng.IntN(120))
		}
		if p.places {
			n.machine, n.here = uint8(rng.IntN(2)), rng.IntN(2) == 0
		}
		w.nodes = append(w.nodes, n)
		w.queue.push(job{at: time.Duration(rng.Int64N(int64(p.boot) + 1)), kind: jobCause, node: n.number, token: int64(causeBoot)})
	}
	for _, c := range p.causes {
		w.queue.push(job{at: c.at, kind: jobCause, node: c.node, token: int64(c.kind)})
	}
	return w
}

func (w *world) log(format string, args ...any) {
	if w.trace != nil {
		*w.trace = append(*w.trace, fmt.Sprintf("%9.3f  ", w.now.Seconds())+fmt.Sprintf(format, args...))
	}
}

// run plays the plan, and returns the first promise that was broken.
func (w *world) run() error {
	for jobs := 0; len(w.queue.jobs) > 0 && w.check.err == nil; jobs++ {
		if jobs > 1_000_000 {
			w.check.fail("somebody wakes up all the time")
		}
		j := w.queue.pop()
		if j.at > w.plan.end {
			break
		}
		w.now = j.at
		w.play(&j)
	}
	w.now = w.plan.end
	w.check.finish()
	return w.check.err
}

func (w *world) play(j *job) {
	n := w.nodes[j.node]
	if n.frozen != never && j.kind != jobDeliver && j.kind != jobCause {
		if j.kind != jobWake { // It is woken when it goes on.
			later := *j
			later.at = n.thaws + 1
			w.queue.push(later)
		}
		return
	}
	switch j.kind {
	case jobWake:
		if n.alive && j.token == n.token>>16 && j.at == n.wake {
			n.wake = -1
			w.step(n, &Event{Kind: Tick})
		}
	case jobDeliver:
		e := Event{Kind: Heard}
		for _, to := range w.nodes {
			if j.to&(1<<to.number) != 0 && to.alive && (to.group == n.group || j.ok) && !w.keeps(to, j) {
				r := *j.record
				e.Record = &r
				w.step(to, &e)
			}
		}
	case jobCause:
		w.cause(n, causeKind(j.token))
	case jobVerified:
		if n.alive && j.token == n.token>>16 {
			to := w.find(j.record.NodeID)
			e := Event{Kind: Verified, Node: j.record.NodeID}
			if w.sees(n, to) && to.leading {
				e.OK, e.Epoch, e.RTT, e.Local = true, to.m.epoch, to.m.rtt, to.here
			}
			w.step(n, &e)
		}
	case jobDead:
		if n.alive && j.token == n.token>>16 {
			w.log("%s has proof that %s is dead", n.id, j.record.NodeID)
			w.step(n, &Event{Kind: Dead, Node: j.record.NodeID})
		}
	case jobLeafStarted, jobLeafFailed, jobLeafStopped:
		if !n.alive || j.token != n.token {
			return
		}
		kinds := map[jobKind]EventKind{jobLeafStarted: LeafStarted, jobLeafFailed: LeafFailed, jobLeafStopped: LeafStopped}
		n.leaf = leafNone
		if j.kind == jobLeafStarted {
			n.leaf = leafRunning
		}
		if j.kind == jobLeafFailed {
			w.check.cause("leaf start failed")
			w.log("%s: leaf cannot start", n.id)
		}
		w.step(n, &Event{Kind: kinds[j.kind], Err: "simulated"})
	}
}

// sees tells whether n can read the manifest of to.
func (w *world) sees(n, to *simNode) bool {
	return to != nil && to.alive && to.frozen == never && to.group == n.group && (!to.here || to.machine == n.machine)
}

// keeps is for a datagram to a process that does not run: some wait for it, as its socket has room, unless the machine sleeps.
func (w *world) keeps(to *simNode, j *job) bool {
	if to.frozen == never {
		return false
	}
	if !to.asleep {
		later := *j
		later.at, later.to, later.ok = to.thaws+1, 1<<to.number, true
		w.queue.push(later)
	}
	return true
}

func (w *world) find(id string) *simNode {
	if i := slices.IndexFunc(w.nodes, func(n *simNode) bool { return n.id == id }); i >= 0 {
		return w.nodes[i]
	}
	return nil
}

func (w *world) step(n *simNode, e *Event) {
	var before State
	if w.trace != nil {
		before = n.m.state
	}
	for _, effect := range n.m.Step(n.local(w.now), e) {
		w.effect(n, &effect)
	}
	if w.trace != nil && n.m.state != before {
		s := n.m.Status()
		w.log("%s: %s → %s, leader %q epoch %d", n.id, before, n.m.state, s.Leader, s.Epoch)
	}
	if leads := n.m.state == Leading; leads != n.leading {
		n.leading = leads
		w.check.leaders(n)
	}
	if wake := n.m.Wake(); wake != never && !n.ended {
		if at := max(w.now+1, n.global(wake)); at != n.wake {
			n.wake = at
			w.queue.push(job{at: at, kind: jobWake, node: n.number, token: n.token >> 16})
		}
	}
}

func (w *world) effect(n *simNode, e *Effect) {
	switch e.Kind {
	case Send:
		w.send(n, e.Record)
	case StartLeaf:
		if n.leaf != leafNone {
			w.check.fail("%s starts a leaf while it has one", n.id)
		}
		n.leaf = leafStarting
		n.token++
		d, kind := w.plan.startLeast+time.Duration(w.rng.Int64N(int64(w.plan.startMost-w.plan.startLeast)+1)), jobLeafStarted
		if w.slow&(1<<n.number) != 0 {
			d = 24 * time.Hour
		}
		if w.failing&(1<<n.number) != 0 {
			kind = jobLeafFailed
		}
		w.queue.push(job{at: w.now + d, kind: kind, node: n.number, token: n.token})
	case StopLeaf:
		if n.leaf == leafNone {
			w.check.fail("%s stops a leaf that it does not have", n.id)
		}
		if n.leaf == leafStarting && w.slow&(1<<n.number) != 0 {
			w.check.cause("leaf start given up")
		}
		n.leaf = leafStopping
		n.token++
		d := 5*ms + time.Duration(w.rng.Int64N(int64(100*ms)))
		if w.rng.IntN(4) == 0 {
			d = 2 * sec
		}
		w.queue.push(job{at: w.now + d, kind: jobLeafStopped, node: n.number, token: n.token})
	case Verify:
		d := ms + time.Duration(w.rng.Int64N(int64(40*ms)))
		if to := w.find(e.Record.NodeID); to == nil || !to.hostUp || to.group != n.group || to.frozen != never {
			d = 1500 * ms
		}
		r := e.Record
		w.queue.push(job{at: w.now + d, kind: jobVerified, node: n.number, token: n.token >> 16, record: &r})
	case Hold:
		n.holds = e.Record.NodeID
	case Ended:
		n.ended = true
		if n.leaf != leafNone {
			w.check.fail("%s has ended with a leaf", n.id)
		}
	}
}

// send passes a record on to everybody in reach, as a LAN does: some copies are lost,
// late, or come twice.
func (w *world) send(n *simNode, r Record) {
	n.order++
	r.Order, r.Proven = n.order, w.plan.liar == liarReplays
	if n.legacy {
		r.State, r.Order = "", int64((w.now+n.wall+2*time.Hour)/ms)
		if r.Role == RoleStopped && n.m.state != Stopped {
			r.Role = RoleCandidate // It does not say that it stands back.
		}
	}
	w.liar.hear(&r)
	var soon, late, twice uint64
	for _, to := range w.nodes {
		if to == n || !to.alive || to.group != n.group {
			continue
		}
		bit := uint64(1) << to.number
		lost := &w.lost[int(n.number)*len(w.nodes)+int(to.number)]
		dice := w.rng.Float64()
		switch p := w.plan.loss; {
		case w.heavy && dice < 0.8, !w.heavy && dice < p && *lost < 2:
			*lost++
			continue
		case dice > 1-w.plan.late:
			late |= bit
		case dice > 1-w.plan.late-w.plan.twice:
			twice |= bit
			fallthrough
		default:
			soon |= bit
		}
		*lost = 0
	}
	j := job{kind: jobDeliver, node: n.number, record: &r}
	if soon != 0 {
		j.at, j.to = w.now+100*time.Microsecond+time.Duration(w.rng.Int64N(int64(w.plan.delay))), soon
		w.queue.push(j)
	}
	if late != 0 {
		j.at, j.to = w.now+time.Duration(w.rng.Int64N(int64(500*ms))), late
		w.queue.push(j)
	}
	if twice != 0 {
		j.at, j.to = w.now+time.Duration(w.rng.Int64N(int64(1500*ms))), twice
		w.queue.push(j)
	}
}
