//go:build !js

package hub

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// A simPlan is what a system is like and what happens in it, all of it from a seed.
type simPlan struct {
	seed   uint64
	abrupt bool // links are lost, too

	servers  []string
	edges    []simEdge
	hubs     []simHubPlan
	clients  []simClientPlan
	actions  []simAction // of hubs, in order
	posts    []simPost   // in order
	faults   []simFault
	runs     bool
	refusing int // a server that takes no subscription to "s.1" and what has it in it; -1: none
	members  []int
	serving  []int
	stable   bool          // members of queue groups stay for good
	end      time.Duration // of actions, posts and faults
	worst    time.Duration // from anywhere to anywhere else, at most, unless something is stalled
	stalls   time.Duration // in all
}

type simEdge struct {
	a, b          int
	route         bool
	delay, jitter time.Duration
	perByte       time.Duration
}

type simHubPlan struct {
	servers   []int // the first is where it begins
	delays    []time.Duration
	jitter    float64 // of the delay
	subs      []simSubPlan
	noEcho    bool
	standby   bool
	noNumbers bool
	perByte   time.Duration
	selection Selection
}

type simSubPlan struct {
	subject string
	queue   string
	arrival bool
	inline  bool
}

// A simClientPlan is somebody who never moves and knows nothing of hubs.
type simClientPlan struct {
	server int
	delay  time.Duration
	sub    string
}

type simAction struct {
	at   time.Duration
	hub  int
	kind string
	arg  int // a server, or a subscription
	sub  simSubPlan
}

// A simPost is something that is published, or requested.
type simPost struct {
	at      time.Duration
	hub     int // -1-i: client i
	subject string
	request bool
}

type simFault struct {
	at   time.Duration
	kind string
	arg  int
	long time.Duration
}

// tree says that there is one way from each server to each other.
func (p *simPlan) tree() bool { return len(p.edges) == len(p.servers)-1 }

func (p *simPlan) String() string {
	text := fmt.Sprintf("seed %d, abrupt %v, to %v, worst %v, stalls %v, runs %v, refusing %d, serving %v, members %v (stable %v)\nservers %v\n", p.seed, p.abrupt, p.end, p.worst, p.stalls, p.runs, p.refusing, p.serving, p.members, p.stable, p.servers)
	for _, e := range p.edges {
		text += fmt.Sprintf("edge %+v\n", e)
	}
	for i, h := range p.hubs {
		text += fmt.Sprintf("hub %d: %+v\n", i, h)
	}
	for i, c := range p.clients {
		text += fmt.Sprintf("client %d: %+v\n", i, c)
	}
	for _, a := range p.actions {
		text += fmt.Sprintf("%v hub %d: %s %d %+v\n", a.at, a.hub, a.kind, a.arg, a.sub)
	}
	for _, f := range p.faults {
		text += fmt.Sprintf("fault %+v\n", f)
	}
	return text + fmt.Sprintf("%d posts", len(p.posts))
}

const (
	simSubjects = 3
	simMoving   = "s." // subjects that are published on, and listened to by all
	simQueued   = "q.0"
	simServed   = "r.0"
)

// newSimPlan makes a plan up. hubs is how many there are, 0: some.
func newSimPlan(seed uint64, abrupt bool, hubs int) *simPlan {
	rng := rand.New(rand.NewPCG(seed, 7))
	p := &simPlan{seed: seed, abrupt: abrupt, refusing: -1, runs: rng.IntN(2) == 0}
	oneOf := func(n int) bool { return rng.IntN(n) == 0 }
	between := func(least, most time.Duration) time.Duration { // as likely between 1 and 2 as between 10 and 20
		return time.Duration(float64(least) * math.Pow(float64(most)/float64(least), rng.Float64()))
	}
	jitter := func(d time.Duration) time.Duration {
		if oneOf(2) {
			return 0
		}
		return time.Duration(float64(d) * rng.Float64())
	}
	slowest := between(time.Millisecond, 200*time.Millisecond)
	edge := func(a, b int, route bool) {
		d := between(200*time.Microsecond, slowest)
		e := simEdge{a: a, b: b, route: route, delay: d, jitter: jitter(d)}
		if oneOf(5) {
			e.perByte = between(time.Microsecond/2, 20*time.Microsecond)
		}
		p.edges = append(p.edges, e)
	}
	server := func(name string) int {
		p.servers = append(p.servers, fmt.Sprintf("%s%d", name, len(p.servers)))
		return len(p.servers) - 1
	}
	// Where a message comes through may come back after it was killed, the others need not.
	var through []int
	switch rng.IntN(4) {
	case 0: // a server, and leaves of it
		b := server("backbone")
		through = append(through, b)
		for range 1 + rng.IntN(3) {
			edge(b, server("leaf"), false)
		}
	case 1: // a cluster, and leaves of it
		size := 2 + rng.IntN(2)
		for i := range size {
			server("routed")
			for j := range i {
				edge(j, i, true)
			}
		}
		for range rng.IntN(3) {
			at := rng.IntN(size)
			through = append(through, at)
			edge(at, server("leaf"), false)
		}
	case 2: // a leaf of a leaf
		b := server("backbone")
		l := server("leaf")
		edge(b, l, false)
		edge(l, server("leaf"), false)
		through = append(through, b, l)
	case 3: // two clusters with a bridge
		a, b := server("west"), server("west")
		edge(a, b, true)
		c := server("east")
		edge(b, c, false)
		through = append(through, a, b, c)
		if oneOf(2) {
			edge(c, server("east"), true)
		}
	}
	for _, e := range p.edges {
		p.worst += e.delay + e.jitter + 100*e.perByte
	}

	if hubs == 0 {
		switch {
		case oneOf(12):
			hubs = 5 + rng.IntN(4)
		default:
			hubs = 1 + rng.IntN(4)
		}
	}
	p.end = 500*time.Millisecond + between(500*time.Millisecond, 4*time.Second) + 10*p.worst
	during := func() time.Duration {
		return 300*time.Millisecond + time.Duration(rng.Int64N(int64(p.end-300*time.Millisecond)))
	}
	subjects := func() string { return fmt.Sprintf("%s%d", simMoving, rng.IntN(simSubjects)) }
	slowClient := between(time.Millisecond, 150*time.Millisecond)
	p.stable = !abrupt && oneOf(2)
	members := oneOf(3)
	serving := oneOf(3)
	farthest := time.Duration(0)
	for i := range hubs {
		h := simHubPlan{servers: rng.Perm(len(p.servers)), jitter: rng.Float64(), noEcho: oneOf(6), selection: Ordered}
		if oneOf(4) {
			h.selection = []Selection{Latency, Random}[rng.IntN(2)]
		}
		h.standby = abrupt && oneOf(6)
		h.noNumbers = oneOf(12)
		if oneOf(8) {
			h.perByte = between(time.Microsecond/2, 20*time.Microsecond)
		}
		if oneOf(2) {
			h.jitter = 0
		}
		for range p.servers {
			d := between(100*time.Microsecond, slowClient)
			h.delays = append(h.delays, d)
			farthest = max(farthest, time.Duration(float64(d)*(1+h.jitter))+100*h.perByte)
		}
		sub := func(subject, queue string) simSubPlan {
			return simSubPlan{subject, queue, queue == "" && oneOf(6), oneOf(2)}
		}
		if !oneOf(4) {
			all := []string{"s.0", "s.1", "s.2", "s.*", "s.>"}
			rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
			for _, subject := range all[:1+rng.IntN(2)] {
				h.subs = append(h.subs, sub(subject, ""))
			}
			for _, subject := range all[2:] {
				if oneOf(5) {
					p.actions = append(p.actions, simAction{at: during(), hub: i, kind: "subscribe", sub: sub(subject, "")})
				}
			}
		}
		if members && oneOf(2) {
			h.subs = append(h.subs, sub(simQueued, "workers"))
			p.members = append(p.members, i)
		}
		if serving && (len(p.serving) == 0 || oneOf(3)) {
			p.serving = append(p.serving, i)
		}
		for s := range h.subs {
			if oneOf(8) && !(p.stable && h.subs[s].queue != "") {
				p.actions = append(p.actions, simAction{at: during(), hub: i, kind: "unsubscribe", arg: s})
			}
		}
		if !oneOf(4) {
			for range 1 + rng.IntN(3) {
				p.actions = append(p.actions, simAction{at: during(), hub: i, kind: "move", arg: rng.IntN(len(p.servers))})
			}
		}
		if oneOf(5) {
			p.actions = append(p.actions, simAction{at: during(), hub: i, kind: "reconnect"})
		}
		if oneOf(12) && hubs > 1 && !(p.stable && (slices.Contains(p.members, i) || slices.Contains(p.serving, i))) {
			p.actions = append(p.actions, simAction{at: during(), hub: i, kind: "close"})
		}
		p.hubs = append(p.hubs, h)
	}
	for range rng.IntN(3) {
		c := simClientPlan{server: rng.IntN(len(p.servers)), delay: between(100*time.Microsecond, slowClient)}
		farthest = max(farthest, c.delay)
		c.sub = []string{"s.0", "s.*", "s.>"}[rng.IntN(3)]
		p.clients = append(p.clients, c)
	}
	p.worst += 2*farthest + 10*time.Millisecond

	// What is published: some publishers at even times, some in bursts.
	budget := 20 + rng.IntN(60)
	if oneOf(5) {
		budget *= 4
	}
	for budget > 0 {
		who := rng.IntN(hubs + len(p.clients))
		post := simPost{hub: who, subject: subjects()}
		if who >= hubs {
			post.hub = -1 - (who - hubs)
		}
		switch {
		case members && oneOf(4):
			post.subject = simQueued
		case serving && who < hubs && oneOf(4):
			post.subject, post.request = simServed, true
		}
		count := 5 + rng.IntN(40)
		budget -= count
		from, gap := during(), between(20*time.Microsecond, 50*time.Millisecond)
		for range count {
			post.at = from
			p.posts = append(p.posts, post)
			if from += gap; from > p.end { // too slow: the rest is not published
				break
			}
		}
	}

	for range rng.IntN(3) {
		if oneOf(2) {
			f := simFault{at: during(), kind: "stall", arg: rng.IntN(len(p.edges)), long: between(20*time.Millisecond, 2*time.Second)}
			p.stalls += f.long
			p.faults = append(p.faults, f)
		}
	}
	if at := rng.IntN(len(p.servers)); oneOf(8) && !abrupt && !slices.ContainsFunc(p.clients, func(c simClientPlan) bool { return c.server == at }) {
		p.refusing = at
		for i := range p.hubs { // nobody begins there
			h := &p.hubs[i]
			h.servers = slices.DeleteFunc(h.servers, func(s int) bool { return s == p.refusing })
		}
		// Nobody comes there who has no subscription yet that keeps it away, and then makes one.
		refused := func(sub simSubPlan) bool { return matches(sub.subject, "s.1") }
		p.actions = slices.DeleteFunc(p.actions, func(a simAction) bool {
			return a.kind == "unsubscribe" || a.kind == "subscribe" && refused(a.sub) && !slices.ContainsFunc(p.hubs[a.hub].subs, refused)
		})
	}
	if oneOf(8) {
		leaves := rng.IntN(len(p.servers))
		p.faults = append(p.faults, simFault{at: during(), kind: "leave", arg: leaves})
		for i := range p.hubs { // nobody is left without a server
			if h := &p.hubs[i]; !slices.ContainsFunc(h.servers, func(s int) bool { return s != leaves }) {
				for s := range p.servers {
					if s != leaves && s != p.refusing {
						h.servers = append(h.servers, s)
					}
				}
			}
		}
	}
	if abrupt {
		for range 1 + rng.IntN(3) {
			f := simFault{at: during(), kind: "cut", arg: rng.IntN(hubs)}
			switch {
			case oneOf(4):
				f.kind, f.long = "silence", between(2*time.Second, 12*time.Second)
			case oneOf(4):
				f.kind, f.arg, f.long = "kill", rng.IntN(len(p.servers)), between(100*time.Millisecond, 8*time.Second)
				if oneOf(3) && !slices.Contains(through, f.arg) && len(p.servers) > 2 {
					f.long = 0 // for good
				}
			}
			p.faults = append(p.faults, f)
		}
	}
	slices.SortStableFunc(p.actions, func(a, b simAction) int { return int(a.at - b.at) })
	slices.SortStableFunc(p.posts, func(a, b simPost) int { return int(a.at - b.at) })
	slices.SortStableFunc(p.faults, func(a, b simFault) int { return int(a.at - b.at) })
	return p
}
