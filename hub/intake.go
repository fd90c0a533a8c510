package hub

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/bridge"
	"github.com/kinopio-hub/kinopio-hub/v3/internal/natswire"
)

// The intake is where everything that links bring comes in. It says of each message whether it is
// delivered, is a copy of one that was, or has to wait for one that is before it. At rest it has one
// link; around a move two.
type intake struct {
	hub *Hub
	mu  sync.Mutex // held while messages go from a link to their receivers

	start time.Time
	read  time.Duration // of the clock, for the batch; 0: not yet

	over      *overlap // nil: there is one link
	plain     bool     // there are messages without numbers
	settled   int64    // until then copies may come that took a longer way
	away      absence
	here      int64             // since then the hub is in this system
	backfills map[*counter]bool // whose beginning is looked for

	gaps  map[*counter]bool // that miss something
	tails []tail            // whose end is asked about
	bytes int               // of what waits, in all of them
	deaf  map[uint64]int64  // publishers that have not answered, and until when nobody waits for them

	expected []expectedCopies // copies of messages without numbers that are still to come

	seed      maphash.Seed
	remembers bool         // for a standby
	late      []remembered // messages without numbers
	former    []remembered

	stirred atomic.Bool // a goroutine has something to do because of what came

	scratch Message    // that is being delivered
	run     bridge.Run // that is being delivered
}

const (
	// countersKept bounds the streams that an entry follows.
	countersKept = 1 << 16
	// newcomers is for how long after an absence an unknown stream is looked for from its beginning.
	newcomers = 15 * time.Second
)

// now is a clock that is read once a batch. in.mu is held, here and below.
func (in *intake) now() int64 {
	if in.read == 0 {
		in.read = time.Since(in.start) + 1
	}
	return int64(in.read)
}

// lock takes the lock, and lets the clock be read anew.
func (in *intake) lock() {
	in.mu.Lock()
	in.read = 0
}

func (in *intake) unsettled() bool { return in.over != nil || in.now() < in.settled }

// receive is a link's: messages in the order of its stream.
func (in *intake) receive(l *link, batch []natswire.Inbound) (idle bool) {
	count, size := 0, 0
	in.lock()
	idle = in.over == nil
	for i := range batch {
		m := (*inbound)(&batch[i])
		n, bytes := m.weight()
		count += n
		size += bytes
		switch {
		case l.shutOff:
		case m.Route == nil:
			idle = in.hub.answer(l, m) && idle
		case m.Run == nil:
			idle = in.single(l, m) && idle
		default:
			idle = in.several(l, m) && idle
		}
	}
	l.heard.Store(in.now())
	if in.stirred.Load() {
		in.stirred.Store(false)
		idle = false
	}
	in.mu.Unlock()
	in.hub.traffic.inMessages.Add(uint64(count))
	in.hub.traffic.inBytes.Add(uint64(size))
	return idle
}

// several takes a run, as a whole if it can.
func (in *intake) several(l *link, m *inbound) (idle bool) {
	e := m.sub().entry
	whole := m.Number.Stream == 0 && (e.control || in.over == nil && in.expected == nil && !in.remembers)
	if m.Number.Stream != 0 && !in.own(m) {
		c := in.counter(l, m)
		whole = (c.begun || in.begins(l, c, m)) && c.takeRun(m.Number.Count, m.Run, in.now())
	}
	if whole {
		in.plain = in.plain || m.Number.Stream == 0 && !e.control && !e.shared()
		return in.deliverRun(m)
	}
	idle = true
	m.each(func(one *inbound) { idle = in.single(l, one) && idle })
	return idle
}

// single takes one message.
func (in *intake) single(l *link, m *inbound) (idle bool) {
	e := m.sub().entry
	switch {
	case e.control:
		return in.deliver(m)
	case m.Number.Stream != 0:
		return in.numbered(l, m)
	case e.shared():
		return in.deliver(m)
	case in.over != nil:
		return in.over.take(in, l, m)
	case in.expected != nil && in.isExpectedCopy(m):
		return true
	}
	in.plain = true
	if in.remembers {
		in.remember(m)
	}
	return in.deliver(m)
}

// hasPlain says whether there have been messages without numbers.
func (in *intake) hasPlain() bool {
	in.lock()
	defer in.mu.Unlock()
	return in.plain
}

// own says that m is the hub's, and not wanted.
func (in *intake) own(m *inbound) bool {
	return in.hub.cfg.NoEcho && m.Number.Publisher() == in.hub.outbox.publisher
}

func (in *intake) numbered(l *link, m *inbound) (idle bool) {
	if in.own(m) {
		return true
	}
	c := in.counter(l, m)
	if !c.begun {
		in.begins(l, c, m)
	}
	return in.judge(c, m)
}

// judge does with m what c says.
func (in *intake) judge(c *counter, m *inbound) (idle bool) {
	idle = true
	bytes := c.bytes
	to := everybody
	if c.waits(m) {
		to = late
	}
	switch c.take(m, in.now(), in.unsettled()) {
	case takeIt:
		idle = in.deliverTo(to, m)
	case keepIt:
		in.deliverTo(early, m)
		idle = false
	}
	in.bytes += c.bytes - bytes
	if c.gap.since != 0 || c.isMissing() {
		c.found(in.now())
		in.drain(c)
		idle = false
	}
	return idle
}

// drain delivers what has waited long enough, and notes whether c still misses something.
func (in *intake) drain(c *counter) {
	for {
		bytes := c.bytes
		m, ok := c.next(in.now(), func(s span) { in.lost(c, s) })
		in.bytes += c.bytes - bytes
		if !ok {
			break
		}
		in.deliverTo(late, &m)
	}
	switch {
	case !c.isMissing():
		delete(in.gaps, c)
		delete(in.backfills, c)
	case !in.gaps[c]:
		in.gaps[c] = true
		in.hub.repairs.wakeUp()
	}
	for in.bytes > in.hub.cfg.PendingLimit && len(in.gaps) > 0 {
		var oldest *counter
		for c := range in.gaps {
			if len(c.waiting) > 0 && (oldest == nil || c.gap.since < oldest.gap.since) {
				oldest = c
			}
		}
		if oldest == nil {
			return
		}
		in.giveUp(oldest)
	}
}

// giveUp delivers what waits, without what is missing.
func (in *intake) giveUp(c *counter) {
	c.giveUp()
	in.drain(c)
}

// lost tells of messages that will not come.
func (in *intake) lost(c *counter, s span) {
	h := in.hub
	h.missing.Add(s.to - s.from + 1)
	m := Missing{Subject: c.subject, Publisher: natswire.PublisherName(c.stream >> natswire.StreamBits), From: s.from, To: s.to}
	h.events.put(func() {
		h.cfg.Logger.Warn("messages are missing", "subject", m.Subject, "publisher", m.Publisher, "from", m.From, "to", m.To)
		h.onMissing.notify(m, h.observerFailed)
	}, eventsKept)
}

// counter is the one for m's stream.
func (in *intake) counter(l *link, m *inbound) *counter {
	e := m.sub().entry
	if c := e.latest; c != nil && c.stream == m.Number.Stream && c.subject == m.Subject {
		return c
	}
	c := e.counters[counterKey{m.Number.Stream, m.Subject}]
	if c == nil {
		c = &counter{stream: m.Number.Stream, subject: m.Subject, entry: e}
		in.addCounter(c)
	}
	e.serial++
	c.used = e.serial
	e.latest = c
	return c
}

type counterKey struct {
	stream  uint64
	subject string
}

// addCounter adds c to its entry, which forgets those that have been idle for longer than most when they
// are too many.
func (in *intake) addCounter(c *counter) {
	e := c.entry
	if e.counters == nil {
		e.counters = map[counterKey]*counter{}
	}
	if len(e.counters) >= countersKept {
		var average uint64
		for _, other := range e.counters {
			average += other.used / uint64(len(e.counters))
		}
		for key, other := range e.counters {
			if other.used <= average && !in.gaps[other] {
				delete(e.counters, key)
			}
		}
	}
	e.counters[counterKey{c.stream, c.subject}] = c
}

// deliver hands one message to the handles of its name. idle is as in receiver.
func (in *intake) deliver(m *inbound) (idle bool) {
	return in.deliverTo(everybody, m)
}

func (in *intake) deliverTo(r receivers, m *inbound) (idle bool) {
	s := m.sub()
	in.scratch = Message{Subject: m.Subject, Reply: m.Reply, Header: m.Header, Data: m.Data, number: m.Number, hub: in.hub, link: s.link}
	if m.Header != nil && !in.hub.keeper().passes(s.entry, r, &in.scratch) {
		return true
	}
	return s.entry.deliver(&in.scratch, r)
}

// deliverRun is deliver for a run, which is handed on as a whole to a handle that takes runs and is
// the only one.
func (in *intake) deliverRun(m *inbound) (idle bool) {
	if handles := m.sub().entry.all(); len(handles) == 1 && handles[0].onRun != nil {
		in.run = bridge.Run{Subject: m.Subject, Data: m.Run}
		return handles[0].takeRun(&in.run)
	}
	idle = true
	m.each(func(one *inbound) { idle = in.deliver(one) && idle })
	return idle
}

// shut lets nothing of l through any more.
func (in *intake) shut(l *link) {
	in.lock()
	defer in.mu.Unlock()
	l.shutOff = true
}

// forget takes an entry's counters off what is missing: nobody wants them any more.
func (in *intake) forget(e *entry) {
	in.lock()
	defer in.mu.Unlock()
	for c := range in.gaps {
		if c.entry == e {
			in.bytes -= c.bytes
			delete(in.gaps, c)
			delete(in.backfills, c)
		}
	}
	e.counters, e.latest = nil, nil
}

// waitingFor is how many streams wait for something that is missing.
func (in *intake) waitingFor() int {
	in.lock()
	defer in.mu.Unlock()
	return len(in.gaps)
}
