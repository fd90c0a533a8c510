package presence

import (
	"bytes"
	"sort"
	"time"
)

// A member of the scope, that is not this hub.
type member struct {
	record
	heard  time.Duration // it has said something itself
	since  time.Duration // it is known
	misses int           // calls in a row that it has not answered
	goneAt time.Duration // it is said to be gone, which is believed then; 0: it is not
}

// departed is who has left: what is said of it from before does not count.
type departed struct {
	seq  uint64
	left bool // it has said so itself
	at   time.Duration
}

// counts says whether it does, against what is said of the member now, by itself or by others.
func (d departed) counts(now time.Duration, seq uint64, first bool) bool {
	if d.left {
		return now-d.at < remember && seq <= d.seq
	}
	return now-d.at < remember/5 && (seq < d.seq || seq == d.seq && !first)
}

// index is where id is among the members, or would be.
func (m *Machine) index(id string) int {
	return sort.Search(len(m.members), func(i int) bool { return m.members[i].id >= id })
}

func (m *Machine) find(id string) *member {
	if i := m.index(id); i < len(m.members) && m.members[i].id == id {
		return m.members[i]
	}
	return nil
}

// add takes what is said of a member, by itself or by others. first says that it has said so itself.
func (m *Machine) add(now time.Duration, r record, first bool) {
	if r.id == m.id {
		m.heardOfSelf(now, r)
		return
	}
	if d, ok := m.gone[r.id]; ok && d.counts(now, r.seq, first) {
		return
	}
	one := m.find(r.id)
	if one == nil {
		if len(m.members) >= Most {
			return
		}
		delete(m.gone, r.id)
		delete(m.unknown, r.id)
		i := m.index(r.id)
		m.members = append(m.members, nil)
		copy(m.members[i+1:], m.members[i:])
		one = &member{record: r, since: now}
		if first {
			one.heard = now
			m.greet(now)
		}
		m.members[i] = one
		m.hash ^= r.hash()
		m.changed = now
		m.do(Joined, r.id, r.data)
		return
	}
	if first {
		one.heard, one.misses = now, 0
		m.doubt(one, 0)
	}
	if r.seq <= one.seq || r.seq-one.seq > mostJump {
		return
	}
	delete(m.unknown, r.id)
	same := bytes.Equal(one.data, r.data)
	m.hash ^= one.hash() ^ r.hash()
	one.record = r
	m.changed = now
	if !same {
		m.do(Changed, r.id, r.data)
	}
}

// greet lets a newcomer know of this hub, if that is one, too, so that nobody may have told it.
func (m *Machine) greet(now time.Duration) {
	if m.joined && !m.greeted && now-m.began < AskFor && m.hereAt == 0 {
		m.greeted = true
		m.hereAt = max(now, m.contradicted) + m.random(settle)
		m.contradicted = m.hereAt + contradict
	}
}

// heardOfSelf takes what others say of this hub: it knows better.
func (m *Machine) heardOfSelf(now time.Duration, r record) {
	if r.seq < m.seq || m.joined && r.seq == m.seq && bytes.Equal(r.data, m.data) {
		return
	}
	if !m.joined {
		if m.online && now >= m.contradicted {
			m.contradicted = now + contradict
			m.seq = min(max(m.seq, r.seq)+1, mostSeq)
			m.say("left " + m.id + " " + decimal(m.seq))
		}
		return
	}
	m.contradict(now, r.seq)
}

// contradict says, soon, that this hub is here, with a seq above another's.
func (m *Machine) contradict(now time.Duration, seq uint64) {
	if seq-m.seq > mostJump && seq > m.seq {
		return // nobody believes that
	}
	m.hash ^= m.self().hash()
	m.seq = min(max(m.seq, seq)+1, mostSeq)
	m.hash ^= m.self().hash()
	if m.hereAt == 0 {
		m.hereAt = max(now, m.contradicted)
		m.contradicted = m.hereAt + contradict
	}
}

// remove takes a member off. left says that it has said so itself.
func (m *Machine) remove(now time.Duration, id string, seq uint64, left bool) {
	if _, ok := m.gone[id]; !ok {
		m.departed = append(m.departed, id)
	}
	m.gone[id] = departed{seq, left, now}
	for len(m.departed) > 0 && (len(m.departed) > Most || now-m.gone[m.departed[0]].at > remember) {
		delete(m.gone, m.departed[0])
		m.departed = m.departed[1:]
	}
	delete(m.unknown, id)
	i := m.index(id)
	if i < len(m.members) && m.members[i].id == id {
		m.take(now, i)
	}
}

// doubt says when it is believed that a member is gone; 0: never.
func (m *Machine) doubt(one *member, at time.Duration) {
	if one.goneAt != 0 {
		m.doubted--
	}
	if one.goneAt = at; at != 0 {
		m.doubted++
	}
}

// take takes a member off.
func (m *Machine) take(now time.Duration, i int) {
	one := m.members[i]
	m.doubt(one, 0)
	m.members = append(m.members[:i], m.members[i+1:]...)
	m.hash ^= one.hash()
	m.changed = now
	m.do(Left, one.id, one.data)
}
