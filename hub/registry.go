package hub

import (
	"slices"
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
	bound   []*binding // the links that carry the entries
	changes uint64     // counts new entries
	closed  bool
}

type entryKey struct{ subject, queue string }

// An entry is a subject that somebody in this hub listens to.
type entry struct {
	key entryKey
	// wireQueue is the queue group on the wire: the application's own, or one that only this
	// entry has. As the sole member of a group on two servers at a time, the hub gets every
	// message exactly once while it moves. The group's name is unique to the entry, not just
	// to the hub, because a server picks one member among all groups of the same name that
	// match a message, whatever their subjects (a.* and a.b).
	wireQueue string
	handles   atomic.Pointer[[]*Subscription]
	turn      uint32 // round robin; the gate of a link is held
}

// shared says that the queue group is the application's: its members take turns anyway.
func (e *entry) shared() bool { return e.key.queue != "" }

// deliver hands m to every handle, or in a queue group to the next one.
func (e *entry) deliver(m *Message) {
	handles := *e.handles.Load()
	if e.shared() && len(handles) > 1 {
		e.turn++
		i := int(e.turn) % len(handles)
		handles = handles[i : i+1]
	}
	var kept *Message // one copy for all handles that outlive this call
	for _, s := range handles {
		if s.inline {
			s.run(m)
			continue
		}
		if kept == nil {
			kept = new(*m)
		}
		s.mailbox.put(kept)
	}
}

// A binding is the entries' life on one link.
type binding struct {
	link *link
	subs map[*entry]wireSub
}

// add gives s its entry and subscribes on every bound link.
func (r *registry) add(s *Subscription) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return ErrDisposed
	}
	e := r.entries[s.key]
	if e == nil {
		r.serial++
		r.changes++
		e = &entry{key: s.key, wireQueue: s.key.queue}
		if e.wireQueue == "" {
			e.wireQueue = r.prefix + strconv.FormatUint(r.serial, 36)
		}
		r.entries[s.key] = e
		e.handles.Store(&[]*Subscription{s})
		for _, b := range r.bound {
			b.subscribe(e)
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
		b.retire(s.entry)
	}
}

// bind subscribes every entry on l, and later ones too, until unbind or cut.
// It returns a number that cut wants back.
func (r *registry) bind(l *link) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	var b *binding
	for _, other := range r.bound {
		if other.link == l {
			b = other
		}
	}
	if b == nil {
		b = &binding{link: l, subs: map[*entry]wireSub{}}
		r.bound = append(r.bound, b)
		for _, e := range r.entries {
			b.subscribe(e)
		}
	}
	return r.changes
}

// cut takes every entry off l, unless entries were added since the bind that gave changes:
// then the caller's barrier did not cover them, and cut returns false having done nothing.
func (r *registry) cut(l *link, changes uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if changes != r.changes {
		return false
	}
	r.drop(l)
	return true
}

// unbind takes every entry off l again.
func (r *registry) unbind(l *link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drop(l)
}

// forget is unbind for a link that has ended.
func (r *registry) forget(l *link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bound = slices.DeleteFunc(r.bound, func(b *binding) bool { return b.link == l })
}

func (r *registry) drop(l *link) {
	i := slices.IndexFunc(r.bound, func(b *binding) bool { return b.link == l })
	if i < 0 {
		return
	}
	b := r.bound[i]
	r.bound = slices.Delete(r.bound, i, i+1)
	for e := range b.subs {
		b.retire(e)
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

// subscribe ignores that the link has died: the next one will carry the entry.
func (b *binding) subscribe(e *entry) {
	if sub, err := b.link.wire.subscribe(e.key.subject, e.wireQueue, e); err == nil {
		b.subs[e] = sub
	} else if !isDisconnected(err) {
		b.link.hub.report(err)
	}
}

func (b *binding) retire(e *entry) {
	if sub, ok := b.subs[e]; ok {
		delete(b.subs, e)
		if err := b.link.wire.retire(sub); err != nil && !isDisconnected(err) {
			b.link.hub.report(err)
		}
	}
}
