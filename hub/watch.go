package hub

import "sync"

// watcherChanges bounds the changes that wait for one slow callback; beyond that it is told
// the latest only.
const watcherChanges = 64 << 10

// A watcher is one callback on a variable's value.
type watcher struct {
	mu       sync.Mutex
	nonEmpty sync.Cond
	waiting  []payload
	absent   bool // it is told that there is no value, too
	over     bool
}

// Watch calls fn with the present value, if there is one, and then with each change, in
// order, on a goroutine of its own, until stop or the end of the hub. A message that repeats
// the present value is no change: Sub hears it. An fn that panics is reported by OnError. It fails only for a name that cannot be
// followed, or with ErrDisposed.
func (v *Variable) Watch(fn func(value any)) (stop func(), err error) {
	return v.watch(&watcher{}, func(p payload) { fn(v.hub.decode(p.data)) })
}

// A Change is what a variable's value is from now on.
type Change struct {
	Value  any
	Exists bool // false: there is none, and Value is nil
}

// OnChange is Watch that says whether there is a value. Its first call is with the present one, as soon as it is known
// whether there is one.
func (v *Variable) OnChange(fn func(Change)) (stop func(), err error) {
	return v.watch(&watcher{absent: true}, func(p payload) { fn(Change{v.hub.decode(p.data), p.known}) })
}

func (v *Variable) watch(w *watcher, fn func(payload)) (stop func(), err error) {
	if v.err != nil {
		return nil, v.err
	}
	if err := checkName(v.subject, false); err != nil {
		return nil, err
	}
	w.nonEmpty.L = &w.mu
	started := v.hub.spawn(func() {
		for {
			value, ok := w.take()
			if !ok {
				return
			}
			v.callBack(fn, value)
		}
	})
	if !started {
		return nil, ErrDisposed
	}
	v.mu.Lock()
	at := v.watchers.PushBack(w)
	v.used(true)
	if now := v.rule.now(); now.known || v.kept.isKnown && w.absent {
		v.lent = true
		w.put(now)
	}
	v.mu.Unlock()
	v.tellDenied()
	if v.hub.ctx.Err() != nil { // perhaps too late to be closed with the variable
		w.close()
	}
	var once sync.Once
	stop = func() {
		once.Do(func() {
			v.mu.Lock()
			v.watchers.Remove(at)
			v.used(false)
			v.mu.Unlock()
			w.close()
		})
	}
	return stop, nil
}

// tell tells the watchers of p, or only those who are told that there is no value. v.mu is held.
func (v *Variable) tell(p payload, absent bool) {
	for at := v.watchers.Front(); at != nil; at = at.Next() {
		if w := at.Value.(*watcher); w.absent || !absent {
			w.put(p)
		}
	}
}

// callBack calls a watcher back; one that panics is reported and told of the next change all the same.
func (v *Variable) callBack(fn func(payload), value payload) {
	defer func() {
		if p := recover(); p != nil {
			v.hub.panicked("watcher of "+v.subject, p)
		}
	}()
	fn(value)
}

func (w *watcher) put(value payload) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return
	}
	if len(w.waiting) >= watcherChanges {
		w.waiting = nil
	}
	w.waiting = append(w.waiting, value)
	w.nonEmpty.Signal()
}

func (w *watcher) take() (payload, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.waiting) == 0 && !w.over {
		w.nonEmpty.Wait()
	}
	if w.over {
		return payload{}, false
	}
	value := w.waiting[0]
	w.waiting = w.waiting[1:]
	return value, true
}

func (w *watcher) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.over = true
	w.nonEmpty.Signal()
}

// close ends the watchers of v.
func (v *Variable) close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	for at := v.watchers.Front(); at != nil; at = at.Next() {
		at.Value.(*watcher).close()
	}
}
