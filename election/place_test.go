package election

import (
	"testing"
	"time"
)

// A leader whose leaf is reachable on its own machine only yields to one that serves the LAN, whatever the epochs have come to:
// seen from both, and from who follows.
func TestLeaderOfTheLANBeatsThatOfOneMachine(t *testing.T) {
	claim := func(epoch, order int64, local bool) Record {
		r := leader("a", epoch, order)
		r.Local = local
		return r
	}
	leads := func(place Place, without rule) *drive {
		d := newDrive(t, Options{NodeID: "b", without: without})
		d.tell(Event{Kind: Placed, Place: place})
		d.pass(Settle)
		d.want(Leading)
		return d
	}
	d := leads(OnLAN, 0)
	d.hear(claim(9, 1, true))
	d.want(Leading)
	d = leads(OnLAN, withoutPlace) // The check can fail.
	d.hear(claim(9, 1, true))
	d.want(Following)
	d = leads(OnMachine, 0)
	d.hear(claim(0, 1, false))
	d.want(Following)
	d = leads(OnMachine, 0) // Between two of one machine the epoch decides.
	d.hear(claim(9, 1, true))
	d.want(Following)

	// That it serves the LAN is what was read at its leaf, and not what it says.
	d = leads(OnLAN, 0)
	d.read = map[string]standing{"a": {"a", 9, Unmeasured, true}}
	d.hear(claim(9, 1, false))
	d.want(Leading)

	// Who follows the leader of its machine, and could serve the LAN, takes over.
	d = newDrive(t, Options{NodeID: "b"})
	d.tell(Event{Kind: Placed, Place: OnLAN})
	for i := int64(1); d.now < 2*Lease; i++ {
		d.hear(claim(3, i, true))
		d.pass(Heartbeat)
	}
	d.want(Leading)
	if d.sent.Epoch != 4 || d.sent.Local {
		t.Errorf("leads under epoch %d, local %v", d.sent.Epoch, d.sent.Local)
	}
	// Who could not stays, however near to the backbone it is.
	d = newDrive(t, Options{NodeID: "b"})
	d.tell(Event{Kind: Placed, Place: OnMachine})
	d.tell(Event{Kind: Measured, RTT: 1})
	for i := int64(1); d.now < 4*Lease; i++ {
		r := claim(3, i, false)
		r.RTT = 500
		d.hear(r)
		d.pass(Heartbeat)
	}
	d.want(Following)
}

// Among candidates, too, whoever serves the LAN goes first.
func TestCandidateForTheLANGoesFirst(t *testing.T) {
	d := newDrive(t, Options{NodeID: "b"})
	d.tell(Event{Kind: Placed, Place: OnMachine})
	d.tell(Event{Kind: Measured, RTT: 1})
	for i := int64(1); d.now < Settle+2*Heartbeat; i++ {
		d.hear(Record{NodeID: "z", Role: RoleCandidate, State: Electing, RTT: 500, Order: i})
		d.pass(Heartbeat / 2)
	}
	d.want(Electing)
}

// Whoever copies the leader's name and counts on says what it likes of its epoch, its backbone and its place. The leader that
// was seen stays, and so does what is told of it.
func TestForgedRecordsOfTheLeaderMoveNobody(t *testing.T) {
	play := func(without rule) *drive {
		d := newDrive(t, Options{NodeID: "b", without: without})
		d.tell(Event{Kind: Placed, Place: OnLAN})
		d.tell(Event{Kind: Measured, RTT: 10})
		d.read = map[string]standing{"a": {"a", 1, 12, false}}
		genuine := leader("a", 1, 1)
		genuine.RTT = 12
		d.hear(genuine)
		d.want(Following)
		for i := int64(0); d.now < time.Minute; i++ {
			lie := leader("a", 1+i%7, 1<<50+i)
			lie.RTT, lie.Local = []RTT{400, 300, 500}[i%3], i%2 == 0
			d.hear(lie)
			d.pass(Heartbeat / 4)
			if without == 0 && d.m.Status().Epoch != 1 {
				t.Fatalf("epoch %d is told of the leader, at whose leaf 1 was read", d.m.Status().Epoch)
			}
		}
		return d
	}
	d := play(0)
	d.want(Following)
	if n := d.did[Verify]; n > 70 {
		t.Errorf("its manifest was read %d times in a minute", n)
	}
	if d := play(withoutWhatWasRead); d.did[StartLeaf] == 0 {
		t.Error("the check cannot fail")
	}
}

// Who did not run for a while begins to listen again before it elects: there may be a leader.
func TestWhoWakesListensFirst(t *testing.T) {
	for name, wake := range map[string]func(*drive){
		"its clock went on": func(d *drive) {
			d.now += time.Minute
			d.tell(Event{Kind: Tick})
		},
		"its clock stood still": func(d *drive) { d.tell(Event{Kind: Woke}) },
	} {
		t.Run(name, func(t *testing.T) {
			d := newDrive(t, Options{NodeID: "b"})
			for i := int64(1); d.now < 2*Lease; i++ {
				d.hear(leader("a", 3, i))
				d.pass(Heartbeat)
			}
			d.want(Following)
			d.pass(Lease + time.Second)
			d.want(MissingLeader)
			d.pass(DefaultGrace - 4*time.Second)
			wake(d)
			d.pass(Settle - 10*time.Millisecond)
			if d.did[StartLeaf] > 0 {
				t.Error("it leads before it has listened")
			}
			d.hear(leader("c", 4, 100))
			d.want(Following)
		})
	}
}
