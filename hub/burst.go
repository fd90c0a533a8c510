package hub

// burst calls do, which may publish, request, respond and subscribe, and sends what comes of it
// before it returns, without any goroutine: it is for bridges whose calls must not wait. With more
// it may keep that for the next one, which must follow soon. quiet says that no goroutine has been
// left anything to do, either, unless do has started one.
//
// It returns without calling do, and done is false, where something would have to wait: when
// there is no connection, or it is congested, or not of a kind (transport.Direct) that can be
// written to without waiting. do is not to be called from several goroutines.
func (h *Hub) burst(more bool, do func()) (done, quiet bool) {
	b, ok := h.engine.(burstable)
	if !ok || !h.outbox.isFree() {
		return false, false
	}
	b.beginBurst()
	armings := h.requests.armings()
	do()
	quiet = b.endBurst(more)
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
	w, ok := o.link.wire.(interface{ Free() bool })
	return ok && w.Free()
}

// A burstable engine can let what is sent wait for the end of a burst. Its wires say whether they are Free.
type burstable interface {
	beginBurst()
	endBurst(more bool) (quiet bool)
}
