package natswire

import (
	"sync"
	"sync/atomic"
)

// burstBytes is from how many bytes on a burst sends before its end: browsers take long for each
// frame, and little longer for a large one.
const burstBytes = 1024 << 10

// Bursts are those of all connections of a hub. The zero value is ready.
type Bursts struct {
	open atomic.Bool

	mu    sync.Mutex
	conns []*Conn // that have something to write
}

// Begin begins a burst: what is published from now on leaves with End, and does not wait.
func (b *Bursts) Begin() { b.open.Store(true) }

// note puts w, which has something to write, off until the end of the burst; false if there is none.
// w.mu is held.
func (b *Bursts) note(w *Conn) bool {
	if !b.open.Load() {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.open.Load() {
		return false
	}
	if !w.noted {
		w.noted = true
		b.conns = append(b.conns, w)
	}
	return true
}

// End ends the burst and lets the connections write, those that have less than burstBytes only if no more
// follows. quiet says that nothing has been left to their writers.
func (b *Bursts) End(more bool) (quiet bool) {
	b.mu.Lock()
	b.open.Store(false)
	conns := b.conns
	b.conns = nil
	b.mu.Unlock()
	quiet = true
	for _, w := range conns {
		w.mu.Lock()
		quiet = quiet && w.waiting == 0
		switch {
		case more && len(w.out) < burstBytes:
			b.mu.Lock()
			b.conns = append(b.conns, w)
			b.mu.Unlock()
		case len(w.out) > 0 && !w.tryWrite():
			w.writable.Signal()
			quiet = false
			fallthrough
		default:
			w.noted = false
		}
		w.mu.Unlock()
	}
	return quiet
}

// Free says that in a burst nothing would have to wait. What a burst has left is no hindrance.
func (w *Conn) Free() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.direct != nil && (len(w.out) == 0 || w.noted) && !w.writing && !w.over
}
