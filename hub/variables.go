package hub

import (
	"container/heap"
	"runtime"
	"sync"
	"time"
	"weak"
)

// variables are a hub's, by their subjects. One is held by the program that uses it, by its subscription, and by its
// lease; when nobody holds it, it is garbage, and a later one of that name begins anew.
type variables struct {
	hub   *Hub
	start time.Time

	mu        sync.Mutex
	bySubject map[string]weak.Pointer[Variable]
	leases    leases
	timer     *time.Timer // when the first of them is due
	closed    bool
}

// A lease holds something that was used until it is due.
type lease struct {
	of    leased // nil: it does not last
	due   time.Duration
	place int // in the heap
}

// leased is what has a lease. lapse is told that it was due, and may begin it anew.
type leased interface{ lapse() }

// all are the hub's, which begin with its first variable.
func (h *Hub) all() *variables {
	h.variablesOnce.Do(func() {
		vs := &variables{hub: h, start: time.Now(), bySubject: map[string]weak.Pointer[Variable]{}}
		h.mu.Lock()
		h.variableDenied, h.variablesEnd = vs.refuse, vs.close
		h.mu.Unlock()
		h.variables = vs
	})
	return h.variables.(*variables)
}

// known is the variable of a subject, if there is one.
func (vs *variables) known(subject string) *Variable {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	return vs.bySubject[subject].Value()
}

// get is the one variable of a subject.
func (vs *variables) get(subject string) *Variable {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	if v := vs.bySubject[subject].Value(); v != nil {
		return v
	}
	v := &Variable{hub: vs.hub, subject: subject, noPub: checkName(subject, false), first: make(chan struct{})}
	p := weak.Make(v)
	vs.bySubject[subject] = p
	runtime.AddCleanup(v, collected.forget, collected{weak.Make(vs), subject, p})
	return v
}

// A collected variable is garbage. That it is being told of keeps no hub.
type collected struct {
	of       weak.Pointer[variables]
	subject  string
	variable weak.Pointer[Variable]
}

// forget takes it off the map.
func (c collected) forget() {
	vs := c.of.Value()
	if vs == nil {
		return
	}
	vs.mu.Lock()
	defer vs.mu.Unlock()
	if vs.bySubject[c.subject] == c.variable {
		delete(vs.bySubject, c.subject)
	}
}

// refuse notes that the server does not permit what was published on subject, and says whether that is a variable's.
func (vs *variables) refuse(subject string) bool {
	v := vs.known(subject)
	if v != nil {
		v.refused()
	}
	return v != nil
}

// hold lets l last for a time from now on. If it lasts already, that counts only with anew.
func (vs *variables) hold(l *lease, of leased, during time.Duration, anew bool) {
	vs.mu.Lock()
	defer vs.mu.Unlock()
	if vs.closed || l.of != nil && !anew {
		return
	}
	l.due = time.Since(vs.start) + during
	if l.of != nil {
		heap.Fix(&vs.leases, l.place)
	} else {
		l.of = of
		heap.Push(&vs.leases, l)
	}
	vs.arm()
}

// arm sets the timer to the first lease. vs.mu is held.
func (vs *variables) arm() {
	if len(vs.leases) == 0 || vs.closed {
		return
	}
	wait := max(0, vs.leases[0].due-time.Since(vs.start))
	if vs.timer == nil {
		vs.timer = time.AfterFunc(wait, func() { vs.hub.spawn(vs.end) })
	} else {
		vs.timer.Reset(wait)
	}
}

// end ends what is due.
func (vs *variables) end() {
	for {
		vs.mu.Lock()
		if vs.closed || len(vs.leases) == 0 || vs.leases[0].due > time.Since(vs.start) {
			vs.arm()
			vs.mu.Unlock()
			return
		}
		l := heap.Pop(&vs.leases).(*lease)
		of := l.of
		l.of = nil
		vs.mu.Unlock()
		of.lapse()
	}
}

// close ends the watchers of all.
func (vs *variables) close() {
	vs.mu.Lock()
	vs.closed, vs.leases = true, nil
	if vs.timer != nil {
		vs.timer.Stop()
	}
	var open []*Variable
	for _, p := range vs.bySubject {
		if v := p.Value(); v != nil {
			open = append(open, v)
		}
	}
	vs.mu.Unlock()
	for _, v := range open {
		v.close()
	}
}

// leases are a heap: what is due first is first.
type leases []*lease

func (l leases) Len() int           { return len(l) }
func (l leases) Less(i, j int) bool { return l[i].due < l[j].due }
func (l leases) Swap(i, j int) {
	l[i], l[j] = l[j], l[i]
	l[i].place, l[j].place = i, j
}
func (l *leases) Push(x any) {
	one := x.(*lease)
	one.place = len(*l)
	*l = append(*l, one)
}
func (l *leases) Pop() any {
	last := len(*l) - 1
	one := (*l)[last]
	(*l)[last] = nil
	*l = (*l)[:last]
	return one
}
