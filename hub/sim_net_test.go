//go:build !js

package hub

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"
)

// A simNet is a system of NATS servers in memory, and the network between them, for tests in which time
// is synctest's: a cluster's servers have routes to one another, and leaf servers hang on bridges, as a tree.
// Servers deal with each connection's lines in their order, and know of subscriptions elsewhere only
// what they have been told, by the ways that messages go, too.
//
// One goroutine does everything that happens in it, one thing after the other, so that it depends
// on little else than its seed.
type simNet struct {
	mu      sync.Mutex
	rng     *rand.Rand
	start   time.Time
	events  simEvents
	serial  uint64
	wake    chan struct{} // the next event is another one
	ended   chan struct{}
	over    bool
	calls   []func() // to be made without the lock
	servers []*simServer
	trace   func(format string, args ...any) // nil: nobody reads it

	published func(w *simWire, m *OutMsg) // told of everything that a connection takes
	sabotage  func(m *simMsg) bool        // a server drops m silently: the checks must notice
	twice     func(m *simMsg) bool        // or sends it twice
	runs      bool                        // messages in a row are handed on as runs
	returned  map[string]bool             // payloads that a route has brought back where they had been
	unrouted  map[string]bool             // payloads for which no member of a queue group was left where they were sent
	hops      int                         // messages from one place to the next
}

type simEvent struct {
	at     time.Duration
	serial uint64 // what was planned first happens first
	do     func()
}

type simEvents []simEvent

func (e simEvents) Len() int { return len(e) }
func (e simEvents) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].serial < e[j].serial
}
func (e simEvents) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *simEvents) Push(x any)   { *e = append(*e, x.(simEvent)) }
func (e *simEvents) Pop() any {
	last := len(*e) - 1
	x := (*e)[last]
	(*e)[last] = simEvent{}
	*e = (*e)[:last]
	return x
}

func newSimNet(rng *rand.Rand) *simNet {
	return &simNet{rng: rng, start: time.Now(), wake: make(chan struct{}, 1), ended: make(chan struct{}), returned: map[string]bool{}, unrouted: map[string]bool{}}
}

func (n *simNet) now() time.Duration { return time.Since(n.start) }

// at plans do. n.mu is held, here and in what follows.
func (n *simNet) at(at time.Duration, do func()) {
	n.serial++
	if len(n.events) == 0 || at < n.events[0].at {
		notify(n.wake)
	}
	heap.Push(&n.events, simEvent{at, n.serial, do})
}

// after plans do for when d has passed, for callers without the lock.
func (n *simNet) after(d time.Duration, do func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.at(n.now()+d, do)
}

func (n *simNet) logf(format string, args ...any) {
	if n.trace != nil {
		n.trace(format, args...)
	}
}

// random is a time up to d.
func (n *simNet) random(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return time.Duration(n.rng.Int64N(int64(d)))
}

// run is the net's goroutine, until stop.
func (n *simNet) run() {
	defer close(n.ended)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		n.mu.Lock()
		for !n.over && len(n.events) > 0 && n.events[0].at <= n.now() {
			heap.Pop(&n.events).(simEvent).do()
			for len(n.calls) > 0 {
				calls := n.calls
				n.calls = nil
				n.mu.Unlock()
				for _, call := range calls {
					call()
				}
				n.mu.Lock()
			}
		}
		wait := time.Hour
		if len(n.events) > 0 {
			wait = n.events[0].at - n.now()
		}
		over := n.over
		n.mu.Unlock()
		if over {
			return
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-n.wake:
		}
	}
}

func (n *simNet) stop() {
	n.mu.Lock()
	n.over = true
	n.mu.Unlock()
	notify(n.wake)
	<-n.ended
}

// A simPipe is one direction of a connection: what goes in comes out in order, later, or is lost with
// everything behind it.
type simPipe struct {
	n             *simNet
	delay, jitter time.Duration
	perByte       time.Duration // what the bandwidth makes of it
	free          time.Duration // when the line has been free last, for it
	last          time.Duration // when what went in last comes out
	stalled       time.Duration // until then nothing comes out of what goes in
	lost          int           // times that all was lost
}

func (p *simPipe) send(size int, do func()) {
	n := p.n
	n.hops++
	at := n.now()
	if p.perByte > 0 {
		p.free = max(p.free, at) + time.Duration(size)*p.perByte
		at = p.free
	}
	at = max(at+p.delay+n.random(p.jitter), p.last, p.stalled)
	p.last = at
	lost := p.lost
	n.at(at, func() {
		if p.lost == lost {
			do()
		}
	})
}

// lose loses what is in the pipe.
func (p *simPipe) lose() { p.lost++ }

type simKey struct{ subject, queue string }

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
	route *linkSub
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
		w.hand(simItem{do: w.receiver.leaving})
	}
}

// A simEngine is a hub's way to connect to the servers.
type simEngine struct {
	n       *simNet
	name    string
	noEcho  bool
	delay   func(*simServer) (delay, jitter time.Duration)
	perByte time.Duration
}

func (e *simEngine) dial(ctx context.Context, url string, r receiver) (wire, error) {
	n := e.n
	i := slices.IndexFunc(n.servers, func(s *simServer) bool { return s.url == url })
	wait := time.Hour
	var s *simServer
	if i >= 0 {
		s = n.servers[i]
		delay, jitter := e.delay(s)
		n.mu.Lock()
		wait = 6*delay + 2*n.random(jitter) // TCP, INFO, PONG
		n.mu.Unlock()
	}
	select {
	case <-time.After(wait):
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrConnect, ctx.Err())
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if s == nil || !s.up || s.lame {
		return nil, fmt.Errorf("%w to %s: refused", ErrConnect, url)
	}
	return e.attach(s, r), nil
}

// attach makes a connection that exists at once. n.mu is held.
func (e *simEngine) attach(s *simServer, r receiver) *simWire {
	delay, jitter := e.delay(s)
	n := e.n
	w := &simWire{n: n, name: e.name, server: s, receiver: r, noEcho: e.noEcho, ended: make(chan struct{}), measured: 2*delay + jitter}
	w.up = &simPipe{n: n, delay: delay, jitter: jitter, perByte: e.perByte}
	w.down = &simPipe{n: n, delay: delay, jitter: jitter, perByte: e.perByte}
	if n.rng.IntN(2) == 0 {
		w.nap = n.random(5 * time.Millisecond)
	}
	s.conns = append(s.conns, w)
	w.attached = true
	return w
}

// A simWire is one connection of a client, both ends of it.
type simWire struct {
	n        *simNet
	name     string
	server   *simServer
	receiver receiver
	noEcho   bool
	measured time.Duration
	nap      time.Duration // how long what has come waits until it is read, at most
	up, down *simPipe

	// The server's.
	attached bool
	subs     []*simSub

	// The client's. n.mu guards all.
	inbox   []simItem
	reading bool
	retired int
	over    bool
	err     error
	ended   chan struct{}
}

// A simItem is something that a server says: a message, an answer to a PING, or something else.
type simItem struct {
	sub *simSub
	m   *simMsg
	do  func() // called on the net's goroutine, without the lock
}

// hand sends item to the client.
func (w *simWire) hand(item simItem) {
	size := 6
	if item.m != nil {
		size = len(item.m.Data) + len(item.m.Subject) + 50
	}
	w.down.send(size, func() {
		if w.over {
			return
		}
		w.inbox = append(w.inbox, item)
		if !w.reading {
			w.reading = true
			if w.nap > 0 {
				w.n.at(w.n.now()+w.n.random(w.nap), w.read)
			} else {
				w.read()
			}
		}
	})
}

// read hands on all that has come.
func (w *simWire) read() {
	items := w.inbox
	w.inbox, w.reading = nil, false
	var batch []inbound
	deliver := func() {
		if len(batch) == 0 {
			return
		}
		all := batch
		batch = nil
		w.n.calls = append(w.n.calls, func() { w.receiver.receive(all) })
	}
	for _, item := range items {
		switch {
		case w.over:
		case item.m != nil:
			// Whether the client still wants it is asked where the messages before it have been dealt with.
			if !item.sub.gone {
				batch = w.add(batch, item)
			}
		default:
			deliver()
			if item.do != nil {
				w.n.calls = append(w.n.calls, item.do)
			}
		}
	}
	deliver()
}

// add puts a message into the batch, or into the run at its end.
func (w *simWire) add(batch []inbound, item simItem) []inbound {
	m := item.m
	in := inbound{route: item.sub.route, subject: m.Subject, reply: m.Reply, data: m.Data, number: m.number}
	if in.stored() {
		in.number = number{}
	}
	if len(m.Header) > 0 {
		in.header = maps.Clone(m.Header)
	}
	if !w.n.runs || in.route == nil || in.reply != "" || in.header != nil {
		return append(batch, in)
	}
	if len(batch) > 0 {
		last := &batch[len(batch)-1]
		next := last.number
		if next.stream != 0 {
			next.count += uint64(len(last.run))
		}
		if last.run != nil && last.route == in.route && last.subject == in.subject && next == in.number {
			last.run = append(last.run, in.data)
			return batch
		}
	}
	in.data, in.run = nil, [][]byte{in.data}
	return append(batch, in)
}

func (w *simWire) disconnected() error { return fmt.Errorf("%w: %w", ErrDisconnected, w.err) }

func (w *simWire) publish(m OutMsg) error {
	w.n.mu.Lock()
	defer w.n.mu.Unlock()
	if w.over {
		return w.disconnected()
	}
	m.Data = append([]byte(nil), m.Data...)
	m.Header = maps.Clone(m.Header)
	if strings.HasPrefix(m.Subject, ownPrefix) {
		w.n.logf("%s says to %s: %s %v %q number %d", w.name, w.server.name, m.Subject, m.Header, m.Data, m.number.count)
	}
	if w.n.published != nil {
		w.n.published(w, &m)
	}
	msg := &simMsg{OutMsg: m}
	w.up.send(len(m.Data)+len(m.Subject)+50, func() {
		if w.attached {
			w.server.forward(msg, w, nil, nil)
		}
	})
	return nil
}

func (w *simWire) subscribe(subject, queue string, route *linkSub) (wireSub, error) {
	w.n.mu.Lock()
	defer w.n.mu.Unlock()
	if w.over {
		return nil, w.disconnected()
	}
	sub := &simSub{wire: w, key: simKey{subject, queue}, route: route}
	w.up.send(30, func() {
		s := w.server
		switch {
		case !w.attached:
		case s.refuses != nil && s.refuses(subject):
			err := fmt.Errorf("%w: Permissions Violation for Subscription to %q", ErrPermission, subject)
			w.hand(simItem{do: func() { w.receiver.trouble(err) }})
		default:
			w.subs = append(w.subs, sub)
			s.counts[sub.key]++
			s.changed(sub.key, nil)
		}
	})
	return sub, nil
}

// unsubscribe is the server's part. n.mu is held.
func (w *simWire) unsubscribe(sub *simSub) {
	i := slices.Index(w.subs, sub)
	if i < 0 {
		return
	}
	w.subs = slices.Delete(w.subs, i, i+1)
	s := w.server
	if s.counts[sub.key]--; s.counts[sub.key] == 0 {
		delete(s.counts, sub.key)
	}
	s.changed(sub.key, nil)
}

func (w *simWire) retire(s wireSub) error {
	sub := s.(*simSub)
	w.n.mu.Lock()
	defer w.n.mu.Unlock()
	if w.over {
		return w.disconnected()
	}
	w.retired++
	w.up.send(12, func() {
		if w.attached {
			w.unsubscribe(sub)
		}
	})
	w.pingLocked(func() {
		w.n.mu.Lock()
		defer w.n.mu.Unlock()
		sub.gone = true
		w.retired--
	})
	return nil
}

func (w *simWire) pingLocked(answered func()) {
	w.up.send(6, func() {
		if w.attached {
			w.hand(simItem{do: answered})
		}
	})
}

func (w *simWire) ping(answered func()) error {
	w.n.mu.Lock()
	defer w.n.mu.Unlock()
	if w.over {
		return w.disconnected()
	}
	w.pingLocked(answered)
	return nil
}

func (w *simWire) flush(ctx context.Context) error {
	answered := make(chan struct{})
	if err := w.ping(func() { close(answered) }); err != nil {
		return err
	}
	select {
	case <-answered:
		return nil
	case <-w.ended:
		return w.disconnected()
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *simWire) distance() time.Duration { return w.measured }
func (w *simWire) maxPayload() int         { return 1 << 20 }
func (w *simWire) done() <-chan struct{}   { return w.ended }
func (w *simWire) cause() error            { return w.err }

// close ends the connection, as protoWire does: when the server has answered to what was retired.
func (w *simWire) close() {
	w.n.mu.Lock()
	retiring := w.retired > 0 && !w.over
	w.n.mu.Unlock()
	if retiring {
		ctx, cancel := context.WithTimeout(context.Background(), closing)
		defer cancel()
		_ = w.flush(ctx) // whatever comes of it, the connection ends
	}
	w.n.mu.Lock()
	defer w.n.mu.Unlock()
	if !w.end(errors.New("closed")) {
		return
	}
	w.up.send(0, w.detach)
}

// end is the client's. n.mu is held.
func (w *simWire) end(err error) (first bool) {
	if w.over {
		return false
	}
	w.over, w.err = true, err
	close(w.ended)
	return true
}

// detach is the server's part of the end: it forgets the client.
func (w *simWire) detach() {
	if !w.attached {
		return
	}
	w.attached = false
	for len(w.subs) > 0 {
		w.unsubscribe(w.subs[len(w.subs)-1])
	}
	w.server.conns = slices.DeleteFunc(w.server.conns, func(other *simWire) bool { return other == w })
	clear(w.server.targets)
}

// cut loses everything that is on its way, either way; the client finds out after so long. The server
// does when the caller says so.
func (w *simWire) cut(why string, found time.Duration) {
	w.n.logf("%s is cut off from %s: %s", w.name, w.server.name, why)
	w.silence()
	w.n.at(w.n.now()+found, func() { w.end(errors.New(why)) })
}

// silence makes the connection lose everything from now on.
func (w *simWire) silence() {
	for _, p := range []*simPipe{w.up, w.down} {
		p.lose()
		p.stalled, p.last = 1<<60, 1<<60 // and what comes later
	}
}
