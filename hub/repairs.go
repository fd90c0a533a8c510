package hub

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/natswire"
)

// The repairs bring what is missing: who misses something asks its publisher, and the publisher,
// which keeps what it sent lately, sends that again, once for everybody who asks. Hubs talk about it
// on subjects of their own, in lines of text:
//
//	_KH.ask.<publisher>             "<stream> <from> <to> <age in ms> <subject>": wanted;
//	                                with to = 0: is there more than from? If not, nobody answers
//	_KH.again.<publisher>.<subject> a message with its old number, or, with the header Kseq-Gone,
//	                                "<stream> <from> <to> <count> <age in ms>": these will not come, of so many;
//	                                with an age other than 0 they are too old for who asked for younger ones
//	_KH.sync                        "back": who has published lately?
//	                                "counts <publisher>", "<stream> <count> <subject>": I have
//
// The first two concern who publishes what the third part of the name says; whoever may read a
// subject, and nobody else, should be allowed to read it after _KH.again.*.
type repairs struct {
	h       *Hub
	wake    chan struct{}
	started sync.Once
	listens sync.Once
	warned  sync.Once
	unable  atomic.Bool // a server has forbidden some of it

	mu            sync.Mutex
	requests      []repairRequest // to be answered
	requestsSince time.Time
	rests         time.Time // until then nobody is answered, so that nobody can make a hub send without end
	news          []announcement
	backs         int         // heard since the last announcement
	due           []time.Time // of announcements
	calls         []time.Time // when to ask who has published
	keeps         bool        // the store has something

	subs map[repairSubKey]*repairSub // of run's goroutine
}

type repairRequest struct {
	stream uint64
	span
	age     time.Duration
	subject string
}

// tail says that it is asked whether there is more than from.
func (r repairRequest) tail() bool { return r.to == 0 }

type announcement struct {
	stream, count uint64
	subject       string
}

type repairSubKey struct {
	publisher uint64
	entry     *entry
}

type repairSub struct {
	sub  *Subscription
	used time.Time
}

const (
	subjectSync = ownPrefix + "sync"
	headerGone  = "Kseq-Gone"

	// reorderTime is how long something may be missing before it is asked for: it may be on its way.
	reorderTime = 25 * time.Millisecond
	// firstRetry is the pause after the first question, which doubles up to mostPause.
	firstRetry, maxRetryPause = 100 * time.Millisecond, 2 * time.Second
	// collecting is how long a publisher waits for others who miss the same.
	collecting = 10 * time.Millisecond
	// answerBytes and answerLimit bound what is sent again at a time.
	answerBytes, answerLimit = 1 << 20, 4096
	// answerRate bounds what is sent again, in bytes a second.
	answerRate = 16 << 20
	// deafTime is for how long nobody waits for a publisher that has not answered, longer than deafWait.
	deafTime, deafWait = time.Minute, 250 * time.Millisecond
	repairRequestsKept = 1 << 14
	// lingering is for how long a subscription for answers is kept.
	lingering = 2 * time.Second
)

// wakeUp lets the repairs look at what is missing. It may be called with the intake's lock.
func (r *repairs) wakeUp() {
	r.started.Do(func() { r.h.spawn(r.run) })
	notify(r.wake)
}

// listen lets the hub hear what others have published.
func (r *repairs) listen() {
	r.listens.Do(func() {
		r.h.listenTo(subjectSync, r.heard)
		r.wakeUp()
	})
}

// serve lets others ask this hub.
func (r *repairs) serve() {
	o := &r.h.outbox
	o.mu.Lock()
	publisher := o.publisher
	o.mu.Unlock()
	r.h.listenTo(ownPrefix+"ask."+natswire.PublisherName(publisher), r.hearAsk)
	r.listen()
	r.mu.Lock()
	r.keeps = true
	r.mu.Unlock()
	r.wakeUp()
}

// forbidden tells, once, that a server does not let the hub do this.
func (r *repairs) forbidden(err error) {
	r.unable.Store(true)
	r.warned.Do(func() {
		r.h.cfg.Logger.Warn("what gets lost with a connection cannot be asked for: the server permits too little of "+ownPrefix+">", "err", err)
	})
}

// heard takes what is said on subjectSync. The intake's lock is held.
func (r *repairs) heard(m *Message) {
	head, lines, _ := strings.Cut(string(m.Data), "\n")
	r.mu.Lock()
	defer r.mu.Unlock()
	if head == "back" {
		r.backs++
		if r.keeps && len(r.due) < 4 {
			// The more ask, the longer it takes, so that one answer is enough.
			wait := time.Duration(5+min(2*r.backs, 250)) * time.Millisecond
			r.due = append(r.due, time.Now().Add(wait+rand.N(wait)))
		}
		notify(r.wake)
		return
	}
	if _, ok := strings.CutPrefix(head, "counts "); !ok {
		return
	}
	for line := range strings.Lines(lines) {
		f := strings.Fields(line)
		if len(f) != 3 || len(r.news) >= repairRequestsKept {
			break
		}
		stream, ok := natswire.ParseStream(f[0])
		count, err := strconv.ParseUint(f[1], 10, 64)
		if !ok || err != nil || count == 0 || count > natswire.MaxCount || checkName(f[2], false) != nil {
			break
		}
		r.news = append(r.news, announcement{stream, count, f[2]})
	}
	notify(r.wake)
}

// returned is called when the hub has a link again after it had lost one: it says how far it has
// counted, and asks who else has published. Interest in that may still be spreading, so it does so again.
func (r *repairs) returned() {
	now := time.Now()
	r.mu.Lock()
	r.due, r.calls = nil, nil
	for _, after := range []time.Duration{0, 300 * time.Millisecond, 2 * time.Second} {
		at := now.Add(after)
		if after > 0 {
			at = at.Add(rand.N(after))
		}
		r.calls = append(r.calls, at)
		if r.keeps {
			r.due = append(r.due, at)
		}
	}
	r.mu.Unlock()
	r.wakeUp()
}

// run is the repairs' goroutine, which a hub has that has ever listened or published.
func (r *repairs) run() {
	r.subs = map[repairSubKey]*repairSub{}
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	tick := time.Now()
	for {
		now := time.Now()
		next := now.Add(time.Hour)
		sooner := func(at time.Time) {
			if at.Before(next) {
				next = at
			}
		}
		r.takeNews()
		r.ask(now, sooner)
		r.respond(now, sooner)
		r.mu.Lock()
		keeps := r.keeps
		r.mu.Unlock()
		if keeps {
			if now.Sub(tick) >= time.Second {
				tick = now
				r.tick(now)
			}
			sooner(tick.Add(time.Second))
		}
		timer.Reset(max(time.Until(next), time.Millisecond))
		select {
		case <-r.wake:
		case <-timer.C:
		case <-r.h.ctx.Done():
			return
		}
	}
}

// takeNews compares what others have counted with what came.
func (r *repairs) takeNews() {
	r.mu.Lock()
	news := r.news
	r.news = nil
	r.mu.Unlock()
	in := &r.h.intake
	for _, a := range news {
		entries := r.h.registry.matching(a.subject)
		in.lock()
		for _, e := range entries {
			c := e.counters[counterKey{a.stream, a.subject}]
			switch {
			case r.h.cfg.NoEcho && a.stream>>natswire.StreamBits == r.h.outbox.publisher:
				continue
			case c == nil && in.absent(e):
				c = &counter{stream: a.stream, subject: a.subject, entry: e}
				c.gap.from = in.sinceAbsence(e)
				in.addCounter(c)
			case c == nil, c.gap.loose:
				continue
			}
			if a.count > c.last && a.count-c.last <= mostGap {
				c.announced = max(c.announced, a.count)
				c.found(in.now())
				in.gaps[c] = true
			}
		}
		in.mu.Unlock()
	}
}

// ask asks for what is missing, and gives up what has been missing for too long.
func (r *repairs) ask(now time.Time, sooner func(time.Time)) {
	in := &r.h.intake
	questions := map[uint64][]byte{} // by publisher
	keys := map[repairSubKey]bool{}
	in.lock()
	clock := in.now()
	for publisher, until := range in.deaf {
		if clock > until {
			delete(in.deaf, publisher)
		}
	}
	at := func(t int64) time.Time { return now.Add(time.Duration(t - clock)) }
	for c := range in.gaps {
		g := &c.gap
		if in.over != nil { // the other link may have it
			g.since = clock
			g.due = clock + int64(50*time.Millisecond)
			sooner(at(g.due))
			continue
		}
		publisher := c.stream >> natswire.StreamBits
		limit := r.h.cfg.Repair.Wait
		if in.deaf[publisher] != 0 || in.isBackfill(c) {
			limit = min(limit, deafWait+4*r.distance())
		}
		if clock-g.since >= int64(limit) {
			if g.tries > 2 && len(in.deaf) < repairRequestsKept {
				in.deaf[publisher] = clock + int64(deafTime)
			}
			in.giveUp(c)
			continue
		}
		keys[repairSubKey{publisher, c.entry}] = true
		if g.due == 0 && in.isBackfill(c) {
			g.due = clock // most likely nothing is missing, and the first message waits
		} else if g.due == 0 {
			g.due = g.since + int64(reorderTime)
		}
		if g.due <= clock {
			for _, s := range c.missing() {
				line := natswire.AppendStream(nil, c.stream)
				g.maxAge = in.age(g)
				line = fmt.Appendf(line, " %d %d %d %s\n", s.from, s.to, g.maxAge, c.subject)
				if len(questions[publisher])+len(line) < questionBytes {
					questions[publisher] = append(questions[publisher], line...)
				}
			}
			g.due = clock + int64(min(firstRetry<<min(g.tries, 5), maxRetryPause))
			g.tries++
		}
		sooner(at(min(g.due, g.since+int64(limit))))
	}
	in.askTails(func(publisher uint64, line []byte) bool {
		fits := len(questions[publisher])+len(line) < questionBytes
		if fits {
			questions[publisher] = append(questions[publisher], line...)
		}
		return fits
	}, func(t int64) { sooner(at(t)) })
	in.mu.Unlock()
	r.subscribe(keys, now, sooner)
	for publisher, text := range questions {
		r.trySend(OutMsg{Subject: ownPrefix + "ask." + natswire.PublisherName(publisher), Data: text})
	}
}

// questionBytes bounds one question; what does not fit is asked for later.
const questionBytes = 32 << 10

// distance is the round trip to the server.
func (r *repairs) distance() time.Duration {
	o := &r.h.outbox
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.link == nil {
		return 0
	}
	return o.link.wire.RTT()
}

// trySend publishes without waiting for a link.
func (r *repairs) trySend(m OutMsg) {
	o := &r.h.outbox
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.link == nil || o.link.congested() {
		return // it is said again, or of no use then
	}
	if err := tooLarge(o.link, []OutMsg{m}); err == nil {
		_ = o.publish(&m) // a link that has died is told of by the link
	}
}
