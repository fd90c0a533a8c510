package hub

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// The registry is the set of names that outlives every link. One entry is one wire
// subscription, whatever number of handles share it.
type registry struct {
	hub *Hub

	mu      sync.Mutex
	entries map[entryKey]*entry
	wild    map[*entry]bool // those with wildcards
	own     int             // entries that are the hub's own
	serial  uint64
	bound   []*binding // the links that carry entries: the current one first
	moving  bool       // new ones go on all links, for a move
	round   uint64     // see mark
	closed  bool
}

type entryKey struct{ subject, queue string }

// An entry is a subject that somebody in this hub listens to.
type entry struct {
	key          entryKey
	serialNumber uint64
	registry     *registry
	control      bool                            // the hub's own: everything is delivered, copies, too
	members      []*Subscription                 // the handles, in the order in which they came, and nil for those that went; the registry's
	live         int                             // of members
	handles      atomic.Pointer[[]*Subscription] // the same, for who delivers; nil: there are others since
	onBoth       atomic.Bool                     // a move has it on two links
	deaf         atomic.Bool                     // a server does not permit it
	awaited      int                             // of those who wait until the server has it; the registry's

	// The intake's.
	since    int64  // when it began
	turn     uint32 // round robin
	counters map[counterKey]*counter
	latest   *counter // that was used last
	serial   uint64   // of uses
}

// shared says that the queue group is the application's: its members take turns anyway.
func (e *entry) shared() bool { return e.key.queue != "" }

// all are the handles. The slice is not changed any more.
func (e *entry) all() []*Subscription {
	if handles := e.handles.Load(); handles != nil {
		return *handles
	}
	e.registry.mu.Lock()
	defer e.registry.mu.Unlock()
	return e.list()
}

// list is all with the registry locked.
func (e *entry) list() []*Subscription {
	handles := make([]*Subscription, 0, e.live)
	for _, s := range e.members {
		if s != nil {
			handles = append(handles, s)
		}
	}
	e.handles.Store(&handles)
	return handles
}

// join adds a handle; leave takes it off, and says whether it was there. The registry is locked.
func (e *entry) join(s *Subscription) {
	s.entry, s.place = e, len(e.members)
	e.members = append(e.members, s)
	e.live++
	e.handles.Store(nil)
}

func (e *entry) leave(s *Subscription) bool {
	if s.place >= len(e.members) || e.members[s.place] != s {
		return false
	}
	e.members[s.place] = nil
	e.live--
	e.handles.Store(nil)
	if len(e.members) > 2*e.live+16 {
		e.members = slices.DeleteFunc(e.members, func(s *Subscription) bool { return s == nil })
		for i, s := range e.members {
			s.place = i
		}
	}
	return true
}

// receivers are those handles of an entry that get a message now.
type receivers uint8

const (
	everybody receivers = iota
	early               // those that take what comes in the order of arrival, of what waits for its turn
	late                // the others, when its turn has come
)

// deliver hands m to every handle of r, or in a queue group to the next one. idle says that no
// goroutine has anything to do because of it.
func (e *entry) deliver(m *Message, r receivers) (idle bool) {
	handles := e.all()
	if e.shared() && len(handles) > 1 {
		e.turn++
		i := int(e.turn % uint32(len(handles)))
		handles = handles[i : i+1]
	}
	idle = true
	var kept *Message // one copy for all handles that outlive this call
	for _, s := range handles {
		if r != everybody && s.arrival != (r == early) {
			continue
		}
		if s.inline {
			idle = s.run(m) && idle
			continue
		}
		idle = false
		if kept == nil {
			kept = new(*m)
		}
		s.mailbox.put(kept)
	}
	return idle
}

// add gives s its entry, and subscribes on the current link.
func (r *registry) add(s *Subscription) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return ErrDisposed
	}
	e := r.entries[s.key]
	if e == nil {
		r.serial++
		e = &entry{registry: r, key: s.key, serialNumber: r.serial, control: s.control, since: int64(time.Since(r.hub.intake.start))}
		r.entries[s.key] = e
		if !plain(s.key.subject) && checkName(s.key.subject, false) != nil {
			r.wild[e] = true
		}
		if e.control {
			r.own++
		}
		e.onBoth.Store(r.moving && len(r.bound) > 1)
		for i, b := range r.bound {
			if i == 0 || r.moving {
				b.begin(e, r.round)
			}
		}
	}
	e.join(s)
	if s.awaited.Load() {
		e.awaited++
	}
	return nil
}

// remove takes s off its entry, and the entry off the links when it was the last. Who calls it may be
// waited for by who delivers messages, which has the intake's lock: see doc.go.
func (r *registry) remove(s *Subscription) {
	if r.release(s) {
		r.hub.spawn(func() { r.hub.intake.forget(s.entry) })
	}
}

// release is remove; last says that nobody is left.
func (r *registry) release(s *Subscription) (last bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !s.entry.leave(s) || s.entry.live > 0 {
		return false
	}
	if r.entries[s.key] == s.entry {
		r.drop(s.entry)
	}
	return true
}

// drain asks the servers to send no more for s, if nobody else needs it. What they have sent
// still reaches s, until remove.
func (r *registry) drain(s *Subscription) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s.entry.live > 1 || r.entries[s.key] != s.entry {
		return
	}
	r.drop(s.entry)
}

// drop takes e off the links. r.mu is held.
func (r *registry) drop(e *entry) {
	delete(r.entries, e.key)
	delete(r.wild, e)
	if e.control {
		r.own--
	}
	for _, b := range r.bound {
		b.end(e)
	}
}

// close ends all handles and returns them.
func (r *registry) close() []*Subscription {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	var all []*Subscription
	for _, e := range r.entries {
		all = append(all, e.list()...)
	}
	return all
}

// hasGroups says whether the hub is a member of a queue group.
func (r *registry) hasGroups() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.entries {
		if e.shared() && !e.control {
			return true
		}
	}
	return false
}

func (r *registry) size() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.entries) - r.own
}
