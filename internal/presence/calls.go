package presence

import (
	"bytes"
	"sort"
	"strconv"
	"strings"
	"time"
)

func decimal(n uint64) string { return strconv.FormatUint(n, 10) }

// Heard takes what was said to all.
func (m *Machine) Heard(now time.Duration, text []byte) {
	if !m.Active() {
		return
	}
	kind, rest, _ := bytes.Cut(text, []byte(" "))
	head, body, _ := bytes.Cut(rest, []byte("\n"))
	f := strings.Split(string(head[:min(len(head), 128)]), " ")
	switch {
	case string(kind) == "here":
		if r, _, ok := cutRecord(rest); ok {
			m.add(now, r, true)
		}
	case !validID(f[0]):
	case string(kind) == "left" && len(f) == 2:
		if seq, ok := parseSeq(f[1]); ok {
			m.heardLeft(now, f[0], seq)
		}
	case string(kind) == "call" && len(f) == 4:
		m.call(now, f)
	case string(kind) == "gone" && len(f) == 1:
		m.heardGone(now, string(body))
	case string(kind) == "say" && len(f) == 1:
		m.heardSay(now, string(body))
	case string(kind) == "list" && len(f) == 4:
		m.heardList(now, f, body)
	}
}

func (m *Machine) heardLeft(now time.Duration, id string, seq uint64) {
	if id == m.id {
		if m.joined && seq >= m.seq {
			m.contradict(now, seq)
		}
		return
	}
	if one := m.find(id); one != nil && (seq <= one.seq || seq-one.seq > mostJump) {
		return
	}
	m.remove(now, id, seq, true)
}

func (m *Machine) heardGone(now time.Duration, text string) {
	for line := range strings.Lines(text) {
		id, number, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		seq, ok := parseSeq(number)
		if !ok || !validID(id) {
			return
		}
		if id == m.id {
			if m.joined {
				m.contradict(now, seq)
			}
		} else if one := m.find(id); one != nil && seq >= one.seq && one.goneAt == 0 {
			m.doubt(one, now+believe)
		}
	}
}

func (m *Machine) heardSay(now time.Duration, text string) {
	if !m.joined || !strings.Contains("\n"+text, "\n"+m.id+"\n") || m.hereAt != 0 {
		return
	}
	m.hereAt = max(now, m.contradicted) + m.random(settle/2)
	m.contradicted = m.hereAt + contradict
}

// call takes a call: of whom, which, how many and who are known there.
func (m *Machine) call(now time.Duration, f []string) {
	from := f[0]
	if from == m.id {
		return
	}
	known := m.find(from) != nil
	if known {
		if m.calling && from > m.id {
			m.callAt = min(m.callAt, now+m.random(500*time.Millisecond)) // who hears that goes on no more
		} else {
			m.yield()
			m.heardCall(now, from)
		}
	}
	count, hash := len(m.members), m.hash
	if m.joined {
		count++
	}
	doubt := ""
	if !known && m.joined {
		doubt = " ?"
	} else if !known {
		m.ask(now)
	} else if now-m.changed < settle {
		m.mismatches = 0
	} else if (f[2] != strconv.Itoa(count) || f[3] != strconv.FormatUint(uint64(hash), 16)) && count < Most {
		if m.mismatches++; m.mismatches == 1 {
			m.mismatched = now
		}
		lasts := now-m.mismatched >= 2*settle
		if m.joined && lasts {
			doubt = " ?"
		} else if m.mismatches == 1 || lasts {
			m.replace = ""
			if lasts {
				m.replace = f[2] + " " + f[3]
			}
			m.ask(now)
		}
	} else {
		m.mismatches = 0
	}
	if m.joined {
		m.do(Roll, "", []byte(m.id+" "+decimal(m.seq)+" "+from+" "+f[1]+doubt))
	}
}

// heardCall notes a call, and when this hub calls if no other comes.
func (m *Machine) heardCall(now time.Duration, from string) {
	m.called, m.caller, m.wondered = now, from, false
	m.plan()
}

// plan says when this hub calls if no other does.
func (m *Machine) plan() {
	rank := 0
	for _, one := range m.members {
		if one.id < m.id && one.id != m.caller {
			rank++
		}
	}
	m.callAt = m.called + takeOver + time.Duration(min(rank, rankMost))*rankStep + m.random(rankStep)
}

// HeardRoll takes what was said to who calls.
func (m *Machine) HeardRoll(now time.Duration, text []byte) {
	f := strings.Split(string(text[:min(len(text), 128)]), " ")
	if len(f) < 4 || len(f) > 5 || !validID(f[0]) || f[2] != m.id || !m.calling || f[0] == m.id {
		return
	}
	seq, ok := parseSeq(f[1])
	if !ok {
		return
	}
	one := m.find(f[0])
	if one != nil {
		one.heard, one.misses = now, 0
	}
	if one == nil && len(m.members)+len(m.unknown) < Most || one != nil && one.seq < seq {
		m.unknown[f[0]] = true
		if m.sayAt == 0 {
			m.sayAt = now + sayWithin
		}
	}
	if len(f) == 5 && f[4] == "?" && m.listAt == 0 {
		m.listAt = max(now+listWithin, m.listed+listPause, m.tenure+CallEvery+answerWithin)
	}
}

// Listed takes an answer to the question who is here; last says that it is the last one.
func (m *Machine) Listed(now time.Duration, text []byte) (last bool) {
	head, body, _ := bytes.Cut(text, []byte("\n"))
	f := strings.Split(string(head[:min(len(head), 128)]), " ")
	if len(f) != 4 || f[0] != "who" || !validID(f[1]) {
		return false
	}
	if f[2] == "1" {
		m.onWho, m.whoHash = map[string]bool{}, 0
	}
	for _, r := range records(body) {
		m.add(now, r, false)
		if m.onWho != nil && !m.onWho[r.id] {
			m.onWho[r.id] = true
			m.whoHash ^= r.hash()
		}
	}
	if !m.joined {
		m.called, m.wondered = now, false // who answers could be asked, too
	}
	if f[1] == m.id { // it has been asked itself
		m.askAt = min(m.askAt, now+askAgain/2)
		return f[2] == f[3]
	}
	if f[2] == f[3] && m.asking {
		if m.replace != "" && m.replace == strconv.Itoa(len(m.onWho))+" "+strconv.FormatUint(uint64(m.whoHash), 16) {
			m.keep(now, m.onWho) // these are all, says who calls, too
		}
		m.onWho, m.replace = nil, ""
		m.learned()
	}
	return f[2] == f[3]
}

// heardList takes a part of what who calls knows. Who is on no part of it is not here.
func (m *Machine) heardList(now time.Duration, f []string, body []byte) {
	from, token := f[0], f[0]+" "+f[1]
	part, err := strconv.Atoi(f[2])
	parts, err2 := strconv.Atoi(f[3])
	if err != nil || err2 != nil || part < 1 || part > parts || parts > Most || from == m.id {
		return
	}
	if part == 1 {
		m.listOf, m.onList = token, map[string]bool{from: true}
	}
	for _, r := range records(body) {
		m.add(now, r, false)
		if m.listOf == token {
			m.onList[r.id] = true
		}
	}
	if part != parts || m.listOf != token || m.caller != from || m.calling {
		return
	}
	m.keep(now, m.onList)
	if m.joined && !m.onList[m.id] && m.hereAt == 0 {
		m.hereAt = max(now, m.contradicted) + m.random(settle/2)
		m.contradicted = m.hereAt + contradict
	}
	m.listOf, m.onList, m.mismatches = "", nil, 0
}

// keep takes those off who are not on a list, and have said nothing lately.
func (m *Machine) keep(now time.Duration, list map[string]bool) {
	for i := 0; i < len(m.members); {
		if one := m.members[i]; !list[one.id] && now-max(one.heard, one.since) > 2*settle {
			m.remove(now, one.id, one.seq, false)
		} else {
			i++
		}
	}
}

// Next is when Tick is to be called; 0 for never.
func (m *Machine) Next() (at time.Duration) {
	if !m.online || !m.Active() {
		return 0
	}
	switch {
	case m.joined:
		at = m.callAt
	case m.wonders():
		at = m.called + wonder
	case m.asking:
		at = m.askAt
	default:
		at = m.called + silence
	}
	sooner := func(t time.Duration, is bool) {
		if is {
			at = min(at, t)
		}
	}
	sooner(m.askAt, m.asking)
	sooner(m.countAt, m.countAt != 0)
	sooner(m.sayAt, m.sayAt != 0)
	sooner(m.listAt, m.listAt != 0)
	sooner(m.hereAt, m.hereAt != 0)
	for i := 0; m.doubted > 0 && i < len(m.members); i++ {
		sooner(m.members[i].goneAt, m.members[i].goneAt != 0)
	}
	return at
}

// Tick does what is due.
func (m *Machine) Tick(now time.Duration) {
	if !m.online || !m.Active() {
		return
	}
	if m.asking && m.askAt <= now {
		if now >= m.askUntil {
			m.learned()
		} else {
			m.askAt = min(now+askAgain, m.askUntil)
			m.do(Ask, "", nil)
		}
	}
	if m.hereAt != 0 && m.hereAt <= now {
		m.here()
	}
	m.believeGone(now)
	switch {
	case m.joined:
		m.tickMember(now)
	case m.wonders():
		if now >= m.called+wonder {
			m.wondered = true
			m.ask(now)
		}
	case now >= m.called+silence && !m.asking:
		m.nobody(now)
	}
}

// wonders says whether this hub, which is no member, asks before it believes that nobody is here.
func (m *Machine) wonders() bool { return len(m.members) > 0 && !m.wondered }

// nobody calls, so that nobody is here but those who have come since.
func (m *Machine) nobody(now time.Duration) {
	m.called, m.wondered = now, false
	for i := 0; i < len(m.members); {
		if last := max(m.members[i].heard, m.members[i].since); last+silence <= now {
			m.take(now, i)
		} else {
			m.called = min(m.called, last)
			i++
		}
	}
}

func (m *Machine) believeGone(now time.Duration) {
	for i := 0; m.doubted > 0 && i < len(m.members); {
		if one := m.members[i]; one.goneAt != 0 && one.goneAt <= now {
			m.remove(now, one.id, one.seq, false)
		} else {
			i++
		}
	}
}

func (m *Machine) tickMember(now time.Duration) {
	if m.sayAt != 0 && m.sayAt <= now {
		m.sayUnknown()
	}
	if m.listAt != 0 && m.listAt <= now {
		if len(m.unknown) > 0 {
			m.listAt = m.sayAt + settle
		} else {
			m.list(now)
		}
	}
	if m.countAt != 0 && m.countAt <= now {
		m.count(now)
	}
	if m.callAt <= now {
		m.callAll(now)
	}
}

// callAll asks all who is here.
func (m *Machine) callAll(now time.Duration) {
	if !m.calling {
		for _, one := range m.members {
			one.misses = 0
		}
		m.calling, m.tenure, m.callAt = true, now, now+spread
		m.listen() // those who answer have to reach this hub
		return
	}
	m.rounds++
	m.called, m.caller = now, m.id
	m.callAt, m.countAt = now+CallEvery, now+answerWithin
	m.say("call " + m.id + " " + decimal(m.rounds) + " " + strconv.Itoa(len(m.members)+1) + " " + strconv.FormatUint(uint64(m.hash), 16))
}

// count counts the answers to a call.
func (m *Machine) count(now time.Duration) {
	m.countAt = 0
	missing := false
	var gone []*member
	for _, one := range m.members {
		if one.heard >= m.called || one.since >= m.called {
			one.misses = 0
			continue
		}
		if one.misses++; one.misses >= misses {
			gone = append(gone, one)
		} else {
			missing = true
		}
	}
	if missing {
		m.callAt = now
	}
	text := []byte("gone " + m.id)
	for _, one := range gone {
		text = append(append(append(text, '\n'), one.id...), " "+decimal(one.seq)...)
		one.misses = misses - 1
		m.doubt(one, now+believe)
		if len(text) > chunk {
			m.do(Say, "", text)
			text = []byte("gone " + m.id)
		}
	}
	if len(text) > len("gone ")+IDDigits {
		m.do(Say, "", text)
	}
}

func (m *Machine) sayUnknown() {
	m.sayAt = 0
	text := []byte("say " + m.id + "\n")
	ids := make([]string, 0, len(m.unknown))
	for id := range m.unknown {
		ids = append(ids, id)
	}
	sort.Strings(ids)
	for _, id := range ids {
		text = append(append(text, id...), '\n')
	}
	if len(m.unknown) > 0 {
		m.do(Say, "", text)
	}
	clear(m.unknown)
}

// list tells all of all.
func (m *Machine) list(now time.Duration) {
	m.listAt, m.listed = 0, now
	token := decimal(m.rounds)
	for _, text := range chunks(m.all(), func(part, parts int) string {
		return "list " + m.id + " " + token + " " + strconv.Itoa(part) + " " + strconv.Itoa(parts)
	}) {
		m.do(Say, "", text)
	}
}
