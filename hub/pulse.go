package hub

import (
	"context"
	"time"
)

// checkTimeout is how long CheckLink gives the server: a radio that has slept needs a second.
const checkTimeout = 2 * time.Second

// CheckLink asks the server for a sign of life now, for when the program knows that much may
// have happened: the machine has slept, the network has changed. Without an answer in 2 s the
// hub drops the connection and makes a new one, at once. Where it is already looking for a
// server, the next attempt begins at once. It does not wait.
func (h *Hub) CheckLink() {
	h.mu.Lock()
	connected := h.live != nil
	h.mu.Unlock()
	if connected {
		notify(h.check)
	} else {
		notify(h.retryNow)
	}
}

// pulse is the goroutine that finds out whether the current link is alive: when CheckLink
// says so, and in a page also every PingInterval, which the engine leaves to it there.
func (h *Hub) pulse() {
	for {
		h.mu.Lock()
		l, changed := h.live, h.changed
		h.mu.Unlock()
		limit := h.cfg.PingInterval * time.Duration(h.cfg.MaxPingOut)
		var due <-chan time.Time
		stop := func() bool { return true }
		if every := pulseEvery(h.cfg.PingInterval, h.hidden()); every > 0 && l != nil {
			timer := time.NewTimer(every)
			due, stop = timer.C, timer.Stop
		}
		ping := false
		select {
		case <-h.ctx.Done():
		case <-changed:
		case <-h.visibilityForPulse: // or no more: the next ping is due at another time
		case <-due:
			ping = true
		case <-h.check:
			ping, limit = true, min(limit, checkTimeout)
		}
		stop()
		if h.ctx.Err() != nil {
			return
		}
		if ping && l != nil && !h.answers(l, limit) {
			h.cfg.Logger.Debug("link does not answer", "server", l.target.String(), "within", limit)
			l.wire.Disconnect()
		}
	}
}

// watch looks after a link that is not the current one, as pulse does after that, until stop is called.
func (h *Hub) watch(l *link) (stop func()) {
	ctx, cancel := context.WithCancel(h.ctx)
	h.wg.Go(func() {
		tick := time.NewTicker(h.cfg.PingInterval)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-l.wire.Done():
				return
			case <-ctx.Done():
				return
			}
			if limit := h.cfg.PingInterval * time.Duration(h.cfg.MaxPingOut); !h.answers(l, limit) && ctx.Err() == nil {
				h.cfg.Logger.Debug("new link does not answer", "server", l.target.String(), "within", limit)
				l.wire.Disconnect()
			}
		}
	})
	return cancel
}

// answers says whether the server of l answers a ping within limit, or the link has ended by
// itself. A timer that fires late says nothing, because the answer may then lie beside it in
// the queue of a page that was frozen: in that case it asks once more.
func (h *Hub) answers(l *link, limit time.Duration) bool {
	ctx, cancel := context.WithCancel(h.ctx)
	defer cancel()
	for range 2 {
		begin := time.Now()
		answered := make(chan error, 1)
		// Not on this goroutine: where writing is stuck, the engine waits longer than ctx.
		if !h.spawn(func() { answered <- l.wire.Flush(ctx) }) {
			return true
		}
		late := time.NewTimer(limit)
		defer late.Stop()
		select {
		case err := <-answered:
			if err == nil {
				l.hears()
				return true
			}
			select {
			case <-l.wire.Done():
				return true
			default:
			}
			return ctx.Err() != nil
		case <-l.wire.Done():
			return true
		case <-h.ctx.Done():
			return true
		case <-late.C:
		}
		if time.Since(begin) < 2*limit+time.Second {
			return false
		}
	}
	return false
}
