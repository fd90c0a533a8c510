//go:build !js

package hub

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A simWorld plays a plan, writes down what everybody publishes and hears, and checks it.
type simWorld struct {
	p       *simPlan
	n       *simNet
	edges   []*simEnd
	hubs    []*simHub
	clients []*simClient
	tracing bool // somebody reads log
	log     []string
	untold  bool // what hubs say to be missing is not written down
	without bool // hubs publish without numbers, and are judged as if they had them

	mu        sync.Mutex
	streams   map[string]*simStream // by publisher and subject
	listeners []*simListener
	requests  int
	asked     map[string]error // requests, and what became of them
	failed    []error
	figures   simFigures
}

// simFigures are what many plays add up to.
type simFigures struct {
	moves, reconnects, messages, hops, missing, returned, unrouted int
	late                                                           int           // moves that took longer than 5 round trips and 50 ms
	begun                                                          int           // messages that began a stream while the hub moved, and did not come
	held                                                           int           // moves that held what is published for longer than a round trip
	longest                                                        time.Duration // move
}

type simHub struct {
	*Hub
	index   int
	name    string
	plan    *simHubPlan
	engine  *simEngine
	subs    []*simListener
	missing []Missing
	moves   []simMove
	closed  bool // while the plan is played
	lost    bool // it has no server at the end
}

type simMove struct {
	Move
	ended time.Duration
}

type simClient struct {
	name string
	wire *simWire
}

// A simStream is what somebody has published on a subject.
type simStream struct {
	name, publisher, subject string
	hub                      *simHub // nil: a plain client's
	sent                     []simSent
	place                    map[int]int // in sent, by what the publisher counted
}

type simSent struct {
	n      int
	at     time.Duration
	number number
}

// A simListener is a subscription, and what it heard.
type simListener struct {
	who            string
	hub            *simHub // nil: a plain client's
	plan           simSubPlan
	sub            *Subscription
	settled, ended time.Duration // 0: not yet
	heard          map[string][]simHeard
}

type simHeard struct {
	n  int
	at time.Duration
}

func (w *simWorld) fail(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failed = append(w.failed, fmt.Errorf(format, args...))
}

func (w *simWorld) logf(format string, args ...any) {
	if !w.tracing {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log = append(w.log, fmt.Sprintf("%12v ", w.n.now())+fmt.Sprintf(format, args...))
}

func newSimWorld(p *simPlan, tracing bool) *simWorld {
	w := &simWorld{p: p, streams: map[string]*simStream{}, asked: map[string]error{}}
	w.n = newSimNet(rand.New(rand.NewPCG(p.seed, 8)))
	w.n.runs = p.runs
	if tracing {
		w.tracing = true
		w.n.trace = w.logf
	}
	w.n.published = w.published
	for _, name := range p.servers {
		w.n.addServer(name)
	}
	for _, e := range p.edges {
		w.edges = append(w.edges, w.n.join(w.n.servers[e.a], w.n.servers[e.b], e.route, e.delay, e.jitter, e.perByte))
	}
	if p.refusing >= 0 {
		w.n.servers[p.refusing].refuses = func(subject string) bool { return matches(subject, "s.1") }
	}
	return w
}

// published is the net's: a connection has taken m, and the number it has counts.
func (w *simWorld) published(wire *simWire, m *OutMsg) {
	publisher, n, ok := simPayload(m.Data)
	if !ok || strings.HasPrefix(m.Subject, "_") {
		return
	}
	w.logf("%s sends %s on %s to %s, number %d", publisher, m.Data, m.Subject, wire.server.name, m.number.count)
	w.mu.Lock()
	defer w.mu.Unlock()
	s := w.stream(publisher, m.Subject)
	if len(s.sent) > 0 && s.sent[len(s.sent)-1].n >= n {
		w.failed = append(w.failed, fmt.Errorf("%s sends %d after %d", s.name, n, s.sent[len(s.sent)-1].n))
	}
	s.place[n] = len(s.sent)
	s.sent = append(s.sent, simSent{n, w.n.now(), m.number})
}

// stream is that of a publisher on a subject. w.mu is held.
func (w *simWorld) stream(publisher, subject string) *simStream {
	name := publisher + " " + subject
	s := w.streams[name]
	if s == nil {
		s = &simStream{name: name, publisher: publisher, subject: subject, place: map[int]int{}}
		for _, h := range w.hubs {
			if h.name == publisher {
				s.hub = h
			}
		}
		w.streams[name] = s
	}
	return s
}

// simPayload reads "<publisher> <n>".
func simPayload(data []byte) (publisher string, n int, ok bool) {
	publisher, text, ok := strings.Cut(string(data), " ")
	n, err := strconv.Atoi(text)
	return publisher, n, ok && err == nil
}

func (l *simListener) hear(w *simWorld, subject string, data []byte) {
	publisher, n, ok := simPayload(data)
	if !ok {
		w.fail("%s hears %q", l.who, data)
		return
	}
	w.logf("%s hears %s on %s", l.who, data, subject)
	w.mu.Lock()
	defer w.mu.Unlock()
	name := publisher + " " + subject
	l.heard[name] = append(l.heard[name], simHeard{n, w.n.now()})
}

// listener adds one; say who before it subscribes.
func (w *simWorld) listener(who string, h *simHub, plan simSubPlan) *simListener {
	l := &simListener{who: who + "<-" + plan.subject, hub: h, plan: plan, heard: map[string][]simHeard{}}
	if plan.queue != "" {
		l.who += "(" + plan.queue + ")"
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.listeners = append(w.listeners, l)
	return l
}

// spreads is how long it takes at most until all servers know of a subscription, or have a message.
func (w *simWorld) spreads() time.Duration { return 2*w.p.worst + w.p.stalls }

func (w *simWorld) subscribe(h *simHub, plan simSubPlan) {
	l := w.listener(h.name, h, plan)
	h.subs = append(h.subs, l)
	sub, err := h.Subscribe(plan.subject, SubOptions{Queue: plan.queue, Arrival: plan.arrival, inline: plan.inline}, func(m *Message) {
		l.hear(w, m.Subject, m.Data)
	})
	if err != nil {
		w.fail("%s: %v", l.who, err)
		return
	}
	l.sub = sub
	h.spawn(func() {
		if sub.Ready(h.ctx) == nil {
			at := w.n.now() + w.spreads()
			w.mu.Lock()
			l.settled = at
			w.mu.Unlock()
		}
	})
}

func (w *simWorld) openHub(i int) {
	plan := &w.p.hubs[i]
	h := &simHub{index: i, name: fmt.Sprintf("hub%d", i), plan: plan}
	h.engine = &simEngine{n: w.n, name: h.name, noEcho: plan.noEcho, perByte: plan.perByte, delay: func(s *simServer) (time.Duration, time.Duration) {
		d := plan.delays[slices.Index(w.n.servers, s)]
		return d, time.Duration(float64(d) * plan.jitter)
	}}
	cfg := Config{NoEcho: plan.noEcho, Standby: plan.standby, NoNumbers: plan.noNumbers || w.without, Selection: plan.selection, MaxRetryDelay: time.Second}
	cfg.Discovery.SwitchTimeout = 5 * time.Second
	for _, s := range plan.servers {
		cfg.Servers = append(cfg.Servers, w.n.servers[s].url)
	}
	if w.tracing {
		cfg.Logger = simLogger{w, h.name}
	}
	cfg, err := cfg.normalize()
	if err != nil {
		panic(err)
	}
	h.Hub = open(context.Background(), cfg, h.engine)
	h.OnMissing(func(m Missing) {
		w.mu.Lock()
		if !w.untold {
			h.missing = append(h.missing, m)
		}
		w.mu.Unlock()
		w.logf("%s misses %+v", h.name, m)
	})
	h.OnMove(func(m Move) {
		w.mu.Lock()
		h.moves = append(h.moves, simMove{m, w.n.now()})
		w.mu.Unlock()
		w.logf("%s: %+v", h.name, m)
	})
	w.hubs = append(w.hubs, h)
	for _, sub := range plan.subs {
		w.subscribe(h, sub)
	}
	if slices.Contains(w.p.serving, i) {
		w.serve(h)
	}
}

func (w *simWorld) serve(h *simHub) {
	l := w.listener(h.name, h, simSubPlan{subject: simServed, queue: "service"})
	_, err := h.Subscribe(simServed, SubOptions{Queue: "service"}, func(m *Message) {
		l.hear(w, m.Subject, m.Data)
		m.Respond(m.Data)
	})
	if err != nil {
		w.fail("%s: %v", l.who, err)
	}
}

type simLogger struct {
	w    *simWorld
	name string
}

func (l simLogger) Debug(msg string, args ...any) { l.w.logf("%s: %s %v", l.name, msg, args) }
func (l simLogger) Warn(msg string, args ...any)  { l.w.logf("%s: warning: %s %v", l.name, msg, args) }
func (l simLogger) Error(msg string, args ...any) { l.w.logf("%s: error: %s %v", l.name, msg, args) }

// A simEar is the receiver of a plain client, which has one subscription.
type simEar struct {
	w *simWorld
	l *simListener
}

func (e simEar) leaving()      {}
func (e simEar) trouble(error) {}
func (e simEar) receive(batch []inbound) bool {
	for i := range batch {
		m := &batch[i]
		e.l.hear(e.w, m.subject, m.data) // without a route there are no runs
	}
	return true
}

func (w *simWorld) openClient(i int) {
	plan := &w.p.clients[i]
	c := &simClient{name: fmt.Sprintf("client%d", i)}
	e := &simEngine{n: w.n, name: c.name, delay: func(*simServer) (time.Duration, time.Duration) { return plan.delay, 0 }}
	l := w.listener(c.name, nil, simSubPlan{subject: plan.sub})
	w.n.mu.Lock()
	c.wire = e.attach(w.n.servers[plan.server], simEar{w, l})
	w.n.mu.Unlock()
	c.wire.subscribe(plan.sub, "", nil)
	l.settled = w.n.now() + plan.delay + w.spreads()
	w.clients = append(w.clients, c)
}

// play plays the plan. What is wrong is in w.failed.
func (w *simWorld) play() {
	go w.n.run()
	defer w.n.stop()
	for i := range w.p.hubs {
		w.openHub(i)
	}
	defer func() {
		for _, h := range w.hubs {
			h.Close()
		}
	}()
	for i := range w.p.clients {
		w.openClient(i)
	}
	for _, f := range w.p.faults {
		w.n.after(f.at, func() { w.happens(f) })
	}
	var acting sync.WaitGroup
	for i, h := range w.hubs {
		acting.Go(func() {
			for _, a := range w.p.actions {
				if a.hub == i {
					time.Sleep(max(0, a.at-w.n.now()))
					w.act(h, a)
				}
			}
		})
	}
	counts := map[string]int{}
	var receipts []func()
	for _, post := range w.p.posts {
		time.Sleep(max(0, post.at-w.n.now()))
		w.post(post, counts, &receipts)
	}
	acting.Wait()
	time.Sleep(max(0, w.p.end-w.n.now()))
	time.Sleep(w.spreads() + time.Second)
	if w.p.abrupt {
		time.Sleep(13 * time.Second) // a link that fell silent last is found
		for _, h := range w.hubs {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			if h.Connected(ctx) != nil {
				h.lost = true
			}
			cancel()
		}
		time.Sleep(4*time.Second + w.spreads())
	}
	// The last of each stream tells what was lost before it.
	for _, post := range w.lastPosts() {
		w.post(post, counts, &receipts)
	}
	time.Sleep(6*time.Second + w.spreads())
	if w.p.abrupt {
		time.Sleep(8 * time.Second)
	}
	for _, r := range receipts {
		r()
	}
	w.check()
}

// lastPosts is one more message for each stream of those who still live.
func (w *simWorld) lastPosts() (posts []simPost) {
	seen := map[simPost]bool{}
	for _, post := range w.p.posts {
		post.at, post.request = 0, false
		if seen[post] || !strings.HasPrefix(post.subject, simMoving) || post.hub >= 0 && w.hubs[post.hub].closed {
			continue
		}
		seen[post] = true
		posts = append(posts, post)
	}
	return posts
}

func (w *simWorld) post(post simPost, counts map[string]int, receipts *[]func()) {
	next := func(who string) []byte {
		name := who + " " + post.subject
		counts[name]++
		return []byte(who + " " + strconv.Itoa(counts[name]))
	}
	if post.hub < 0 {
		c := w.clients[-1-post.hub]
		c.wire.publish(OutMsg{Subject: post.subject, Data: next(c.name)})
		return
	}
	h := w.hubs[post.hub]
	data := next(h.name)
	if post.request {
		w.request(h, post.subject, data)
		return
	}
	r := h.Send(OutMsg{Subject: post.subject, Data: data})
	_, n, _ := simPayload(data)
	*receipts = append(*receipts, func() {
		w.mu.Lock()
		_, sent := w.stream(h.name, post.subject).place[n]
		w.mu.Unlock()
		switch {
		case !r.Settled():
			w.fail("%s: what became of %s %s is not known", h.name, post.subject, data)
		case r.Err() == nil && !sent:
			w.fail("%s was told that %s %s was sent, and it was not", h.name, post.subject, data)
		case r.Err() != nil && sent:
			w.fail("%s was told that %s %s was not sent (%v), and it was", h.name, post.subject, data, r.Err())
		case r.Err() != nil && !w.p.abrupt && !errors.Is(r.Err(), ErrDisposed):
			w.fail("%s could not publish %s %s: %v", h.name, post.subject, data, r.Err())
		}
	})
}

func (w *simWorld) request(h *simHub, subject string, data []byte) {
	key := string(data)
	w.mu.Lock()
	w.requests++
	w.mu.Unlock()
	counted := w.n.now() > 300*time.Millisecond+w.spreads()
	h.Request(OutMsg{Subject: subject, Data: data}, w.spreads()*2+5*time.Second, func(m *Message, err error) {
		if err == nil && string(m.Data) != key {
			err = fmt.Errorf("the answer is %q", m.Data)
		}
		if !counted && errors.Is(err, ErrNoResponders) {
			err = nil
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if _, twice := w.asked[key]; twice {
			w.failed = append(w.failed, fmt.Errorf("request %s is done twice", key))
		}
		w.asked[key] = err
	})
}

func (w *simWorld) act(h *simHub, a simAction) {
	if h.closed {
		return
	}
	w.logf("%s: %s %d %s", h.name, a.kind, a.arg, a.sub.subject)
	switch a.kind {
	case "subscribe":
		w.subscribe(h, a.sub)
	case "unsubscribe":
		l := h.subs[a.arg]
		w.mu.Lock()
		l.ended = w.n.now()
		w.mu.Unlock()
		l.sub.Unsubscribe()
	case "close":
		w.mu.Lock()
		h.closed = true
		for _, l := range h.subs {
			if l.ended == 0 {
				l.ended = w.n.now()
			}
		}
		w.mu.Unlock()
		h.Close()
	case "move", "reconnect":
		s := w.n.servers[a.arg]
		start := w.n.now()
		var err error
		if a.kind == "move" {
			err = h.propose(target{url: s.url, via: viaLeaf}, "test")
		} else {
			ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
			err = h.Reconnect(ctx)
			cancel()
		}
		took := w.n.now() - start
		w.mu.Lock()
		w.figures.longest = max(w.figures.longest, took)
		w.mu.Unlock()
		bound := 30*w.p.worst + 3*w.p.stalls + 2*time.Second
		if took > bound && !w.p.abrupt {
			w.fail("%s: %s to %s took %v, want at most %v", h.name, a.kind, s.name, took, bound)
		}
		if took > bound+2*time.Minute {
			w.fail("%s: %s to %s took %v", h.name, a.kind, s.name, took)
		}
		w.n.mu.Lock()
		lame := slices.ContainsFunc(w.n.servers, func(s *simServer) bool { return s.lame })
		w.n.mu.Unlock()
		refused := w.p.refusing >= 0
		if err != nil && !w.p.abrupt && !lame && !refused {
			w.fail("%s: %s to %s: %v", h.name, a.kind, s.name, err)
		}
	}
}

// happens does what the plan has for the net, which holds its lock.
func (w *simWorld) happens(f simFault) {
	n := w.n
	switch f.kind {
	case "stall":
		e := w.edges[f.arg]
		for _, p := range []*simPipe{e.out, e.peer.out} {
			p.stalled = n.now() + f.long
		}
		n.logf("%s - %s is stalled for %v", e.at.name, e.peer.at.name, f.long)
	case "leave":
		n.servers[f.arg].leave()
	case "kill":
		s := n.servers[f.arg]
		if !s.up {
			return
		}
		s.kill()
		if f.long > 0 {
			n.at(n.now()+f.long, s.revive)
		}
	case "cut", "silence":
		name := w.hubs[f.arg].name
		for _, s := range n.servers {
			for _, c := range slices.Clone(s.conns) {
				if c.name != name || f.kind == "cut" && n.rng.IntN(4) == 0 {
					continue
				}
				if f.kind == "cut" {
					c.cut("cut", n.random(c.down.delay+20*time.Millisecond))
					n.at(n.now()+n.random(c.down.delay+20*time.Millisecond), c.detach)
				} else {
					c.cut("silent", f.long)
					n.at(n.now()+time.Second+n.random(15*time.Second), c.detach)
				}
			}
		}
	}
}
