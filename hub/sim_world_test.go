//go:build !js

package hub

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/natswire"
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
	w.logf("%s sends %s on %s to %s, number %d", publisher, m.Data, m.Subject, wire.server.name, m.number.Count)
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

func (e simEar) Leaving()      {}
func (e simEar) Trouble(error) {}
func (e simEar) Receive(batch []natswire.Inbound) bool {
	for i := range batch {
		m := &batch[i]
		e.l.hear(e.w, m.Subject, m.Data) // without a route there are no runs
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
	c.wire.Subscribe(plan.sub, "", nil)
	l.settled = w.n.now() + plan.delay + w.spreads()
	w.clients = append(w.clients, c)
}
