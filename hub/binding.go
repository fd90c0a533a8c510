package hub

import (
	"maps"
	"slices"
)

// A binding is the entries' life on one link.
type binding struct {
	link *link
	subs map[*entry]*linkSub
	// denied is how many the server has ever not permitted
	denied int
}

// A linkSub is one subscription on one link, and the route of what it delivers.
type linkSub struct {
	entry *entry
	link  *link
	sub   wireSub
	round uint64 // of registry.round, when it began

	denied *PermissionError // the server does not permit it; the registry's
}

// begin subscribes e. That the link has died does not matter: the next one will carry the entry.
func (b *binding) begin(e *entry, round uint64) {
	l := &linkSub{entry: e, link: b.link, round: round}
	b.subs[e] = l
	e.deaf.Store(false)
	sub, err := b.link.wire.Subscribe(e.key.subject, e.key.queue, l)
	if err != nil && !isDisconnected(err) {
		b.link.hub.report(err)
	}
	l.sub = sub
}

// end takes e off the link.
func (b *binding) end(e *entry) {
	l := b.subs[e]
	if l == nil {
		return
	}
	delete(b.subs, e)
	if l.sub == nil {
		return
	}
	if err := b.link.wire.Unsubscribe(l.sub); err != nil && !isDisconnected(err) {
		b.link.hub.report(err)
	}
}

func (r *registry) binding(l *link) *binding {
	if i := slices.IndexFunc(r.bound, func(b *binding) bool { return b.link == l }); i >= 0 {
		return r.bound[i]
	}
	return nil
}

// attach binds every entry to l, the only link.
func (r *registry) attach(l *link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := &binding{link: l, subs: map[*entry]*linkSub{}}
	r.bound, r.moving = []*binding{b}, false
	for _, e := range r.entries {
		e.onBoth.Store(false)
		b.begin(e, r.round)
	}
}

// join binds every entry to next as well, and those that come from now on to both links.
func (r *registry) join(next *link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := &binding{link: next, subs: map[*entry]*linkSub{}}
	r.bound, r.moving = append(r.bound, b), true
	for _, e := range r.entries {
		e.onBoth.Store(true)
		b.begin(e, r.round)
	}
}

// mark begins a round: what was bound before is known everywhere when what follows it is.
func (r *registry) mark() (round uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.round++
	return r.round
}

// promote makes next the current link, and takes off old what was bound to next before round. left
// is how much old still has.
func (r *registry) promote(old, next *link, round uint64) (left int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	from, to := r.binding(old), r.binding(next)
	r.bound, r.moving = []*binding{to}, false
	if from == nil {
		return 0
	}
	for e := range from.subs {
		if l := to.subs[e]; l == nil || l.round >= round {
			left++
		} else {
			from.end(e)
		}
	}
	if left > 0 {
		r.bound = append(r.bound, from)
	}
	return left
}

// unbind takes every entry off l again.
func (r *registry) unbind(l *link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.binding(l)
	if b == nil {
		return
	}
	r.bound = slices.DeleteFunc(r.bound, func(other *binding) bool { return other == b })
	r.moving = false
	for e := range b.subs {
		e.onBoth.Store(false)
		b.end(e)
	}
}

// forget is unbind for a link that has ended, or is about to.
func (r *registry) forget(l *link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bound = slices.DeleteFunc(r.bound, func(b *binding) bool { return b.link == l })
	r.moving = false
}

// carries says whether anything is bound to l.
func (r *registry) carries(l *link) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.binding(l) != nil
}

// all are the entries.
func (r *registry) all() []*entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Values(r.entries))
}

// matching are the entries that get what is published on subject, without those of queue groups.
func (r *registry) matching(subject string) (all []*entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e := r.entries[entryKey{subject, ""}]; e != nil {
		all = append(all, e)
	}
	for e := range r.wild {
		if !e.shared() && matches(e.key.subject, subject) {
			all = append(all, e)
		}
	}
	return all
}
