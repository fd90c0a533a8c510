package hub

import (
	"hash/maphash"
	"sync"
	"time"
)

// A gate stands between a link's wire and the names. Around a move it decides, for each
// message, whether it counts, is a copy of one that did, or has to wait.
type gate struct {
	mu     sync.Mutex // held while messages go from the wire to their receivers
	holds  bool       // messages of names wait; answers and markers pass
	shut   bool       // nothing passes any more
	held   []inbound
	rule   rule
	credit map[uint64]int // plain copies whose queue copy has not come, by fingerprint
	owed   int            // their number
	strays int            // queue copies that counted because their plain one had not come
	seed   maphash.Seed   // the same for all gates of a hub

	remembers    bool // for recall
	late, former []remembered
}

// remembered is a message that counted.
type remembered struct {
	print uint64
	at    time.Time
}

// memory is for how long at least messages are remembered.
const memory = 500 * time.Millisecond

// remember writes down that m counted now.
func (g *gate) remember(m *inbound, now time.Time) {
	if len(g.late) > 0 && now.Sub(g.late[0].at) > memory {
		g.late, g.former = g.former[:0], g.late
	}
	g.late = append(g.late, remembered{g.fingerprint(m), now})
}

// recall gives g, which nothing has come through, the rule that what counted at another gate,
// within span before it broke, does not count again.
func (g *gate) recall(broken *gate, span time.Duration) {
	broken.mu.Lock()
	credit, owed := map[uint64]int{}, 0
	since := time.Now().Add(-span)
	for _, all := range [][]remembered{broken.former, broken.late} {
		for _, r := range all {
			if !r.at.Before(since) {
				credit[r.print]++
				owed++
			}
		}
	}
	broken.mu.Unlock()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.rule, g.credit, g.owed = ruleRest, credit, owed
}

// A rule says which copies of a message count, where an entry has several legs. On one link
// the server sends the plain copy of a message before the queue copy.
type rule int

const (
	// ruleSteady: each leg is the only one of its entry.
	ruleSteady rule = iota
	// rulePlain: plain copies count, queue copies are compared with them and dropped. Where the
	// plain leg is the younger one, whichever copy comes first counts.
	rulePlain
	// ruleNone: another link has taken over.
	ruleNone
	// ruleQueue: queue copies count, unless their plain copy did, on the link before. Plain
	// ones do not.
	ruleQueue
	// ruleEither: whichever copy comes first counts.
	ruleEither
	// ruleRest: what counted on the link before does not, everything else does. All legs are plain.
	ruleRest
)

// counts says whether m is to be delivered. The gate is locked.
func (g *gate) counts(m *inbound) bool {
	if g.rule == ruleSteady || m.route.alone.Load() {
		return true
	}
	if g.rule == ruleNone || g.rule == ruleQueue && !m.route.queue {
		return false
	}
	print := g.fingerprint(m)
	if g.rule == ruleRest {
		return !g.spend(print)
	}
	if !m.route.queue {
		g.credit[print]++
		g.owed++
		return true
	}
	if g.spend(print) || g.rule == rulePlain && !m.route.either.Load() {
		return false
	}
	g.strays++
	return true
}

// spend uses up one credit, if there is one.
func (g *gate) spend(print uint64) bool {
	n := g.credit[print]
	if n == 0 {
		return false
	}
	if g.owed--; n == 1 {
		delete(g.credit, print)
	} else {
		g.credit[print] = n - 1
	}
	return true
}

// fingerprint is the same for messages that cannot be told apart, and then it does not
// matter which is which.
func (g *gate) fingerprint(m *inbound) uint64 {
	var h maphash.Hash
	h.SetSeed(g.seed)
	maphash.WriteComparable(&h, m.route.entry.serial)
	h.WriteString(m.subject)
	h.WriteByte(0)
	h.WriteString(m.reply)
	h.WriteByte(0)
	h.Write(m.data)
	sum := h.Sum64()
	for name, values := range m.header { // in any order
		var h maphash.Hash
		h.SetSeed(g.seed)
		h.WriteString(name)
		for _, v := range values {
			h.WriteByte(0)
			h.WriteString(v)
		}
		sum += h.Sum64()
	}
	return sum
}

// follow changes the rule. Credits are kept, except that the steady state has none.
func (g *gate) follow(r rule) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.rule = r
	if r == ruleSteady {
		g.credit, g.owed = nil, 0
	} else if g.credit == nil {
		g.credit = map[uint64]int{}
	}
	g.strays = 0
}

// handOver ends the counting of plain copies, and gives away the credits: what counted here
// and whose queue copy comes, or has come, by the other link.
func (g *gate) handOver() (credit map[uint64]int, owed int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	credit, owed = g.credit, g.owed
	g.rule, g.credit, g.owed = ruleNone, nil, 0
	return credit, owed
}

// takeOver goes on, by rule r, where the gate from stops.
func (g *gate) takeOver(from *gate, r rule) {
	credit, owed := from.handOver()
	g.mu.Lock()
	defer g.mu.Unlock()
	if credit == nil {
		credit = map[uint64]int{}
	}
	g.rule, g.credit, g.owed = r, credit, owed
}

// recount forgets what came so far.
func (g *gate) recount() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.credit, g.owed, g.strays = map[uint64]int{}, 0, 0
}

// owes is how many plain copies had no queue copy since the last count began.
func (g *gate) owes() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.owed
}

// strayed is how many queue copies counted for want of a plain one since the last such count
// began.
func (g *gate) strayed() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.strays
}

// restray starts a new count of queue copies without a plain one; credits stay, they still
// tell what has been delivered.
func (g *gate) restray() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.strays = 0
}

// hold keeps the messages of plain subscriptions back from now on.
func (g *gate) hold() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.holds = true
}
