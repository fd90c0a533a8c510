package hub

import (
	"sync"
	"sync/atomic"
)

// burstBytes is from how many bytes on a burst sends before its end: browsers take long for each
// frame, and little longer for a large one.
const burstBytes = 1024 << 10

// burst calls do, which may publish, request, respond and subscribe, and sends what comes of it
// before it returns, without any goroutine: it is for bridges whose calls must not wait. With more
// it may keep that for the next one, which must follow soon. quiet says that no goroutine has been
// left anything to do, either, unless do has started one.
//
// It returns without calling do, and done is false, where something would have to wait: when
// there is no connection, or it is congested, or not of a kind (transport.Direct) that can be
// written to without waiting. do is not to be called from several goroutines.
func (h *Hub) burst(more bool, do func()) (done, quiet bool) {
	e, ok := h.engine.(*protoEngine)
	if !ok || !h.outbox.isFree() {
		return false, false
	}
	e.bursts.begin()
	armings := h.requests.armings()
	do()
	quiet = e.bursts.end(more)
	return true, quiet && h.requests.armings() == armings // a timer is set by a scheduler that runs
}

// isFree says that what is sent now leaves at once.
func (o *outbox) isFree() bool {
	if !o.mu.TryLock() {
		return false
	}
	defer o.mu.Unlock()
	if o.link == nil {
		return false
	}
	w, ok := o.link.wire.(*protoWire)
	return ok && w.isFree()
}

// bursts are those of all wires of a hub.
type bursts struct {
	on atomic.Bool

	mu    sync.Mutex
	wires []*protoWire // that have something to write
}

func (b *bursts) begin() { b.on.Store(true) }

// note puts w, which has something to write, off until the end of the burst; false if there is none.
// w.mu is held.
func (b *bursts) note(w *protoWire) bool {
	if !b.on.Load() {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.on.Load() {
		return false
	}
	if !w.noted {
		w.noted = true
		b.wires = append(b.wires, w)
	}
	return true
}

// end lets the wires write it, those that have less than burstBytes only if no more follows.
func (b *bursts) end(more bool) (quiet bool) {
	b.mu.Lock()
	b.on.Store(false)
	wires := b.wires
	b.wires = nil
	b.mu.Unlock()
	quiet = true
	for _, w := range wires {
		w.mu.Lock()
		quiet = quiet && w.waiting == 0
		switch {
		case more && len(w.out) < burstBytes:
			b.mu.Lock()
			b.wires = append(b.wires, w)
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

// isFree says that in a burst nothing would have to wait. What a burst has left is no hindrance.
func (w *protoWire) isFree() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.direct != nil && (len(w.out) == 0 || w.noted) && !w.writing && !w.over
}
