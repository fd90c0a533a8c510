package election

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// liarKind says what somebody on the LAN can do who speaks for a long time.
type liarKind uint8

const (
	liarNone liarKind = iota
	// liarForges has no secret to get past: it says whatever it likes of whomever it likes.
	liarForges
	// liarReplays has only what it recorded, because all agents prove a secret.
	liarReplays
)

// liar goes through a sequence of lies that it has chosen, again and again. Of none of its
// leaders is there a leaf.
type liar struct {
	rng      *rand.Rand
	every    time.Duration
	tactics  []int
	next     int
	number   int64
	recorded []Record // Everything that it has heard, up to a bound.
}

const recordedMost = 4096

func newLiar(seed uint64) *liar {
	rng := rand.New(rand.NewPCG(seed, 99))
	l := &liar{rng: rng, every: time.Duration(50+rng.IntN(2000)) * ms}
	for range 1 + rng.IntN(6) {
		l.tactics = append(l.tactics, rng.IntN(9))
	}
	return l
}

func (l *liar) hear(r *Record) {
	if l == nil {
		return
	}
	if len(l.recorded) < recordedMost {
		l.recorded = append(l.recorded, *r)
	} else {
		l.recorded[l.rng.IntN(recordedMost)] = *r
	}
}

func (l *liar) speak(w *world) {
	if w.now >= w.plan.liarEnds {
		return
	}
	w.queue.push(job{at: w.now + l.every, kind: jobCause, token: int64(causeLiar)})
	r, ok := l.lie(w)
	if !ok {
		return
	}
	w.log("liar: %s is %s, leads %v, epoch %d, count %d", r.NodeID, r.State, r.Leads, r.Epoch, r.Order)
	w.queue.push(job{at: w.now, kind: jobDeliver, record: &r, to: 1<<len(w.nodes) - 1, ok: true})
}

func (l *liar) lie(w *world) (Record, bool) {
	tactic := l.tactics[l.next%len(l.tactics)]
	l.next++
	local, rtt := l.rng.IntN(4) == 0, RTT(l.rng.IntN(600)-1)
	if w.plan.liar == liarReplays {
		if len(l.recorded) == 0 {
			return Record{}, false
		}
		if tactic%2 == 0 { // The oldest first, as to somebody who has just started.
			l.number++
			return l.recorded[int(l.number)%len(l.recorded)], true
		}
		return l.recorded[l.rng.IntN(len(l.recorded))], true
	}
	l.number++
	r := Record{NodeID: fmt.Sprintf("00-ghost-%d", l.rng.IntN(3)), Role: RoleCandidate, State: Electing, Order: l.number, Local: local, RTT: rtt}
	if l.rng.IntN(2) == 0 { // Of somebody who is there.
		n := w.nodes[l.rng.IntN(len(w.nodes))]
		r.NodeID, r.Order = n.id, n.order+1+l.rng.Int64N(3)
	}
	switch tactic {
	case 0:
		r.State = StartingLeaf
	case 1:
		r.State = Discovering
	case 2:
		r.State, r.Role = Following, RoleFollower
	case 3:
		r.State = MissingLeader
	case 4:
		r.Leads, r.Role, r.State, r.Epoch = true, RoleLeader, Leading, l.rng.Int64N(1<<20)
	case 5:
		r.Role, r.State = RoleStopped, Stopped
	case 6:
		r.Order = 1<<52 + l.number
	case 7:
		r.State = "" // As 2.1.0 speaks.
	}
	return r, true
}

func simulateLiar(seed uint64, kind liarKind, without rule, trace *[]string) *world {
	rng := rand.New(rand.NewPCG(seed, 43))
	p := randomPlan(rng, 1+rng.IntN(6))
	if kind == liarReplays {
		p.legacy = 0 // They prove nothing.
	}
	p.liar, p.spaced, p.without = kind, false, without
	// It speaks through all that happens, and for two minutes more; then the LAN comes to rest.
	p.liarEnds = p.end + 2*time.Minute
	p.end = p.liarEnds + p.rest() + challengeAfter
	w := newWorld(seed, p, rng)
	w.liar = newLiar(seed)
	w.queue.push(job{at: time.Duration(rng.Int64N(int64(10 * sec))), kind: jobCause, token: int64(causeLiar)})
	w.trace = trace
	if err := w.run(); err != nil {
		w.check.err = fmt.Errorf("seed %d, liar %d: %w", seed, kind, err)
	}
	return w
}

func TestSimulatedLANsKeepThePromisesBesideALiar(t *testing.T) {
	for kind, name := range map[liarKind]string{liarForges: "who forges", liarReplays: "who replays what has a proof"} {
		t.Run(name, func(t *testing.T) {
			lans := simulatedLANs(t) / 10
			var worst sync.Mutex
			var none, two time.Duration
			failures := atomic.Int64{}
			inParallel(lans, func(i int) bool {
				w := simulateLiar(uint64(i), kind, 0, nil)
				if err := w.check.err; err != nil {
					t.Error(err)
					return failures.Add(1) < 5
				}
				worst.Lock()
				defer worst.Unlock()
				none, two = max(none, w.check.longestNone), max(two, w.check.longestTwo)
				return true
			})
			t.Logf("%d LANs; longest time without a leader %v, with two %v", lans, none, two)
		})
	}
}

func TestSimulationNoticesALiarThatIsBelieved(t *testing.T) {
	for name, without := range map[string]rule{
		"those who say that they start are waited for ever": withoutPatienceEnd,
		"whoever says so leads":                             withoutVerify,
	} {
		t.Run(name, func(t *testing.T) {
			var caught atomic.Pointer[error]
			inParallel(300, func(i int) bool {
				if err := simulateLiar(uint64(i), liarForges, without, nil).check.err; err != nil {
					caught.Store(&err)
					return false
				}
				return true
			})
			if caught.Load() == nil {
				t.Error("no promise was broken in 300 LANs")
			}
		})
	}
}
