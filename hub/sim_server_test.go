//go:build !js

package hub

import (
	"maps"
	"slices"
	"time"
)

// A simServer is a nats-server.
type simServer struct {
	n       *simNet
	name    string
	url     string
	up      bool
	lame    bool
	conns   []*simWire
	counts  map[simKey]int // subscriptions of its own clients
	ends    []*simEnd      // of routes and bridges
	targets map[string]*simTargets
	refuses func(subject string) bool
}

// A simEnd is a server's end of a route or a bridge.
type simEnd struct {
	at        *simServer
	peer      *simEnd
	route     bool
	up        bool
	out       *simPipe
	heard     map[simKey]int // what the peer has said to have
	announced map[simKey]int // what it was told
}

type simSub struct {
	wire  *simWire
	key   simKey
	route any
	gone  bool // the client has forgotten it
}

// A simMsg is one message on its way.
type simMsg struct{ OutMsg }

// simTargets are those who listen to a subject, as one server knows.
type simTargets struct {
	plain  []*simSub
	ends   []*simEnd
	groups []simGroup
}

type simGroup struct {
	queue string
	local []*simSub
	ends  []*simEnd // once for each member
}

func (n *simNet) addServer(name string) *simServer {
	s := &simServer{n: n, name: name, url: "nats://" + name + ":4222", up: true, counts: map[simKey]int{}, targets: map[string]*simTargets{}}
	n.servers = append(n.servers, s)
	return s
}

// join connects two servers, by a route or else by a bridge.
func (n *simNet) join(a, b *simServer, route bool, delay, jitter, perByte time.Duration) *simEnd {
	pipe := func() *simPipe { return &simPipe{n: n, delay: delay, jitter: jitter, perByte: perByte} }
	x, y := &simEnd{at: a, route: route, up: true, out: pipe()}, &simEnd{at: b, route: route, up: true, out: pipe()}
	x.peer, y.peer = y, x
	for _, e := range []*simEnd{x, y} {
		e.heard, e.announced = map[simKey]int{}, map[simKey]int{}
		e.at.ends = append(e.at.ends, e)
	}
	return x
}

// interest is how many members of key s knows of that concern the server at the other side of end.
func (s *simServer) interest(key simKey, end *simEnd) int {
	sum := s.counts[key]
	for _, e := range s.ends {
		if e != end && e.up && !(e.route && end.route) {
			sum += e.heard[key]
		}
	}
	if key.queue == "" {
		sum = min(sum, 1)
	}
	return sum
}

// changed tells the others that there is another number of subscriptions.
func (s *simServer) changed(key simKey, from *simEnd) {
	clear(s.targets)
	for _, e := range s.ends {
		if e != from {
			s.announceInterest(e, key)
		}
	}
}

func (s *simServer) announceInterest(e *simEnd, key simKey) {
	count := s.interest(key, e)
	if !e.up || e.announced[key] == count {
		return
	}
	e.announced[key] = count
	peer := e.peer
	e.out.send(40, func() {
		if !peer.up {
			return
		}
		if peer.heard[key] = count; count == 0 {
			delete(peer.heard, key)
		}
		peer.at.changed(key, peer)
	})
}

// connected begins anew after a time without a connection: everything is told.
func (e *simEnd) connected() {
	e.announced, e.heard = map[simKey]int{}, map[simKey]int{}
	keys := map[simKey]bool{}
	for key := range e.at.counts {
		keys[key] = true
	}
	for _, other := range e.at.ends {
		for key := range other.heard {
			keys[key] = true
		}
	}
	clear(e.at.targets)
	for _, key := range sortedKeys(keys) {
		e.at.announceInterest(e, key)
	}
}

// disconnected takes an end down.
func (e *simEnd) disconnected() {
	if !e.up {
		return
	}
	e.up = false
	heard := map[simKey]bool{}
	for key := range e.heard {
		heard[key] = true
	}
	clear(e.heard)
	for _, key := range sortedKeys(heard) {
		e.at.changed(key, e)
	}
}

func sortedKeys(keys map[simKey]bool) []simKey {
	return slices.SortedFunc(maps.Keys(keys), func(a, b simKey) int {
		if a.subject+" "+a.queue < b.subject+" "+b.queue {
			return -1
		}
		return 1
	})
}

// listening are those who get what is published on subject.
func (s *simServer) listening(subject string) *simTargets {
	if t := s.targets[subject]; t != nil {
		return t
	}
	t := &simTargets{}
	group := func(queue string) *simGroup {
		i := slices.IndexFunc(t.groups, func(g simGroup) bool { return g.queue == queue })
		if i < 0 {
			i = len(t.groups)
			t.groups = append(t.groups, simGroup{queue: queue})
		}
		return &t.groups[i]
	}
	for _, w := range s.conns {
		for _, sub := range w.subs {
			switch {
			case !matches(sub.key.subject, subject):
			case sub.key.queue == "":
				t.plain = append(t.plain, sub)
			default:
				g := group(sub.key.queue)
				g.local = append(g.local, sub)
			}
		}
	}
	for _, e := range s.ends {
		if !e.up {
			continue
		}
		queues := map[simKey]bool{}
		plain := false
		for key := range e.heard {
			if matches(key.subject, subject) {
				if key.queue == "" {
					plain = true
				} else {
					queues[key] = true
				}
			}
		}
		if plain {
			t.ends = append(t.ends, e)
		}
		for _, key := range sortedKeys(queues) {
			g := group(key.queue)
			for range e.heard[key] {
				g.ends = append(g.ends, e)
			}
		}
	}
	s.targets[subject] = t
	return t
}

// A simForward is where a message goes on to, for which queue groups.
type simForward struct {
	end    *simEnd
	queues []string
}

// forward sends m on to everybody: from is where it came from, nil for a client, w, and queues are the groups
// that a member is to be found for here.
func (s *simServer) forward(m *simMsg, w *simWire, from *simEnd, queues []string) {
	if s.n.sabotage != nil && s.n.sabotage(m) {
		return
	}
	if s.n.twice != nil && from == nil && s.n.twice(m) {
		s.forward(m, w, &simEnd{}, nil)
	}
	t := s.listening(m.Subject)
	heard := false
	give := func(sub *simSub) {
		if sub.wire == w && w.noEcho {
			return
		}
		heard = true
		sub.wire.hand(simItem{sub: sub, m: m})
	}
	for _, sub := range t.plain {
		give(sub)
	}
	var on []simForward
	send := func(e *simEnd, queue string) {
		heard = true
		i := slices.IndexFunc(on, func(f simForward) bool { return f.end == e })
		if i < 0 {
			i = len(on)
			on = append(on, simForward{end: e})
		}
		if queue != "" {
			on[i].queues = append(on[i].queues, queue)
		}
	}
	routed := from != nil && from.route
	for _, e := range t.ends {
		if e != from && !(routed && e.route) {
			send(e, "")
		}
	}
	for _, g := range t.groups {
		if from != nil && !slices.Contains(queues, g.queue) {
			continue
		}
		s.pick(m, w, from, &g, give, send)
	}
	if from != nil {
		for _, queue := range queues {
			if !slices.ContainsFunc(t.groups, func(g simGroup) bool { return g.queue == queue }) {
				s.n.unrouted[string(m.Data)] = true
			}
		}
	}
	for _, f := range on {
		peer := f.end.peer
		f.end.out.send(len(m.Data)+len(m.Subject)+60, func() {
			if peer.up {
				peer.at.forward(m, nil, peer, f.queues)
			}
		})
	}
	if !heard && from == nil && m.Reply != "" {
		none := &simMsg{OutMsg: OutMsg{Subject: m.Reply, Header: Header{headerStatus: {"503"}}}}
		for _, sub := range w.subs {
			if matches(sub.key.subject, m.Reply) {
				w.hand(simItem{sub: sub, m: none})
			}
		}
	}
}

// pick chooses a member as nats-server does: any of its own and those of its cluster, but for what comes by
// a route one of its own first. Members behind a bridge are the last resort. What a route has brought for a member that has just gone goes back by a route, where
// it is given to plain subscriptions once more, too.
func (s *simServer) pick(m *simMsg, w *simWire, from *simEnd, g *simGroup, give func(*simSub), send func(*simEnd, string)) {
	var local []*simSub
	for _, sub := range g.local {
		if !(sub.wire == w && w.noEcho) {
			local = append(local, sub)
		}
	}
	var routes, bridges []*simEnd
	for _, e := range g.ends {
		switch {
		case e.route:
			routes = append(routes, e)
		case e != from:
			bridges = append(bridges, e)
		}
	}
	rng := s.n.rng
	choose := func(from []*simEnd) { send(from[rng.IntN(len(from))], g.queue) }
	switch i := 0; {
	case !(from != nil && from.route) && len(local)+len(routes) > 0:
		if i = rng.IntN(len(local) + len(routes)); i < len(local) {
			give(local[i])
		} else {
			send(routes[i-len(local)], g.queue)
		}
	case len(local) > 0:
		give(local[rng.IntN(len(local))])
	case len(bridges) > 0:
		choose(bridges)
	case len(routes) > 0:
		s.n.returned[string(m.Data)] = true
		choose(routes)
	case from != nil:
		s.n.unrouted[string(m.Data)] = true
	}
}

// kill ends a server at once, with all its connections, and what it had not sent.
func (s *simServer) kill() {
	n := s.n
	n.logf("%s is killed", s.name)
	s.up = false
	for _, e := range s.ends {
		e.up = false
		clear(e.heard)
		e.peer.out.lose()
		if n.rng.IntN(2) == 0 {
			e.out.lose()
		}
		n.at(max(n.now()+e.out.delay, e.out.last), func() {
			if !e.up {
				e.peer.disconnected()
			}
		})
	}
	for _, w := range slices.Clone(s.conns) {
		w.cut("server killed", w.down.delay+n.random(time.Millisecond))
		w.detach()
	}
	clear(s.counts)
	clear(s.targets)
}

// revive brings a killed server back.
func (s *simServer) revive() {
	n := s.n
	n.logf("%s is back", s.name)
	s.up, s.lame = true, false
	for _, e := range s.ends {
		n.at(n.now()+2*e.out.delay+10*time.Millisecond+n.random(500*time.Millisecond), func() {
			if !s.up || !e.peer.at.up || e.up {
				return
			}
			e.peer.disconnected()
			e.out.lose()
			e.peer.out.lose()
			e.up, e.peer.up = true, true
			e.connected()
			e.peer.connected()
		})
	}
}

// leave tells all clients, as in lame duck mode, to go elsewhere, and takes no new ones.
func (s *simServer) leave() {
	s.n.logf("%s wants its clients to leave", s.name)
	s.lame = true
	for _, w := range s.conns {
		w.hand(simItem{do: w.receiver.Leaving})
	}
}
