package hub

import (
	"strconv"
	"strings"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/natswire"
)

// subscribe keeps the subscriptions for the answers.
func (r *repairs) subscribe(keys map[repairSubKey]bool, now time.Time, sooner func(time.Time)) {
	for key := range keys {
		s := r.subs[key]
		if s == nil {
			prefix := ownPrefix + "again." + natswire.PublisherName(key.publisher) + "."
			s = &repairSub{sub: r.h.listenTo(prefix+key.entry.key.subject, func(m *Message) { r.answered(key.entry, prefix, m) })}
			if s.sub == nil {
				continue
			}
			r.subs[key] = s
		}
		s.used = now
	}
	for key, s := range r.subs {
		if now.Sub(s.used) >= lingering {
			s.sub.Unsubscribe()
			delete(r.subs, key)
		} else {
			sooner(s.used.Add(lingering))
		}
	}
}

// answered takes what a publisher sends again. The intake's lock is held.
func (r *repairs) answered(e *entry, prefix string, m *Message) {
	in := &r.h.intake
	subject := strings.TrimPrefix(m.Subject, prefix)
	if text := m.Header.Get(headerGone); text != "" {
		f := strings.Fields(text)
		if len(f) != 5 {
			return
		}
		stream, ok := natswire.ParseStream(f[0])
		from, err := strconv.ParseUint(f[1], 10, 64)
		to, err2 := strconv.ParseUint(f[2], 10, 64)
		count, err3 := strconv.ParseUint(f[3], 10, 64)
		age, err4 := strconv.ParseInt(f[4], 10, 32)
		c := e.counters[counterKey{stream, subject}]
		if !ok || err != nil || err2 != nil || err3 != nil || err4 != nil || c == nil || !in.gaps[c] {
			return
		}
		if age > 0 && (c.gap.from == 0 || c.gap.maxAge > age) {
			return // somebody else has asked for less
		}
		in.gone(c, span{from, to}, count)
		return
	}
	c := e.counters[counterKey{m.number.Stream, subject}]
	if c == nil || !in.gaps[c] {
		return
	}
	switch n := m.number.Count; {
	case !c.begun && c.gap.from == 0:
		return
	case c.begun && n <= c.last:
		return // somebody else has asked for it; here it came long ago
	}
	resent := &inbound{Route: &linkSub{entry: e, link: m.link}, Subject: subject, Reply: m.Reply, Header: m.Header, Data: m.Data, Number: m.number}
	c.gap.since = in.now() // it is getting on
	in.judge(c, resent)
}

// gone takes that the messages of s will not come, and that the publisher has counted to count.
func (in *intake) gone(c *counter, s span, count uint64) {
	if count == 0 { // the publisher does not publish this on c's subject
		c.gap.loose = true
		c.giveUp()
		in.drain(c)
		return
	}
	c.announced = min(c.announced, count)
	for n := len(c.waiting); n > 0 && c.waiting[n-1].Number.Count > count; n = len(c.waiting) {
		// Somebody else made this number up, or the message goes round in circles: it is delivered, and
		// says nothing.
		m := c.waiting[n-1]
		c.waiting = c.waiting[:n-1]
		c.bytes -= m.held()
		in.bytes -= m.held()
		in.deliverTo(late, &m)
	}
	if s.from <= s.to && s.from > 0 {
		c.lose(s)
	}
	in.drain(c)
}
