package hub

import (
	"strconv"
	"sync"
	"sync/atomic"
)

// The registry is the set of names that outlives every link. One entry is one wire
// subscription, whatever number of handles share it.
type registry struct {
	prefix string // of the queue names that make this hub's plain subscriptions exact

	mu      sync.Mutex
	entries map[entryKey]*entry
	serial  uint64
	bound   []*binding // the links that carry entries: the current one first
	always  bool       // plain subscriptions are queue groups of one all the time
	guarded bool       // new ones are, because a move is under way
	copying bool       // new ones are plain on all links, for the same reason
	closed  bool
}

type entryKey struct{ subject, queue string }

// An entry is a subject that somebody in this hub listens to.
type entry struct {
	key    entryKey
	serial uint64
	// wireQueue is the queue group on the wire: the application's own, or one that only this
	// entry has. As the sole member of a group on two servers at a time, the hub gets every
	// message exactly once while it moves. The group's name is unique to the entry, not just
	// to the hub, because a server picks one member among all groups of the same name that
	// match a message, whatever their subjects (a.* and a.b).
	wireQueue string
	handles   atomic.Pointer[[]*Subscription]
	turn      uint32 // round robin; the gate of a link is held
	reader    reader // with MovesIDs
}

// shared says that the queue group is the application's: its members take turns anyway.
func (e *entry) shared() bool { return e.key.queue != "" }

// deliver hands m to every handle, or in a queue group to the next one. calm says that no
// goroutine has anything to do because of it.
func (e *entry) deliver(m *Message) (calm bool) {
	handles := *e.handles.Load()
	if e.shared() && len(handles) > 1 {
		e.turn++
		i := int(e.turn) % len(handles)
		handles = handles[i : i+1]
	}
	calm = true
	var kept *Message // one copy for all handles that outlive this call
	for _, s := range handles {
		if s.inline {
			calm = s.run(m) && calm
			continue
		}
		calm = false
		if kept == nil {
			kept = new(*m)
		}
		s.mailbox.put(kept)
	}
	return calm
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
		e = &entry{key: s.key, serial: r.serial, wireQueue: s.key.queue}
		if e.wireQueue == "" {
			e.wireQueue = r.prefix + strconv.FormatUint(r.serial, 36)
		}
		r.entries[s.key] = e
		e.handles.Store(&[]*Subscription{s})
		for i, b := range r.bound {
			if i == 0 || r.copying {
				b.begin(e, r.always || r.guarded, !r.copying)
			}
		}
	} else {
		handles := append(append([]*Subscription(nil), *e.handles.Load()...), s)
		e.handles.Store(&handles)
	}
	s.entry = e
	return nil
}

// remove takes s off its entry, and the entry off the links when it was the last.
func (r *registry) remove(s *Subscription) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var rest []*Subscription
	for _, other := range *s.entry.handles.Load() {
		if other != s {
			rest = append(rest, other)
		}
	}
	s.entry.handles.Store(&rest)
	if len(rest) > 0 || r.entries[s.key] != s.entry {
		return
	}
	delete(r.entries, s.key)
	for _, b := range r.bound {
		b.end(s.entry)
	}
}

// drain asks the servers to send no more for s, if nobody else needs it. What they have sent
// still reaches s, until remove.
func (r *registry) drain(s *Subscription) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(*s.entry.handles.Load()) > 1 || r.entries[s.key] != s.entry {
		return
	}
	delete(r.entries, s.key)
	for _, b := range r.bound {
		b.end(s.entry)
	}
}

// close ends all handles and returns them.
func (r *registry) close() []*Subscription {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	var all []*Subscription
	for _, e := range r.entries {
		all = append(all, *e.handles.Load()...)
	}
	return all
}

func (r *registry) size() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.entries)
}
