package hub

import (
	"slices"
	"sync/atomic"
)

// A binding is the entries' life on one link.
type binding struct {
	link *link
	legs map[*entry]*legs
}

// legs are an entry's subscriptions on one link. In the steady state a plain entry has its
// plain leg; around a move it has a queue leg, too, or instead. An entry with a queue group
// of the application's has nothing but its queue leg, ever.
type legs struct{ plain, queue *leg }

// A leg is one subscription, and the route of what comes in by it.
type leg struct {
	entry *entry
	sub   wireSub
	queue bool
	alone atomic.Bool // no other leg, on any link, gets copies: all its messages count
	// either: a queue leg beside which a plain one was added, whose first copies may not come.
	either atomic.Bool
}

// begin subscribes e, which is new: plainly or, guarded, as a queue group of one. alone says
// that it is on no other link.
func (b *binding) begin(e *entry, guarded, alone bool) {
	if guarded || e.shared() {
		b.addQueue(e, true)
	} else {
		b.addPlain(e, alone)
	}
}

func (b *binding) of(e *entry) *legs {
	l := b.legs[e]
	if l == nil {
		l = &legs{}
		b.legs[e] = l
	}
	return l
}

func (b *binding) addPlain(e *entry, alone bool) {
	l := b.of(e)
	if l.plain != nil || e.shared() {
		return
	}
	if l.queue != nil {
		l.queue.either.Store(true)
		l.queue.alone.Store(false)
	}
	l.plain = &leg{entry: e}
	b.subscribe(l.plain, "", alone)
}

func (b *binding) addQueue(e *entry, alone bool) {
	l := b.of(e)
	if l.queue != nil {
		return
	}
	if l.plain != nil {
		l.plain.alone.Store(false)
	}
	l.queue = &leg{entry: e, queue: true}
	b.subscribe(l.queue, e.wireQueue, alone)
}

// subscribe ignores that the link has died: the next one will carry the entry.
func (b *binding) subscribe(l *leg, queue string, alone bool) {
	l.alone.Store(alone)
	sub, err := b.link.wire.subscribe(l.entry.key.subject, queue, l)
	if err != nil && !isDisconnected(err) {
		b.link.hub.report(err)
	}
	l.sub = sub
}

// retire ends one leg.
func (b *binding) retire(l **leg) {
	if *l == nil {
		return
	}
	if sub := (*l).sub; sub != nil {
		if err := b.link.wire.retire(sub); err != nil && !isDisconnected(err) {
			b.link.hub.report(err)
		}
	}
	*l = nil
}

// end takes e off the link.
func (b *binding) end(e *entry) {
	if l := b.legs[e]; l != nil {
		b.retire(&l.plain)
		b.retire(&l.queue)
		delete(b.legs, e)
	}
}

func (r *registry) binding(l *link) *binding {
	if i := slices.IndexFunc(r.bound, func(b *binding) bool { return b.link == l }); i >= 0 {
		return r.bound[i]
	}
	return nil
}

// carries says whether anything is bound to l.
func (r *registry) carries(l *link) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.binding(l) != nil
}

// attach binds every entry to l, the only link. alone says that nothing of what comes by it
// has counted elsewhere.
func (r *registry) attach(l *link, alone bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := &binding{link: l, legs: map[*entry]*legs{}}
	r.bound = []*binding{b}
	r.guarded, r.copying = false, false
	for _, e := range r.entries {
		b.begin(e, r.always, alone)
	}
}

// guard adds queue legs to the plain ones on l, the current link, and lets new entries have
// nothing else. It returns how many plain ones there are.
func (r *registry) guard(l *link) (plain int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.guarded = true
	b := r.binding(l)
	for e, l := range b.legs {
		if l.plain != nil {
			plain++
			b.addQueue(e, false)
		}
	}
	return plain
}

// join adds queue legs on next for every entry that old has a plain leg for.
func (r *registry) join(old, next *link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	to := r.ensure(next)
	for e, l := range r.binding(old).legs {
		if l.plain != nil {
			to.addQueue(e, false)
		}
	}
}

// count lets old, the current link, count what it delivers, for copy.
func (r *registry) count(old *link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.copying = true
	for _, l := range r.binding(old).legs {
		if l.plain != nil {
			l.plain.alone.Store(false)
		}
	}
	old.gate.follow(rulePlain)
}

// copy adds plain legs on next beside those on old; entries that come later get both.
func (r *registry) copy(old, next *link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	to := r.ensure(next)
	for e, l := range r.binding(old).legs {
		if l.plain != nil {
			to.addPlain(e, false)
		}
	}
}

// uncount ends what count began.
func (r *registry) uncount() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.copying = false
}

// leave takes the queue legs off old of what has a plain leg there.
func (r *registry) leave(old *link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.binding(old)
	for _, l := range b.legs {
		if l.plain != nil {
			b.retire(&l.queue)
		}
	}
}

// bind adds queue legs on l, which is about to become the current link, for every entry
// that is not there yet.
func (r *registry) bind(l *link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.ensure(l)
	for _, e := range r.entries {
		if b.legs[e] == nil {
			b.addQueue(e, true)
		}
	}
}

func (r *registry) ensure(l *link) *binding {
	b := r.binding(l)
	if b == nil {
		b = &binding{link: l, legs: map[*entry]*legs{}}
		r.bound = append(r.bound, b)
	}
	return b
}

// cut makes next the current link, and takes the queue legs off old of what both carry. It
// returns how many entries are on old only, because they were added after next was bound.
//
// The plain legs on old stay: behind one bridge, a plain and a queue subscription are one
// forward in nats-server, and taking the plain one away between the match and the delivery
// would drop the message for the queue as well.
func (r *registry) cut(old, next *link) (left int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	from, to := r.binding(old), r.binding(next)
	for e, l := range from.legs {
		if to.legs[e] != nil {
			from.retire(&l.queue)
		} else {
			left++
		}
	}
	r.bound = []*binding{to, from}
	r.guarded, r.copying = false, false
	return left
}

// plain adds plain legs to the queue legs on l.
func (r *registry) plain(l *link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.guarded = false
	for _, e := range r.entries {
		r.binding(l).addPlain(e, false)
	}
}

// unguard takes the queue legs off l.
func (r *registry) unguard(l *link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.binding(l)
	for e, l := range b.legs {
		if !e.shared() {
			b.retire(&l.queue)
		}
	}
}

// unbind takes every entry off l again.
func (r *registry) unbind(l *link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if b := r.binding(l); b != nil {
		r.bound = slices.DeleteFunc(r.bound, func(other *binding) bool { return other == b })
		for e := range b.legs {
			b.end(e)
		}
	}
}

// forget is unbind for a link that has ended, or is about to.
func (r *registry) forget(l *link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bound = slices.DeleteFunc(r.bound, func(b *binding) bool { return b.link == l })
}

// plainOn are the entries that have plain legs on l.
func (r *registry) plainOn(l *link) map[*entry]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	plain := map[*entry]bool{}
	if b := r.binding(l); b != nil {
		for e, l := range b.legs {
			plain[e] = l.plain != nil
		}
	}
	return plain
}
