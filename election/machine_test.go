package election

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// drive is one machine, to which a test speaks.
type drive struct {
	t    *testing.T
	m    *Machine
	now  time.Duration
	sent Record // The last.
	did  map[EffectKind]int
	read map[string]standing // What is at leaves; of others it is what their records say.
}

func newDrive(t *testing.T, o Options) *drive {
	d := &drive{t: t, m: NewMachine(o, 0), did: map[EffectKind]int{}}
	d.tell(Event{Kind: Tick})
	return d
}

// tell says that e happened now. A leaf that is asked for is there at once, and so is
// its end; nobody's leaf is found.
func (d *drive) tell(e Event) {
	var then []Event
	for _, effect := range d.m.Step(d.now, &e) {
		d.did[effect.Kind]++
		switch effect.Kind {
		case Send:
			d.sent = effect.Record
		case StartLeaf:
			then = append(then, Event{Kind: LeafStarted})
		case StopLeaf:
			then = append(then, Event{Kind: LeafStopped})
		case Verify:
			r := effect.Record
			s, known := d.read[r.NodeID]
			if !known {
				s = standing{r.NodeID, r.Epoch, r.RTT, r.Local}
			}
			then = append(then, Event{Kind: Verified, Node: r.NodeID, OK: !d.forged(r), Epoch: s.epoch, RTT: s.rtt, Local: s.local})
		}
	}
	for _, e := range then {
		d.tell(e)
	}
}

func (d *drive) forged(r Record) bool { return r.NodeID == "ghost" }

// pass lets time pass.
func (d *drive) pass(t time.Duration) {
	for end := d.now + t; d.now < end; {
		d.now = min(end, d.m.Wake())
		d.tell(Event{Kind: Tick})
	}
}

func (d *drive) hear(r Record) { d.tell(Event{Kind: Heard, Record: &r}) }

func (d *drive) want(s State) {
	d.t.Helper()
	if d.m.state != s {
		d.t.Fatalf("at %v: state %s, want %s", d.now, d.m.state, s)
	}
}

func leader(node string, epoch, order int64) Record {
	return Record{NodeID: node, Leads: true, Role: RoleLeader, State: Leading, Epoch: epoch, RTT: Unmeasured, Order: order}
}

func TestAloneItLeadsAfterSettling(t *testing.T) {
	d := newDrive(t, Options{NodeID: "b"})
	d.pass(Settle - time.Millisecond)
	d.want(Discovering)
	d.pass(time.Millisecond)
	d.want(Leading)
	if d.sent.Epoch != 1 || !d.sent.Leads {
		t.Errorf("sent %+v", d.sent)
	}
}

func TestForgedClaimNeverEndsALeader(t *testing.T) {
	d := newDrive(t, Options{NodeID: "b"})
	d.pass(Settle)
	for i := range int64(100) {
		d.hear(leader("ghost", 2+i, 1+i))
		d.pass(700 * time.Millisecond)
		d.want(Leading)
	}
	// The rule is what holds it: without it the first lie ends the leader.
	d = newDrive(t, Options{NodeID: "b", without: withoutVerify})
	d.pass(Settle)
	d.hear(leader("ghost", 2, 1))
	d.want(Following)
}

func TestForgedClaimDelaysAnElectionByOneLeaseAtMost(t *testing.T) {
	d := newDrive(t, Options{NodeID: "b"})
	for i := int64(1); d.now < Settle+Lease+Heartbeat; i++ {
		d.hear(leader("ghost", i, i))
		d.pass(100 * time.Millisecond)
	}
	d.want(Leading)
}

// Whatever sequence of states liars go through, they hold an election up for a bounded time in
// all: each of them, and all together.
func TestLiarsDelayAnElectionByABoundedTime(t *testing.T) {
	states := []State{Discovering, Electing, StartingLeaf, Following, MissingLeader}
	worst := time.Duration(0)
	for seed := range uint64(300) {
		rng := rand.New(rand.NewPCG(seed, 7))
		liars := 1 + rng.IntN(3)
		if seed%10 == 0 {
			liars = maxPeers
		}
		every := time.Duration(1+rng.IntN(2000)) * time.Millisecond
		pattern := make([]State, 1+rng.IntN(5))
		for i := range pattern {
			pattern[i] = states[rng.IntN(len(states))]
		}
		d := newDrive(t, Options{NodeID: "b"})
		for i := int64(1); d.m.state != Leading; i++ {
			r := Record{NodeID: fmt.Sprintf("a%d", rng.IntN(liars)), Role: RoleCandidate, State: pattern[i%int64(len(pattern))], RTT: 0, Order: i}
			if rng.IntN(4) == 0 {
				r = leader("ghost", i, i)
			}
			d.hear(r)
			d.pass(every)
			if d.now > time.Hour {
				t.Fatalf("seed %d: no leader after an hour of %v every %v by %d liars", seed, pattern, every, liars)
			}
		}
		worst = max(worst, d.now)
	}
	t.Logf("the longest time without a leader: %v", worst)
	if most := Settle + Lease + electionMost + Heartbeat; worst > most {
		t.Errorf("liars held an election up for %v, and the bound is %v", worst, most)
	}
}

func TestFarEpochIsNotTakenOver(t *testing.T) {
	d := newDrive(t, Options{NodeID: "b"})
	d.hear(Record{NodeID: "a", Role: RoleCandidate, Epoch: 1 << 50, RTT: Unmeasured, Order: 1})
	d.hear(leader("ghost", 1<<52, 1))
	d.pass(Settle + Lease + Stale)
	d.want(Leading)
	if d.sent.Epoch > epochJump {
		t.Errorf("leads under epoch %d", d.sent.Epoch)
	}
}

func TestGoodbyeNeedsNoGraceAndSilenceDoes(t *testing.T) {
	d := newDrive(t, Options{NodeID: "b"})
	d.hear(leader("a", 7, 1))
	d.want(Following)
	d.hear(Record{NodeID: "a", Role: RoleStopped, State: Stopped, Epoch: 7, RTT: Unmeasured, Order: 2})
	d.want(Leading)
	if d.sent.Epoch != 8 {
		t.Errorf("epoch %d, want 8", d.sent.Epoch)
	}
	d = newDrive(t, Options{NodeID: "b"})
	d.hear(leader("a", 7, 1))
	d.pass(Lease)
	d.want(MissingLeader)
	d.pass(DefaultGrace - time.Millisecond)
	d.want(MissingLeader)
	d.pass(time.Millisecond)
	d.want(Leading)
}

func TestCopiesAreNoNews(t *testing.T) {
	for _, c := range []struct {
		name   string
		second Record
		proven bool
		wait   time.Duration
		want   State
	}{
		{name: "a late copy from before the goodbye", second: Record{Order: 4}, want: Leading},
		{name: "the same record again", second: Record{Order: 5}, want: Leading},
		{name: "a replay, with proof", second: Record{Order: 4}, proven: true, wait: Lease, want: Leading},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, rule := range []rule{0, withoutOrder} {
				d := newDrive(t, Options{NodeID: "b", without: rule})
				a := leader("a", 7, 4)
				a.Proven = c.proven
				d.hear(a)
				d.hear(Record{NodeID: "a", Role: RoleStopped, State: Stopped, Epoch: 7, RTT: Unmeasured, Order: 5, Proven: c.proven})
				d.pass(c.wait)
				d.want(Leading)
				again := leader("a", 9, c.second.Order)
				again.Proven = c.proven
				d.hear(again)
				if rule == 0 {
					d.want(c.want)
				} else {
					d.want(Following) // The check can fail.
				}
			}
		})
	}
}

func TestALostCountIsForgivenWithinALease(t *testing.T) {
	d := newDrive(t, Options{NodeID: "b"})
	d.hear(leader("a", 7, 1<<40))
	for i := int64(1); i < 20; i++ { // Restarted with an empty cache, or the first was a lie.
		d.pass(Heartbeat)
		d.hear(leader("a", 7, i))
		d.want(Following)
	}
}

func TestProofOfDeathNeedsNoGrace(t *testing.T) {
	d := newDrive(t, Options{NodeID: "b", FastFailover: true})
	d.hear(leader("a", 1, 1))
	if d.did[Hold] != 1 {
		t.Fatal("no connection is held")
	}
	d.tell(Event{Kind: Dead, Node: "a"})
	d.want(Leading)
}

func TestWarmStandbyLeadsAtOnce(t *testing.T) {
	d := newDrive(t, Options{NodeID: "b", WarmStandby: true})
	d.hear(leader("a", 1, 1))
	d.pass(Heartbeat)
	if d.did[StartLeaf] != 1 || d.sent.Leads {
		t.Fatalf("leaf started %d times, sent %+v", d.did[StartLeaf], d.sent)
	}
	d.hear(Record{NodeID: "a", Role: RoleStopped, State: Stopped, Epoch: 1, RTT: Unmeasured, Order: 2})
	d.want(Leading)
	if d.did[StartLeaf] != 1 {
		t.Error("the leaf was started again")
	}
}

func TestFloodOfAgentsIsBounded(t *testing.T) {
	d := newDrive(t, Options{NodeID: "b"})
	for i := range 100_000 {
		d.hear(leader(string(rune('A'+i%26))+time.Duration(i).String(), int64(i), 1))
	}
	if len(d.m.order) > maxPeers || len(d.m.peers) > maxPeers || d.m.verifying > verifyMost {
		t.Errorf("%d agents are kept, %d verified", len(d.m.order), d.m.verifying)
	}
	if d.m.Status().Crowded == 0 {
		t.Error("nobody was turned away")
	}
}

func TestPreemptionNeedsAnAdvantageThatLasts(t *testing.T) {
	follow := func(rtt RTT, without rule) *drive {
		d := newDrive(t, Options{NodeID: "b", without: without})
		d.tell(Event{Kind: Measured, RTT: 10})
		for i := int64(1); d.now < Lease+2*Heartbeat; i++ {
			a := leader("a", 1, i)
			a.RTT = rtt
			d.hear(a)
			d.pass(Heartbeat)
		}
		return d
	}
	follow(59, 0).want(Following)
	follow(59, withoutAdvantage).want(Leading) // The check can fail.
	d := follow(60, 0)
	d.want(Leading)
	if d.sent.Epoch != 2 {
		t.Errorf("leads under epoch %d, want 2", d.sent.Epoch)
	}
	// An advantage that is interrupted begins anew.
	d = newDrive(t, Options{NodeID: "b"})
	d.tell(Event{Kind: Measured, RTT: 10})
	order := int64(0)
	hear := func(rtt RTT) {
		order++
		a := leader("a", 1, order)
		a.RTT = rtt
		d.hear(a)
	}
	hear(10)
	d.pass(Lease - Heartbeat)
	hear(10)
	d.pass(2 * Heartbeat)
	for range 5 {
		hear(100)
		d.pass(evaluateEvery + evaluateEvery/2) // Two evaluations.
		hear(10)
		d.pass(evaluateEvery)
		d.want(Following)
	}
}

// After a partition the side that reaches the backbone stays, whatever the epochs have come to.
func TestLeaderWithABackboneBeatsOneWithout(t *testing.T) {
	claim := func(epoch, order int64, rtt RTT, state State) Record {
		r := leader("a", epoch, order)
		r.RTT, r.State = rtt, state
		return r
	}
	with := func(rtt RTT) *drive {
		d := newDrive(t, Options{NodeID: "b"})
		d.tell(Event{Kind: Measured, RTT: rtt})
		d.pass(Settle)
		d.want(Leading)
		return d
	}
	d := with(20)
	d.hear(claim(9, 1, Unmeasured, Leading))
	d.want(Leading)
	d.hear(claim(9, 2, 200, Leading)) // It reaches the backbone now: the epoch decides.
	d.want(Following)

	d = with(Unmeasured)
	d.hear(claim(0, 1, 200, Leading))
	d.want(Following)

	// An agent of 2.1.0 goes by the epoch, so who meets one does, too: else both stay, or both go.
	d = with(20)
	d.hear(claim(9, 1, Unmeasured, ""))
	d.want(Following)
}

// Who could not start a leaf lets others try first, and says so. (A LAN comes to rest without that rule, too; others wait longer.)
func TestWhoFailsStandsBack(t *testing.T) {
	after := func(without rule) (role Role, again time.Duration) {
		m := NewMachine(Options{NodeID: "b", without: without}, 0)
		var now time.Duration
		starts := 0
		for now < time.Minute && starts < 2 {
			for _, effect := range m.Step(now, &Event{Kind: Tick}) {
				if effect.Kind != StartLeaf {
					continue
				}
				if starts++; starts == 2 {
					return role, again + now
				}
				again = -now
				for _, after := range m.Step(now, &Event{Kind: LeafFailed, Err: "of a test"}) {
					if after.Kind == Send {
						role = after.Record.Role
					}
				}
				break
			}
			now = max(now+1, m.Wake())
		}
		return role, again
	}
	if role, again := after(0); role != RoleStopped || again < retryStart {
		t.Errorf("its role is %s, and it tries again after %v", role, again)
	}
	if role, again := after(withoutStandBack); role == RoleStopped || again >= retryStart {
		t.Errorf("the check cannot fail: its role is %s, and it tries again after %v", role, again)
	}
}
