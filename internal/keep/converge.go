package keep

import (
	"bytes"
	"strings"
	"time"
)

// How hubs that have missed something of one another come to the same values: see Machine.

// reconcile offers everything, after a while in which others may offer the same.
func (m *Machine) reconcile(now time.Duration) {
	for _, name := range sorted(m.regions) {
		r := m.regions[name]
		at := now + m.late(offerWithin)
		for _, c := range r.cells {
			r.offers(c, at)
		}
	}
}

// offers lets c be offered at a time, or sooner.
func (r *region) offers(c *cell, at time.Duration) {
	if len(r.offer) == 0 || at < r.offerAt {
		r.offerAt = at
	}
	r.offer[c] = true
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
		r := c.region
		c.most = max(c.most, s.Counter)
		switch {
		case c.stamp.Version == s.Version:
			delete(r.offer, c)
		case s.Version.Before(c.stamp.Version):
			delete(r.offer, c)
			if c.own != nil || c.mute {
				break // it is about to be sent, or cannot be
			}
			if len(r.send) == 0 {
				r.sendAt = now + m.late(replyWithin)
			}
			r.send[c] = true
		default:
			m.lacks(now, c, s.Version)
		}
	}
}

// lacks notes that others have a newer version, and lets them know who has not.
func (m *Machine) lacks(now time.Duration, c *cell, v Version) {
	r := c.region
	if c.want.Before(v) {
		c.want, c.wanted = v, 0
	}
	r.offers(c, now+m.late(replyWithin))
	if len(r.behind) == 0 {
		r.behindAt = now + wantAgain
	}
	r.behind[c] = true
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
	if !m.knows(before) {
		m.reconcile(now)
	}
	m.beat(now, token)
}

const beatDigits = 8

func (m *Machine) knows(token string) bool {
	for _, t := range m.heard {
		if t == token {
			return true
		}
	}
	return false
}

// beat notes one, and when the next is due.
func (m *Machine) beat(now time.Duration, token string) {
	if len(m.heard) >= beatsKept {
		m.heard = m.heard[1:]
	}
	m.heard = append(m.heard, token)
	m.last = token
	at := now + m.late(offerWithin)
	another := now-m.beatOf >= beatLeast/2 // not one of several that crossed
	if another {
		m.beatOf = now
	}
	for c, beats := range m.recent {
		if now-c.at < busy {
			continue // at the next beat
		}
		c.region.offers(c, at)
		if !another {
			continue
		}
		if m.recent[c]--; beats <= 1 {
			delete(m.recent, c)
		}
	}
	m.beatAt = now + beatLeast + m.late(beatMost-beatLeast)
}

// Next is when Tick is to be called; 0 for never.
func (m *Machine) Next() (at time.Duration) {
	if !m.online {
		return 0
	}
	sooner := func(t time.Duration, if_ bool) {
		if if_ && (at == 0 || t < at) {
			at = t
		}
	}
	sooner(m.beatAt, m.beatAt != 0)
	for c := range m.asking {
		sooner(c.askAt, true)
	}
	for _, r := range m.regions {
		sooner(r.offerAt, len(r.offer) > 0)
		sooner(r.sendAt, len(r.send) > 0)
		sooner(r.behindAt, len(r.behind) > 0)
	}
	return at
}

// Tick does what is due.
func (m *Machine) Tick(now time.Duration) {
	if !m.online {
		return
	}
	var due []*cell
	for c := range m.asking {
		if c.askAt <= now {
			due = append(due, c)
		}
	}
	for _, c := range due {
		m.askNext(now, c)
	}
	for _, name := range sorted(m.regions) {
		r := m.regions[name]
		if len(r.behind) > 0 && r.behindAt <= now {
			m.wantAgain(now, r)
		}
		if len(r.offer) > 0 && r.offerAt <= now {
			m.offer(now, r)
		}
		if len(r.send) > 0 && r.sendAt <= now {
			m.send(now, r)
		}
	}
	if m.beatAt != 0 && m.beatAt <= now {
		token, before := m.token(), m.last
		m.beat(now, token)
		m.do(Effect{Kind: Beat, Data: []byte(token + " " + before)})
	}
}

// wantAgain asks again for what others have.
func (m *Machine) wantAgain(now time.Duration, r *region) {
	for c := range r.behind {
		if c.wanted++; c.wanted >= wantTries || !c.stamp.Version.Before(c.want) {
			delete(r.behind, c)
			continue
		}
		r.offers(c, now)
	}
	r.behindAt = now + wantAgain
}

// offer sends a chunk of what is to be offered.
func (m *Machine) offer(now time.Duration, r *region) {
	var text []byte
	for _, name := range ordered(r.offer) {
		if len(text)+len(name) > chunk-64 && len(text) > 0 {
			break
		}
		c := r.cells[name]
		delete(r.offer, c)
		if !c.known && c.stamp.Counter == 0 {
			continue // it is being asked for
		}
		text = append(append(append(c.stamp.Append(text), ' '), name...), '\n')
	}
	r.offerAt = now + pace
	if len(text) > 0 {
		m.do(Effect{Kind: Offer, Name: r.name, Data: bytes.Clone(text)})
	}
}

// send sends again some of what others lack.
func (m *Machine) send(now time.Duration, r *region) {
	size := 0
	for _, name := range ordered(r.send) {
		c := r.cells[name]
		if size > 0 && size+len(c.data) > 2*chunk {
			break
		}
		size += len(c.data) + len(name) + 64
		delete(r.send, c)
		s := c.stamp
		s.Again = true
		m.do(Effect{Kind: Publish, Name: name, Stamp: s, Data: c.data})
	}
	r.sendAt = now + pace
}

func ordered(cells map[*cell]bool) []string {
	names := map[string]bool{}
	for c := range cells {
		names[c.name] = true
	}
	return sorted(names)
}
