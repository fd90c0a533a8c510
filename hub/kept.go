package hub

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/bridge"
	"github.com/kinopio-hub/kinopio-hub/v3/internal/keep"
	"github.com/kinopio-hub/kinopio-hub/v3/internal/natswire"
)

// headerSet is the header of a message that sets or deletes the value of its subject: its version, as keep.Stamp
// writes it. Hubs also talk about values on subjects of their own:
//
//	_KH.ask.<subject>   a request: what is its value? One of those who know it answers, with the same header
//	_KH.offer.<first>   "<version> <subject>" lines: I know these, of the subjects with that first part
//	_KH.beat            "<token> <token before>": see keep.Machine
const headerSet = bridge.HeaderSet

const (
	subjectBeat = ownPrefix + "beat"
	askPrefix   = ownPrefix + "ask."
	offerPrefix = ownPrefix + "offer."
	// knowers is the queue group of those who answer.
	knowers = "_KH"
)

// keeping lets the hub take part in what keep.Machine describes. Its lock may be taken with the intake's.
type keeping struct {
	h       *Hub
	wake    chan struct{}
	started sync.Once
	warned  sync.Once

	mu        sync.Mutex
	machine   *keep.Machine
	start     time.Time
	followers map[string]func(keptChange)
	settled   map[uint64]func(error) // of values that are to be sent
	serial    uint64
	sizes     map[uint64]int // of them, in bytes
	bytes     int
	asked     []Responder // to be answered
	askedFor  []string
	refused   map[string]bool // what the server does not permit to be asked

	subs map[string]*Subscription // of run's goroutine
}

// A keptChange is what is known of a name now, by an answer.
type keptChange struct {
	stamp   keep.Stamp
	data    []byte
	own     bool // it is what was set here, which has its version now
	refused bool // the server does not let anybody be asked
}

// askedKept bounds the questions that wait for their answers.
const askedKept = 1 << 14

// keeping is the hub's, which begins with its first variable.
func (h *Hub) keeping() *keeping {
	h.keptOnce.Do(func() {
		k := &keeping{}
		k.init(h)
		h.kept.Store(&keeperBox{k})
		h.mu.Lock()
		connected := h.live != nil
		h.mu.Unlock()
		if connected {
			k.online()
		}
	})
	return h.kept.Load().keeper.(*keeping)
}

func (k *keeping) init(h *Hub) {
	k.h, k.wake, k.start = h, make(chan struct{}, 1), time.Now()
	k.followers, k.settled, k.sizes = map[string]func(keptChange){}, map[uint64]func(error){}, map[uint64]int{}
	k.refused, k.subs = map[string]bool{}, map[string]*Subscription{}
	k.machine = keep.New(
		func() string { return natswire.PublisherName(natswire.NewPublisher()) },
		func(n time.Duration) time.Duration { return time.Duration(randomFraction() * float64(n)) },
		func() string { return natswire.PublisherName(natswire.NewPublisher()) })
}

func (k *keeping) now() time.Duration { return time.Since(k.start) }

// do lets the machine do something, and what follows from that.
func (k *keeping) do(what func(m *keep.Machine, now time.Duration)) {
	k.started.Do(func() { k.h.spawn(k.run) })
	k.mu.Lock()
	what(k.machine, k.now())
	k.mu.Unlock()
	notify(k.wake)
}

// passes judges a set value that is about to be delivered to who listens to exactly its subject. One that was sent
// again and is not new is for nobody. in.mu is held.
func (k *keeping) passes(e *entry, r receivers, m *Message) bool {
	if e.control {
		return true
	}
	k.take(m)
	if m.stamp == nil || r == early || e.shared() || e.key.subject != m.Subject {
		return true
	}
	m.verdict = k.judge(m)
	return !m.stamp.Again || m.verdict == keep.Newer || m.verdict == keep.Unknown
}

// follow begins to know the value of a subject that is subscribed to. changed is called by the hub's goroutine for
// values when an answer has told something.
func (k *keeping) follow(subject string, changed func(keptChange)) {
	k.do(func(m *keep.Machine, now time.Duration) {
		k.followers[subject] = changed
		m.Follow(now, subject)
	})
}

func (k *keeping) unfollow(subject string) {
	k.do(func(m *keep.Machine, now time.Duration) {
		delete(k.followers, subject)
		m.Unfollow(subject)
	})
}

// book takes room for a value of size bytes that is to be set. done is called, from another goroutine, when a link has
// it, or a newer one has come before that.
func (k *keeping) book(subject string, size int, done func(error)) (id uint64, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	limit := k.h.cfg.PendingLimit
	former := k.machine.Waiting(subject) // whose place this one takes
	waits := k.bytes - k.sizes[former]
	switch {
	case k.machine.Exhausted(subject):
		return 0, fmt.Errorf("%w: set %s: its version has reached the largest that there is", ErrInvalidValue, subject)
	case waits+size > limit:
		return 0, fmt.Errorf("%w: set %s: %d bytes of set values wait to be sent and %d more exceed the limit of %d", ErrDisconnected, subject, waits, size, limit)
	}
	k.serial++
	k.settled[k.serial], k.sizes[k.serial] = done, size
	k.bytes = waits + size
	delete(k.sizes, former)
	return k.serial, nil
}

// set makes data the value of a subject that is followed, or deletes it. id is what book gave.
func (k *keeping) set(subject string, data []byte, deleted bool, id uint64) {
	k.do(func(m *keep.Machine, now time.Duration) { m.Set(now, subject, data, deleted, id) })
}

// settle tells what has become of a value that was set.
func (k *keeping) settle(id uint64, err error) {
	k.mu.Lock()
	done := k.settled[id]
	k.bytes -= k.sizes[id]
	delete(k.settled, id)
	delete(k.sizes, id)
	k.mu.Unlock()
	if done != nil {
		done(err)
	}
}

func (k *keeping) pending() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.bytes
}

// judge says what a set value is that has come.
func (k *keeping) judge(m *Message) keep.Verdict {
	k.mu.Lock()
	defer k.mu.Unlock()
	v := k.machine.Heard(k.now(), m.Subject, *m.stamp, m.Data)
	if v == keep.Newer {
		k.stir()
	}
	return v
}

// stir wakes run from where messages come in.
func (k *keeping) stir() {
	k.h.intake.stirred.Store(true)
	notify(k.wake)
}

// hear is do from where messages come in.
func (k *keeping) hear(what func(m *keep.Machine, now time.Duration)) {
	k.h.intake.stirred.Store(true)
	k.do(what)
}

func (k *keeping) online() {
	k.mu.Lock()
	clear(k.refused)
	k.machine.Online(k.now())
	k.mu.Unlock()
	notify(k.wake)
}

func (k *keeping) offline() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.machine.Offline()
}

// denied takes that the server does not permit something of ownPrefix, if that is about values.
func (k *keeping) denied(v *PermissionError) bool {
	asked, about := k.h.deniedValues(v)
	if !about {
		return false
	}
	k.warn(v)
	if asked != "" {
		first, _, _ := strings.Cut(asked, ".")
		k.mu.Lock()
		k.refused[first] = true
		k.mu.Unlock()
	}
	return true
}

// warn tells, once, that a server does not let the hub do this.
func (k *keeping) warn(v *PermissionError) {
	k.warned.Do(func() {
		k.h.cfg.Logger.Warn("values that others have set before are not known, or not told to others: the server permits too little of "+ownPrefix+">, or no inbox", "err", v)
	})
}

// unpublished takes that the server does not permit to publish on a subject.
func (k *keeping) unpublished(subject string) {
	k.do(func(m *keep.Machine, now time.Duration) { m.Refused(now, subject, true) })
}

// run does what the machine asks for.
func (k *keeping) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		k.mu.Lock()
		now := k.now()
		k.machine.Tick(now)
		effects := k.machine.Effects()
		asked, names := k.asked, k.askedFor
		k.asked, k.askedFor = nil, nil
		next := k.machine.Next()
		k.mu.Unlock()
		for _, e := range effects {
			k.effect(e)
		}
		for i, who := range asked {
			k.answer(who, names[i])
		}
		wait := time.Hour
		if next != 0 {
			wait = max(next-k.now(), time.Millisecond)
		}
		timer.Reset(wait)
		select {
		case <-k.wake:
		case <-timer.C:
		case <-k.h.ctx.Done():
			k.end()
			return
		}
	}
}

// end fails what was to be sent.
func (k *keeping) end() {
	k.mu.Lock()
	settled := k.settled
	k.settled = map[uint64]func(error){}
	k.mu.Unlock()
	for _, done := range settled {
		done(ErrDisposed)
	}
}

func (k *keeping) effect(e keep.Effect) {
	h := k.h
	switch e.Kind {
	case keep.Ask:
		k.ask(e.Name)
	case keep.Publish:
		k.publish(e)
	case keep.Serve:
		k.listen(askPrefix+e.Name, knowers, func(m *Message) { k.hearAsk(e.Name, m.Responder()) })
	case keep.Unserve:
		k.unlisten(askPrefix + e.Name)
	case keep.Hear:
		if e.Name == "" {
			k.listen(subjectBeat, "", func(m *Message) {
				k.hear(func(machine *keep.Machine, now time.Duration) { machine.HeardBeat(now, string(m.Data)) })
			})
		} else {
			k.listen(offerPrefix+e.Name, "", func(m *Message) {
				k.hear(func(machine *keep.Machine, now time.Duration) { machine.HeardOffer(now, string(m.Data)) })
			})
		}
	case keep.Unhear:
		if e.Name == "" {
			k.unlisten(subjectBeat)
		} else {
			k.unlisten(offerPrefix + e.Name)
		}
	case keep.Offer:
		h.repairs.trySend(OutMsg{Subject: offerPrefix + e.Name, Data: e.Data})
	case keep.Beat:
		h.repairs.trySend(OutMsg{Subject: subjectBeat, Data: e.Data})
	case keep.Changed:
		first, _, _ := strings.Cut(e.Name, ".")
		k.mu.Lock()
		changed, refused := k.followers[e.Name], k.refused[first]
		k.mu.Unlock()
		if changed != nil {
			changed(keptChange{e.Stamp, e.Data, e.ID != 0, refused})
		}
	case keep.Superseded:
		k.settle(e.ID, nil)
	}
}

func (k *keeping) listen(subject, queue string, fn func(*Message)) {
	if s := k.h.listenIn(subject, queue, fn); s != nil {
		k.subs[subject] = s
	}
}

func (k *keeping) unlisten(subject string) {
	if s := k.subs[subject]; s != nil {
		_ = s.Unsubscribe() // it has no error
		delete(k.subs, subject)
	}
}

// ask asks for the value of a subject.
func (k *keeping) ask(subject string) {
	first, _, _ := strings.Cut(subject, ".")
	k.mu.Lock()
	refused := k.refused[first]
	k.mu.Unlock()
	unanswered := func(m *keep.Machine, now time.Duration) { m.Unanswered(now, subject) }
	if refused {
		k.do(unanswered)
		return
	}
	k.h.request(k.h.ctx, OutMsg{Subject: askPrefix + subject}, keep.AskFor, &request{quiet: true, done: func(m *Message, err error) {
		switch {
		case err == nil && m.stamp != nil:
			data, stamp := append([]byte(nil), m.Data...), *m.stamp
			k.hear(func(machine *keep.Machine, now time.Duration) { machine.Answered(now, subject, stamp, data) })
		case errors.Is(err, ErrNoResponders), errors.Is(err, ErrPermission), errors.Is(err, ErrInvalidName):
			k.hear(unanswered)
		}
	}})
}

// hearAsk takes a question. The intake's lock is held.
func (k *keeping) hearAsk(subject string, who Responder) {
	k.mu.Lock()
	if len(k.asked) < askedKept {
		k.asked, k.askedFor = append(k.asked, who), append(k.askedFor, subject)
	}
	k.mu.Unlock()
	k.stir()
}

// answer answers a question, unless the answer has been forgotten meanwhile.
func (k *keeping) answer(who Responder, subject string) {
	k.mu.Lock()
	stamp, data, ok := k.machine.Asked(subject)
	k.mu.Unlock()
	if ok {
		who.respond(OutMsg{Header: Header{headerSet: {stamp.String()}}, Data: data}) // if that fails, who asks asks again
	}
}

// publish sends a value.
func (k *keeping) publish(e keep.Effect) {
	h := k.h
	m := OutMsg{Subject: e.Name, Header: Header{headerSet: {e.Stamp.String()}}, Data: e.Data}
	if e.ID == 0 {
		h.repairs.trySend(m)
		return
	}
	r := h.outbox.send([]OutMsg{m})
	sent := func() {
		err := r.Err()
		if errors.Is(err, ErrMessageTooLarge) || errors.Is(err, ErrInvalidName) {
			k.do(func(m *keep.Machine, now time.Duration) { m.Refused(now, e.Name, false) })
		}
		if isDisconnected(err) {
			err = nil // it is the hub's value, and others get it when they are met again
		}
		k.settle(e.ID, err)
	}
	if r.Settled() {
		sent()
		return
	}
	h.spawn(func() {
		<-r.done
		sent()
	})
}

func (k *keeping) take(m *Message) {
	if text := m.takeVersion(); text != "" {
		if stamp, ok := keep.ParseStamp(text); ok && stamp.Counter > 0 {
			m.stamp = &stamp
		}
	}
}
