// Package presence decides who is in a scope. It is pure: messages, connections and the time are given to it, and it
// says what is to be sent. No goroutine, no lock, no clock is in it, so that it is simulated from seeds.
package presence

import (
	"bytes"
	"time"
)

// A Machine knows who is in one scope, and may be there itself. It is told what happens, with the time since any
// beginning, and says in effects what is to be done. Next says when it wants to be told the time.
//
// How it works:
//
//   - Who joins, changes its data or leaves says so to all.
//   - Who comes asks who is there, and one of the members answers with all that it knows.
//   - One of the members calls: every four seconds it asks all, and each answers to it alone. Who does not answer three
//     calls, of which the later ones follow sooner, is gone, which the caller tells all. So a member costs one message in
//     four seconds, however many there are.
//   - Who is no member and hears no call asks: browsers hold up the timers of hidden pages, which still answer.
//   - When no call comes, the next one calls, in the order of ids. Of two who call, as when two parts have met, the one
//     with the lower id goes on.
//   - A call says how many are known and which, by a hash. Who knows others asks, and if that does not help says so in
//     its answer: then the caller tells all of them to all.
//   - Who hears that it has left or is gone, and is not, says that it is here.
type Machine struct {
	id     string
	random func(n time.Duration) time.Duration // from 0 to below n

	joined   bool
	watched  bool
	online   bool
	known    bool // who is here, as far as anybody has told
	seq      uint64
	data     []byte
	members  []*member // in the order of their ids, without this hub
	hash     uint32    // of them and of this hub
	gone     map[string]departed
	departed []string // their ids, the oldest first
	changed  time.Duration

	hearing, serving, collecting bool // what the hub listens to

	asking          bool
	askAt, askUntil time.Duration
	mismatches      int           // calls in a row that say other things than are known
	mismatched      time.Duration // the first of them
	hereAt          time.Duration // when to say that this hub is here; 0: not
	contradicted    time.Duration
	called          time.Duration // the last call, of anybody
	caller          string        // whose it was
	wondered        bool          // nobody has called for a while, and this hub, which is no member, has asked since
	callAt          time.Duration // when this hub calls, unless another does
	calling         bool          // it was the last who did,
	tenure          time.Duration // since then
	rounds          uint64        // of this hub's calls
	countAt         time.Duration // when to count the answers; 0: that is done
	sayAt, listAt   time.Duration // when to tell some to say that they are here, and all of all; 0: not
	listed          time.Duration
	unknown         map[string]bool // those who shall say it
	listOf          string          // the list that is being told,
	onList          map[string]bool // and who is on it
	onWho           map[string]bool // who is on an answer
	whoHash         uint32          // of them
	replace         string          // who calls knows so many, with this hash, and others than this hub
	began           time.Duration   // when this hub became a member
	greeted         bool            // it has let a newcomer know since
	doubted         int             // members that are said to be gone

	effects []Effect
}

// A Kind is what an effect asks for.
type Kind uint8

const (
	// Hear and Unhear: listen to what is said to all, or do not any more.
	Hear Kind = iota + 1
	Unhear
	// Serve and Unserve: answer those who ask who is here.
	Serve
	Unserve
	// Collect and Uncollect: listen to what is said to who calls.
	Collect
	Uncollect
	// Say: send Data to all. Roll: send it to who calls.
	Say
	Roll
	// Ask: ask who is here, and tell by Listed or Unanswered.
	Ask
	// Known: it is known who is here. Unknown: it is not any more, as nobody wanted to know it.
	Known
	Unknown
	// Joined, Changed, Left: that is the news of the member ID, with Data.
	Joined
	Changed
	Left
)

// An Effect is something to be done.
type Effect struct {
	Kind Kind
	ID   string
	Data []byte
}

// Times of the protocol.
const (
	// CallEvery is the time between two calls, if all have answered the first.
	CallEvery = 4 * time.Second
	// answerWithin is how long answers are waited for, and misses the calls after which somebody is gone.
	answerWithin = 2300 * time.Millisecond
	misses       = 3
	// takeOver is how long no call comes before another calls, and rankStep and rankMost how much later the next ones do.
	takeOver           = 5500 * time.Millisecond
	rankStep, rankMost = 200 * time.Millisecond, 5
	// believe is how long who is said to be gone has to say something else.
	believe = 500 * time.Millisecond
	// silence is how long no call comes before nobody is here, and wonder before who is no member asks whether that is so.
	silence, wonder = 14500 * time.Millisecond, 8 * time.Second
	// spread is how long it may take until others reach who listens.
	spread = 200 * time.Millisecond
	// settle is for how long after a change others may not know it.
	settle = time.Second
	// AskFor bounds how long an answer is waited for; askAgain is when to ask again.
	AskFor   = 2 * time.Second
	askAgain = 700 * time.Millisecond
	// sayWithin is how long who calls waits for others that it does not know; listWithin the same for those who know
	// others; listPause is the least time between two lists.
	sayWithin, listWithin, listPause = time.Second, 300 * time.Millisecond, 3 * time.Second
	// contradict is the least time between two contradictions, less than believe.
	contradict = 300 * time.Millisecond
	// remember is how long those who have left are remembered.
	remember = 30 * time.Second
	// Detected is the time within which all know that a member has gone without a word.
	Detected = 15 * time.Second
)

// New makes the machine of one hub in one scope. id has IDDigits of 0-9 and A-Z; random gives a time from 0 to below its
// argument.
func New(id string, random func(time.Duration) time.Duration) *Machine {
	return &Machine{id: id, random: random, gone: map[string]departed{}, unknown: map[string]bool{}}
}

// Effects are what is to be done since the last call.
func (m *Machine) Effects() []Effect {
	e := m.effects
	m.effects = nil
	return e
}

func (m *Machine) do(k Kind, id string, data []byte) {
	m.effects = append(m.effects, Effect{k, id, data})
}

func (m *Machine) say(text string) { m.do(Say, "", []byte(text)) }

// Members are the ids and data of all, this hub's included, in the order of ids.
func (m *Machine) Members(each func(id string, data []byte)) {
	self := m.joined
	for _, one := range m.members {
		if self && m.id < one.id {
			each(m.id, m.data)
			self = false
		}
		each(one.id, one.data)
	}
	if self {
		each(m.id, m.data)
	}
}

// Knows says whether it is known who is here.
func (m *Machine) Knows() bool { return m.known }

// ID is this hub's.
func (m *Machine) ID() string { return m.id }

// Member says whether this hub is a member.
func (m *Machine) Member() bool { return m.joined }

func (m *Machine) self() record { return record{m.id, m.seq, m.data} }

// Join makes this hub a member, with data, or gives it other data.
func (m *Machine) Join(now time.Duration, data []byte) {
	first, active := !m.joined, m.Active()
	if !first && bytes.Equal(data, m.data) {
		return
	}
	if !first {
		m.hash ^= m.self().hash()
	}
	m.joined, m.data = true, bytes.Clone(data)
	m.seq++
	m.hash ^= m.self().hash()
	m.changed = now
	kind := Changed
	if first {
		kind, m.began, m.greeted = Joined, now, false
	}
	m.do(kind, m.id, m.data)
	m.listen()
	m.here()
	switch {
	case !active:
		m.begin(now)
	case first:
		m.plan()
	}
}

// here says that this hub is.
func (m *Machine) here() {
	m.hereAt = 0
	if m.online && m.joined {
		m.do(Say, "", m.self().append([]byte("here ")))
	}
}

// Leave ends that.
func (m *Machine) Leave(now time.Duration) {
	if !m.joined {
		return
	}
	m.hash ^= m.self().hash()
	m.joined = false
	m.seq++
	m.changed = now
	if m.online {
		m.say("left " + m.id + " " + decimal(m.seq))
	}
	m.do(Left, m.id, m.data)
	m.hereAt = 0
	m.yield()
	m.listen()
	m.end()
}

// yield lets others call.
func (m *Machine) yield() {
	m.calling, m.countAt, m.sayAt, m.listAt = false, 0, 0, 0
	clear(m.unknown)
	m.listen()
}

// Watch begins to know who is here.
func (m *Machine) Watch(now time.Duration) {
	if m.watched {
		return
	}
	active := m.Active()
	m.watched = true
	m.listen()
	if !active {
		m.begin(now)
	}
}

// Unwatch ends it.
func (m *Machine) Unwatch() {
	m.watched = false
	m.listen()
	m.end()
}

// Active says whether the hub is a member or wants to know who is.
func (m *Machine) Active() bool { return m.joined || m.watched }

// end forgets who is here, when nobody wants to know it.
func (m *Machine) end() {
	if m.Active() {
		return
	}
	if m.known {
		m.do(Unknown, "", nil)
	}
	m.members, m.hash, m.doubted, m.known, m.asking = nil, 0, 0, false, false
	m.gone, m.departed = map[string]departed{}, nil
	m.caller = ""
}

// begin begins to know who is here, if that has just become wanted or possible.
func (m *Machine) begin(now time.Duration) {
	if !m.online || !m.Active() {
		return
	}
	m.heardCall(now, m.caller)
	if !m.known && !m.asking {
		m.ask(now)
	}
}

func (m *Machine) ask(now time.Duration) {
	m.asking, m.askAt, m.askUntil = true, now, now+AskFor
}

// listen lets the hub listen to what it needs.
func (m *Machine) listen() {
	change := func(is *bool, want bool, begin, end Kind) {
		if *is == want {
			return
		}
		if *is = want; want {
			m.do(begin, "", nil)
		} else {
			m.do(end, "", nil)
		}
	}
	change(&m.hearing, m.Active(), Hear, Unhear)
	change(&m.serving, m.joined && m.known, Serve, Unserve)
	change(&m.collecting, m.joined && m.calling, Collect, Uncollect)
}

// Online: the hub has a connection after it had none, or is in another system.
func (m *Machine) Online(now time.Duration) {
	m.online = true
	if !m.Active() {
		return
	}
	m.yield()
	m.here()
	m.heardCall(now, m.caller)
	m.ask(now) // for those who have come meanwhile
}

// Offline: it has none. Who was here is taken to be.
func (m *Machine) Offline() {
	m.online, m.asking = false, false
}

// Asked are the answers to somebody who asks who is here.
func (m *Machine) Asked() [][]byte {
	return chunks(m.all(), func(part, parts int) string {
		return "who " + m.id + " " + decimal(uint64(part)) + " " + decimal(uint64(parts))
	})
}

// all are the records of all.
func (m *Machine) all() []record {
	all := make([]record, 0, len(m.members)+1)
	for _, one := range m.members {
		all = append(all, one.record)
	}
	if m.joined {
		all = append(all, m.self())
	}
	return all
}

// Unanswered: nobody is here who could answer.
func (m *Machine) Unanswered(now time.Duration) {
	if !m.asking {
		return
	}
	first := !m.known
	m.learned()
	if first && m.joined && m.hereAt == 0 {
		m.hereAt = now + spread // who has asked meanwhile was not answered, either
	}
}

func (m *Machine) learned() {
	m.asking = false
	if !m.known {
		m.known = true
		m.do(Known, "", nil)
	}
	m.listen()
}
