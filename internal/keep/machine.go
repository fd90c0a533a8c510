package keep

import (
	"bytes"
	"sort"
	"strings"
	"time"
)

// A Machine knows the names that one hub follows. It is told what happens, with the time since any beginning,
// and says in effects what is to be done. Next says when it wants to be told the time.
//
// How it works:
//
//   - Who begins to follow a name asks for it, and one of those who know it answers; when nobody does, the name is
//     known to have no value. Two seconds later the hub offers what it has learned, in case that the answer and a
//     newer value crossed.
//   - An offer names versions. Who knows a newer one sends that again; who knows an older one offers that, so that
//     whoever has the newer one hears of it. Whoever hears that another has done the same does not do it, too.
//   - Who comes back after a loss offers what it has.
//   - Beats, about one in six seconds in the whole system, each naming the one before it, show that two parts have
//     met: a beat whose predecessor was not heard, or is not one of the latest, comes from somewhere else, or from somebody who
//     has missed something. Then all of those who were not
//     there offer what they have.
//   - A beat also lets those who know it offer what has changed since the beats before, so that what was missed while
//     two parts were apart for less than a beat is noticed.
type Machine struct {
	writer func() string                       // a new one
	random func(n time.Duration) time.Duration // from 0 to below n
	token  func() string

	cells   map[string]*cell
	regions []*region // in the order of their names, so that a seed decides everything
	asking  int       // cells that wait for an answer, or for the next question
	queue   []*cell   // those whose turn to be asked for is still to come
	atOnce  int       // so many are asked for at a time
	online  bool

	beatAt time.Duration // 0: there is nothing to do
	beatOf time.Duration // when the latest was that did not cross another
	last   string        // beat heard or sent
	heard  []beat        // the latest beats
	round  int           // of the latest of them

	effects []Effect
}

// A beat that was heard or sent. Those that cross have one round.
type beat struct {
	token string
	round int
}

// A region is what the names with one first part have in common.
type region struct {
	name  string
	cells []*cell // in the order of their names
	jobs  [jobs]struct {
		cells int // that are to be done
		at    time.Duration
	}
}

// A job is what is to be done with a cell at a time of its region.
type job uint8

const (
	toOffer  job = iota // to be offered
	toSend              // to be sent again
	toDemand            // others know a newer version, and it has not come
	jobs
)

type cell struct {
	name   string
	region *region
	writer string // a name that is forgotten and followed anew has another, so that no version comes twice
	stamp  Stamp  // zero: nobody has set it
	data   []byte
	most   uint64        // the highest counter that was seen
	mute   bool          // the server does not take it from this hub
	at     time.Duration // when it changed
	jobs   [jobs]bool
	recent int  // at so many of the next beats it is offered, as it has changed
	known  bool // it is known whether it has a value
	asking bool
	queued bool
	served bool // others may ask for it here
	follow bool // a handle does

	own      *own          // a value that was set here and is to be sent
	askAt    time.Duration // the next question
	askUntil time.Duration
	want     Version // others know it
	wanted   int     // times that it was asked for
}

// own is a value of this hub's that is still to be sent. Only the latest waits.
type own struct {
	data    []byte
	deleted bool
	id      uint64
}

// What an effect asks for.
type Kind uint8

const (
	// Ask: request subject Name's value, and tell by Answered or Unanswered.
	Ask Kind = iota + 1
	// Publish: Data on Name with Stamp. ID is what Set was given, or 0 for something sent again.
	Publish
	// Serve and Unserve: answer those who ask for Name, or do not any more.
	Serve
	Unserve
	// Hear and Unhear: listen to offers in the region Name, and to beats if Name is "".
	Hear
	Unhear
	// Offer: send the text Data to the region Name.
	Offer
	// Beat: send the text Data.
	Beat
	// Changed: what is known of Name is another: Stamp, Data, by an answer; or, with what Set was given as ID, it is
	// what was set, and has its version.
	Changed
	// Superseded: what Set was given with ID will not be sent, as a newer value has come.
	Superseded
)

// An Effect is something to be done.
type Effect struct {
	Kind  Kind
	Name  string
	Stamp Stamp
	Data  []byte
	ID    uint64
}

// Times of the protocol.
const (
	askAgain = 700 * time.Millisecond
	// asksAtOnce bounds the questions that wait for their answers: so many that a line is full, and so few that all are
	// answered in time.
	asksAtOnce = 256
	// AskFor bounds how long an answer is waited for.
	AskFor = 2 * time.Second
	// assure is how long after an answer, and how much later at most, it is offered.
	assure = 2 * time.Second
	// beatLeast and beatMost bound the pause between two beats; beatFirst is for who has heard none.
	beatLeast, beatMost = 4 * time.Second, 7 * time.Second
	beatFirst           = 7500 * time.Millisecond
	beatsKept           = 32
	beatsOffered        = 2
	// busy is how long ago a change was at least that is offered at a beat.
	busy = time.Second
	// offerWithin is for how long it is waited whether others offer the same.
	offerWithin = 1500 * time.Millisecond
	// replyWithin is the same for an answer to an offer.
	replyWithin = 300 * time.Millisecond
	// wantAgain is when what others have is asked for again, at most wantTries times.
	wantAgain = 3 * time.Second
	wantTries = 4
	// pace is the pause between two chunks of at most chunk bytes.
	pace  = 25 * time.Millisecond
	chunk = 32 << 10
	// Converged is the time within which all have the same value, from when two parts have met on.
	Converged = 10 * time.Second
)

// New makes the machine of one hub. random gives a time from 0 to below its argument,
// writer gives a new random writer, and token as many random characters.
func New(writer func() string, random func(time.Duration) time.Duration, token func() string) *Machine {
	return &Machine{
		writer: writer, random: random, token: token,
		cells: map[string]*cell{}, atOnce: asksAtOnce,
	}
}

// Effects are what is to be done since the last call.
func (m *Machine) Effects() []Effect {
	e := m.effects
	m.effects = nil
	return e
}

func (m *Machine) do(e Effect) { m.effects = append(m.effects, e) }

// late is a random time below n that is mostly near n, so that of many few are early.
func (m *Machine) late(n time.Duration) time.Duration {
	early := time.Duration(1 << 20)
	for range 4 {
		early = min(early, m.random(1<<20)+1)
	}
	return n - n*early>>20
}

// Follow begins to follow a name, which the hub is subscribed to before what is asked for is sent.
func (m *Machine) Follow(now time.Duration, name string) {
	c := m.cells[name]
	if c == nil {
		c = m.add(now, name)
	}
	c.follow = true
	m.ask(now, c)
}

// Hold takes a set value of any name, for who keeps them all: a name that is not followed yet is from now on, with no
// question.
func (m *Machine) Hold(now time.Duration, name string, s Stamp, data []byte) Verdict {
	if s.Counter == 0 {
		return Unknown
	}
	c := m.cells[name]
	if c == nil {
		c = m.add(now, name)
		c.follow, c.known = true, true
	}
	return m.take(now, c, s, data)
}

func (m *Machine) add(now time.Duration, name string) *cell {
	first, _, _ := strings.Cut(name, ".")
	i := sort.Search(len(m.regions), func(i int) bool { return m.regions[i].name >= first })
	if i == len(m.regions) || m.regions[i].name != first {
		m.regions = append(m.regions, nil)
		copy(m.regions[i+1:], m.regions[i:])
		m.regions[i] = &region{name: first}
		m.do(Effect{Kind: Hear, Name: first})
	}
	r := m.regions[i]
	c := &cell{name: name, region: r, writer: m.writer()}
	m.cells[name] = c
	i = r.index(name)
	r.cells = append(r.cells, nil)
	copy(r.cells[i+1:], r.cells[i:])
	r.cells[i] = c
	if len(m.cells) == 1 {
		m.do(Effect{Kind: Hear})
		m.last, m.heard = "0", nil
		m.beatAt = now + beatFirst + m.random(time.Second)
	}
	return c
}

// index is where name is among the cells, or would be.
func (r *region) index(name string) int {
	return sort.Search(len(r.cells), func(i int) bool { return r.cells[i].name >= name })
}

// plan lets a job be done with c, at a time if the region has none for it yet.
func (c *cell) plan(j job, at time.Duration) {
	if c.jobs[j] {
		return
	}
	c.jobs[j] = true
	of := &c.region.jobs[j]
	if of.cells++; of.cells == 1 {
		of.at = at
	}
}

// done takes a job from c.
func (c *cell) done(j job) {
	if c.jobs[j] {
		c.jobs[j] = false
		c.region.jobs[j].cells--
	}
}

// Unfollow ends it: what was known of the name is forgotten. A value that waits to be sent is not sent.
func (m *Machine) Unfollow(name string) {
	c := m.cells[name]
	if c == nil {
		return
	}
	r := c.region
	delete(m.cells, name)
	m.asks(c, false)
	if c.own != nil {
		m.do(Effect{Kind: Superseded, Name: name, ID: c.own.id})
	}
	for j := range jobs {
		c.done(j)
	}
	i := r.index(name)
	r.cells = append(r.cells[:i], r.cells[i+1:]...)
	if c.served {
		m.do(Effect{Kind: Unserve, Name: name})
	}
	if len(r.cells) == 0 {
		for i := range m.regions {
			if m.regions[i] == r {
				m.regions = append(m.regions[:i], m.regions[i+1:]...)
				break
			}
		}
		m.do(Effect{Kind: Unhear, Name: r.name})
	}
	if len(m.cells) == 0 {
		m.do(Effect{Kind: Unhear})
		m.beatAt = 0
	}
}

// ask begins to ask for what is not known, when it is its turn.
func (m *Machine) ask(now time.Duration, c *cell) {
	if c.known || !m.online || c.asking || c.queued {
		return
	}
	if m.asking >= m.atOnce {
		c.queued = true
		m.queue = append(m.queue, c)
		return
	}
	c.askUntil = now + AskFor
	m.asks(c, true)
	m.askNext(now, c)
}

// askMore asks for those whose turn it is.
func (m *Machine) askMore(now time.Duration) {
	for len(m.queue) > 0 && m.asking < m.atOnce {
		c := m.queue[0]
		m.queue = m.queue[1:]
		c.queued = false
		if m.cells[c.name] == c {
			m.ask(now, c)
		}
	}
}

func (m *Machine) asks(c *cell, asking bool) {
	if c.asking == asking {
		return
	}
	if c.asking = asking; asking {
		m.asking++
	} else {
		m.asking--
	}
}

// askNext sends the question that is due, or gives up.
func (m *Machine) askNext(now time.Duration, c *cell) {
	if now >= c.askUntil {
		m.learn(now, c)
		return
	}
	c.askAt = min(now+askAgain, c.askUntil)
	m.do(Effect{Kind: Ask, Name: c.name})
}

// learn notes that it is known what there is: nothing better will come.
func (m *Machine) learn(now time.Duration, c *cell) {
	asked := c.asking
	m.asks(c, false)
	if c.known {
		return
	}
	c.known = true
	if asked {
		c.plan(toOffer, now+assure+m.random(assure/2))
		c.recent = max(c.recent, 1) // as in reconcile
	}
	if c.own != nil {
		m.assign(now, c)
		return
	}
	m.do(Effect{Kind: Changed, Name: c.name, Stamp: c.stamp, Data: c.data})
}

// assign gives an own value its version, and sends it if that is possible.
func (m *Machine) assign(now time.Duration, c *cell) {
	o := c.own
	c.most++
	c.stamp, c.data = Stamp{Version: Version{c.most, c.writer}, Deleted: o.deleted}, o.data
	m.changed(now, c)
	m.do(Effect{Kind: Changed, Name: c.name, Stamp: c.stamp, Data: c.data, ID: o.id})
	m.publish(c)
}

// changed notes that c has another version.
func (m *Machine) changed(now time.Duration, c *cell) {
	c.at = now
	c.recent = beatsOffered
	if !c.served {
		c.served = true
		m.do(Effect{Kind: Serve, Name: c.name})
	}
}

// publish sends an own value that has a version.
func (m *Machine) publish(c *cell) {
	if c.own == nil || !m.online || c.stamp.Writer != c.writer {
		return
	}
	m.do(Effect{Kind: Publish, Name: c.name, Stamp: c.stamp, Data: c.data, ID: c.own.id})
	c.own = nil
}

// Exhausted says that nobody can set a name any more, as its counter has reached the largest one.
func (m *Machine) Exhausted(name string) bool {
	c := m.cells[name]
	return c != nil && c.most >= MostCounter
}

// Waiting is the ID of the value that waits to be sent, and which another one takes the place of; 0: none does.
func (m *Machine) Waiting(name string) uint64 {
	if c := m.cells[name]; c != nil && c.own != nil {
		return c.own.id
	}
	return 0
}

// Set makes data the value of a name that is followed, or deletes it. It is sent when the hub is connected and
// knows what it follows. id is the caller's, for Publish or Superseded.
func (m *Machine) Set(now time.Duration, name string, data []byte, deleted bool, id uint64) {
	c := m.cells[name]
	if c == nil {
		m.do(Effect{Kind: Superseded, Name: name, ID: id})
		return
	}
	if c.own != nil {
		m.do(Effect{Kind: Superseded, Name: name, ID: c.own.id})
	}
	c.own = &own{data, deleted, id}
	if c.known {
		m.assign(now, c)
	}
}

// Refused: what was published on a name has not been and will not be taken. What the hub has set there is no value
// of anybody else's, so the name is asked for anew. With mute nothing is sent again there until Online.
func (m *Machine) Refused(now time.Duration, name string, mute bool) {
	c := m.cells[name]
	if c == nil {
		return
	}
	c.mute = mute
	if c.stamp.Writer == c.writer {
		c.stamp, c.data, c.known = Stamp{}, nil, false
		if c.served {
			c.served = false
			m.do(Effect{Kind: Unserve, Name: name})
		}
	}
	c.done(toSend)
	m.ask(now, c)
}

// A Verdict says what a set value is that has come.
type Verdict uint8

const (
	// Unknown: the name is not followed.
	Unknown Verdict = iota
	// Newer than what was known: it is the value.
	Newer
	// Same as what is known.
	Same
	// Older than what is known.
	Older
)

// Heard takes a set value that was published.
func (m *Machine) Heard(now time.Duration, name string, s Stamp, data []byte) Verdict {
	c := m.cells[name]
	if c == nil || s.Counter == 0 {
		return Unknown
	}
	return m.take(now, c, s, data)
}

func (m *Machine) take(now time.Duration, c *cell, s Stamp, data []byte) Verdict {
	s.Again = false
	c.most = max(c.most, s.Counter)
	if !s.Version.Before(c.stamp.Version) {
		c.done(toSend)
	}
	switch {
	case s.Version == c.stamp.Version:
		return Same
	case s.Version.Before(c.stamp.Version):
		return Older
	}
	if c.own != nil && c.known { // it has an older version, and never went
		m.do(Effect{Kind: Superseded, Name: c.name, ID: c.own.id})
		c.own = nil
	}
	c.stamp, c.data = s, bytes.Clone(data)
	if !s.Version.Before(c.want) {
		c.done(toDemand)
	}
	m.changed(now, c)
	if c.own != nil {
		return Older // than that will be
	}
	return Newer
}

// Answered takes the answer to a question.
func (m *Machine) Answered(now time.Duration, name string, s Stamp, data []byte) {
	c := m.cells[name]
	if c == nil {
		return
	}
	newer := m.take(now, c, s, data) == Newer
	if !c.known {
		m.learn(now, c)
	} else if newer {
		m.do(Effect{Kind: Changed, Name: name, Stamp: c.stamp, Data: c.data})
	}
	m.askMore(now)
}

// Unanswered: nobody knows the name. Questions that get no answer at all need not be told.
func (m *Machine) Unanswered(now time.Duration, name string) {
	if c := m.cells[name]; c != nil && c.asking {
		m.learn(now, c)
	}
	m.askMore(now)
}

// Asked says what is answered to somebody who asks.
func (m *Machine) Asked(name string) (s Stamp, data []byte, ok bool) {
	c := m.cells[name]
	if c == nil || c.stamp.Counter == 0 {
		return s, nil, false
	}
	return c.stamp, c.data, true
}

// Online: the hub has a connection after it had none, or is in another system.
func (m *Machine) Online(now time.Duration) {
	m.online = true
	if len(m.cells) == 0 {
		return
	}
	m.beatAt = now + beatFirst + m.random(time.Second)
	for _, r := range m.regions {
		for _, c := range r.cells {
			c.mute = false
			m.ask(now, c)
			m.publish(c)
		}
	}
	m.reconcile(now)
}

// Offline: it has none.
func (m *Machine) Offline() {
	m.online = false
	for _, c := range m.queue {
		c.queued = false
	}
	m.queue = nil
	for _, r := range m.regions {
		for _, c := range r.cells {
			m.asks(c, false)
		}
	}
}
