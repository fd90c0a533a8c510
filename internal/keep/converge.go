package keep

import (
	"strings"
	"time"
)

// How hubs that have missed something of one another come to the same values: see Machine.

// reconcile offers everything, after a while in which others may offer the same, and once more at the next beat: two parts that
// have just met may be apart again before that, and the beat that both have heard tells of it no more.
func (m *Machine) reconcile(now time.Duration) {
	for _, r := range m.regions {
		at := now + m.late(offerWithin)
		for _, c := range r.cells {
			c.recent = max(c.recent, 1)
			c.offer(at)
		}
	}
}

// offer lets c be offered at a time, or sooner.
func (c *cell) offer(at time.Duration) {
	c.plan(toOffer, at)
	of := &c.region.jobs[toOffer]
	of.at = min(of.at, at)
}

// HeardOffer takes an offer: lines of a stamp and a name.
func (m *Machine) HeardOffer(now time.Duration, text string) {
	for line := range strings.Lines(text) {
		version, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		s, ok := ParseStamp(version)
		c := m.cells[name]
		if !ok || c == nil {
			continue
		}
		c.most = max(c.most, s.Counter)
		switch {
		case c.stamp.Version == s.Version:
			c.done(toOffer)
		case s.Version.Before(c.stamp.Version):
			c.done(toOffer)
			if c.own != nil || c.mute {
				break // it is about to be sent, or cannot be
			}
			c.plan(toSend, now+m.late(replyWithin))
		default:
			m.lacks(now, c, s.Version)
		}
	}
}

// lacks notes that others have a newer version, and lets them know who has not.
func (m *Machine) lacks(now time.Duration, c *cell, v Version) {
	if c.want.Before(v) {
		c.want, c.wanted = v, 0
	}
	c.offer(now + m.late(replyWithin))
	c.plan(toDemand, now+wantAgain)
}

// HeardBeat takes a beat: its token and the one before it.
func (m *Machine) HeardBeat(now time.Duration, text string) {
	token, before, ok := strings.Cut(text, " ")
	if !ok || len(token) != beatDigits || len(before) > beatDigits || len(m.cells) == 0 {
		return
	}
	if m.knows(token) {
		return // its own, or one that came twice
	}
	met := !m.isLatest(before)
	m.beat(now, token)
	if met {
		m.reconcile(now)
	}
}

const beatDigits = WriterDigits

func (m *Machine) knows(token string) bool {
	for _, b := range m.heard {
		if b.token == token {
			return true
		}
	}
	return false
}

// isLatest says that token is of one of the last beatsOffered rounds: who has missed no more than what came after it
// hears of what has changed, as that is offered at so many beats.
func (m *Machine) isLatest(token string) bool {
	for _, b := range m.heard {
		if b.token == token {
			return b.round > m.round-beatsOffered
		}
	}
	return false
}

// beat notes one, and when the next is due.
func (m *Machine) beat(now time.Duration, token string) {
	if len(m.heard) >= beatsKept {
		m.heard = m.heard[1:]
	}
	another := now-m.beatOf >= beatLeast/2 // not one of several that crossed
	if another {
		m.beatOf = now
		m.round++
	}
	m.heard = append(m.heard, beat{token, m.round})
	m.last = token
	m.beatAt = now + beatLeast + m.late(beatMost-beatLeast)
	at := now + m.late(offerWithin)
	for _, r := range m.regions {
		for _, c := range r.cells {
			if c.recent == 0 || now-c.at < busy {
				continue // that is offered at the next beat
			}
			c.offer(at)
			if another {
				c.recent--
			}
		}
	}
}

// Next is when Tick is to be called; 0 for never.
func (m *Machine) Next() (at time.Duration) {
	if !m.online {
		return 0
	}
	if len(m.queue) > 0 && m.asking < m.atOnce {
		return 1 // at once
	}
	at = m.beatAt
	for _, r := range m.regions {
		for j := range r.jobs {
			if of := &r.jobs[j]; of.cells > 0 {
				at = min(at, of.at)
			}
		}
		if m.asking == 0 {
			continue
		}
		for _, c := range r.cells {
			if c.asking {
				at = min(at, c.askAt)
			}
		}
	}
	return at
}

// Tick does what is due.
func (m *Machine) Tick(now time.Duration) {
	if !m.online || m.beatAt == 0 {
		return
	}
	m.askMore(now)
	for _, r := range m.regions {
		for i := 0; m.asking > 0 && i < len(r.cells); i++ {
			if c := r.cells[i]; c.asking && c.askAt <= now {
				m.askNext(now, c)
			}
		}
		for j := jobs; j > 0; j-- { // what is demanded is offered at once
			if of := &r.jobs[j-1]; of.cells > 0 && of.at <= now {
				of.at = now + pace
				m.work(now, r, j-1)
			}
		}
	}
	m.askMore(now)
	if m.beatAt <= now {
		token, before := m.token(), m.last
		m.beat(now, token)
		m.do(Effect{Kind: Beat, Data: []byte(token + " " + before)})
	}
}

// work does a job with as many cells of a region as may be done at a time.
func (m *Machine) work(now time.Duration, r *region, j job) {
	var text []byte // of the offer
	size := 0
	for _, c := range r.cells {
		if !c.jobs[j] {
			continue
		}
		if j == toDemand {
			r.jobs[j].at = now + wantAgain
			c.offer(now)
			if c.wanted++; c.wanted < wantTries && c.stamp.Version.Before(c.want) {
				continue
			}
			c.done(j)
			continue
		}
		more := len(c.name) + 64
		if j == toSend {
			more += len(c.data)
		}
		if size > 0 && size+more > chunk {
			break
		}
		size += more
		c.done(j)
		s := c.stamp
		if j == toSend {
			s.Again = true
			m.do(Effect{Kind: Publish, Name: c.name, Stamp: s, Data: c.data})
		} else if c.known || s.Counter > 0 { // else it is being asked for
			text = append(append(append(s.Append(text), ' '), c.name...), '\n')
		}
	}
	if len(text) > 0 {
		m.do(Effect{Kind: Offer, Name: r.name, Data: text})
	}
}
