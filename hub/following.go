package hub

import "github.com/kinopio-hub/kinopio-hub/v3/internal/keep"

// What a variable is used for, which says whether its subject is followed: see [Variable.Release].
type uses struct {
	mentioned bool // somebody has asked for the variable, and for nothing of it yet
	target    bool // it was used to publish, request or serve
	asked     bool // somebody has read the value, or what it is
	set       bool // the value was set here, for others who ask
	waiting   int  // calls of Ready
	subs      int  // plain callbacks on the subject, beside which following it costs nothing
	lingers   bool // none of these any more, since a moment ago
	released  bool // Release was called since the last use began
}

// interested says whether somebody wants the value. v.mu is held, here and below.
func (v *Variable) interested() bool {
	u := &v.uses
	return u.asked || u.set || u.waiting > 0 || v.kept.waits > 0 || v.watchers.Len() > 0 || u.lingers && v.kept.follows
}

// needed says whether the subject is to be followed.
func (v *Variable) needed() bool {
	return v.interested() || v.uses.subs > 0 || v.uses.lingers || v.uses.mentioned && !v.uses.target
}

// follow begins to follow the subject, or ends that, as it is needed.
func (v *Variable) follow() {
	if v.err != nil || v.noPub != nil {
		return
	}
	needed := v.needed()
	if v.kept.follows && !(needed && v.interested()) {
		v.kept.follows = false
		v.hub.keeping().unfollow(v.subject)
		v.lapsed()
	}
	if !needed && v.tracking != nil {
		_ = v.tracking.Unsubscribe() // it has no error
		v.tracking, v.denied = nil, nil
		v.lapsed()
	}
	if needed && v.tracking == nil {
		v.subscribe()
	}
	if v.interested() && v.tracking != nil && !v.kept.follows {
		v.kept.follows = true
		v.hub.keeping().follow(v.subject, v.learned)
	}
}

func (v *Variable) subscribe() {
	denied := func(e *PermissionError) {
		v.mu.Lock()
		v.denied = e
		v.mu.Unlock()
		v.tellDenied()
	}
	// The error can only be that the hub has been closed.
	v.tracking, _ = v.hub.Subscribe(v.subject, SubOptions{inline: true, denied: denied}, func(m *Message) {
		if m.stamp != nil {
			v.heardSet(m)
		} else {
			v.heard(m.Data)
		}
	})
}

// lapsed notes that what is known of the value may be old from now on.
func (v *Variable) lapsed() {
	v.stale = true
	v.kept = keptValue{waits: v.kept.waits, unsure: v.kept.unsure || v.kept.stamp.Counter > 0 && !v.kept.bare}
	v.tellFirst(false)
}

// fresh notes that the value is as new as anybody's.
func (v *Variable) fresh() { v.stale, v.kept.unsure = false, false }

// tellFirst lets Ready return while there is a value. It is called when that may have changed.
func (v *Variable) tellFirst(known bool) {
	if known = known && !v.stale; known == v.firstKnown {
		return
	}
	if v.firstKnown = known; known {
		close(v.first)
	} else {
		v.first = make(chan struct{})
	}
}

// mention begins to follow the subject, as long as it is not known what the variable is for.
func (v *Variable) mention() {
	if v.err != nil || v.noPub != nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.uses.mentioned && !v.uses.target && !v.needed() {
		v.uses.mentioned, v.uses.released = true, false
		v.hold()
		v.follow()
	}
}

// read notes that somebody reads the value, or what it is.
func (v *Variable) read() {
	if v.looked.Load() || v.err != nil || v.noPub != nil {
		return
	}
	v.mu.Lock()
	v.uses.asked, v.uses.mentioned, v.uses.released = true, false, false
	v.looked.Store(true)
	v.hold()
	v.follow()
	v.mu.Unlock()
	v.tellDenied()
}

// written notes that the program uses v from the other side.
func (v *Variable) written() {
	if v.wrote.Load() {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.uses.target, v.uses.mentioned, v.uses.released = true, false, false
	v.wrote.Store(true)
	v.hold()
	v.follow()
}

// listened counts a plain callback that has begun or ended.
func (v *Variable) listened(by int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.uses.subs += by
	v.used(by > 0)
}

// hold gives v a lease, if it has none.
func (v *Variable) hold() { v.hub.all().hold(&v.lease, v, v.hub.cfg.ReadLinger, false) }

// used notes that a callback, a watcher or a call of Ready has begun or ended. When that was the last, v lingers.
func (v *Variable) used(begins bool) {
	u := &v.uses
	u.mentioned, u.released = false, u.released && !begins
	u.lingers = !u.released && u.subs == 0 && v.watchers.Len() == 0 && u.waiting == 0 && !u.asked && !u.set
	if u.lingers && v.err == nil {
		v.hub.all().hold(&v.lease, v, v.hub.cfg.Linger, true)
	}
	v.follow()
	v.forget()
}

// lapse is the end of v's lease: it gets another one if it was used meanwhile.
func (v *Variable) lapse() {
	if v.lapses() {
		v.hub.outbox.forget(v.subject)
	}
}

// lapses is lapse; idle says that v is not used, and not followed, either.
func (v *Variable) lapses() (idle bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	looked, wrote := v.looked.Swap(false), v.wrote.Swap(false)
	v.uses.mentioned, v.uses.lingers = false, false
	v.uses.asked = v.uses.asked && looked
	if looked || wrote {
		v.hold()
	}
	v.follow()
	return !looked && !wrote && v.tracking == nil
}

// Release ends the following of v at once, and forgets its value, unless callbacks or watchers of this hub still
// need it; what this hub has set is then no longer kept here for others. A value that is still to be sent is sent
// first. Whoever uses v again begins anew.
//
// Without Release a variable ends by itself: Config.Linger after its last callback or watcher has ended, if its value
// was not read; between once and twice Config.ReadLinger after its value was read for the last time, of which the last
// one that was known can still be read then, which follows v anew; and never while this hub keeps what it has set.
func (v *Variable) Release() {
	if v.err != nil {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.looked.Store(false)
	v.wrote.Store(false)
	u := &v.uses
	u.mentioned, u.asked, u.set, u.lingers, u.released = false, false, false, false, true
	v.follow()
	v.forget()
}

// forget forgets what is known of the value, if v was released and nobody needs it.
func (v *Variable) forget() {
	if v.uses.released && !v.needed() {
		v.rule.forget()
		v.kept = keptValue{}
		v.stale, v.lent, v.spare = false, false, nil
		v.uses.target = false
		v.tellFirst(false)
	}
}

// refused takes that the server does not permit what was published.
func (v *Variable) refused() {
	v.change(func(r *valueRule) {
		r.denied()
		v.kept.stamp = keep.Stamp{}
	})
}
