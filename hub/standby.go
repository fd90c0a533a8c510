package hub

import (
	"slices"
	"sync"
	"time"
)

// A standby keeps one more connection, to the configured server that is the next best after
// the current one: connected, without names. When the current link is lost, the names are
// bound to it, which takes one round trip instead of a new connection's several.
type standby struct {
	h    *Hub
	turn chan struct{} // a token when the current server is another, or the link was taken

	mu      sync.Mutex
	current string // the URL of the server that the hub is on; "" without one
	link    *link  // nil while there is none
}

// promoted tells where the hub is now.
func (b *standby) promoted(t target) {
	if b == nil {
		return
	}
	b.mu.Lock()
	b.current = t.url
	b.mu.Unlock()
	notify(b.turn)
}

// take gives the connection away, if it is alive; nil otherwise. The caller becomes its owner.
func (b *standby) take() *link {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	l := b.link
	b.link, b.current = nil, ""
	b.mu.Unlock()
	if l == nil || ended(l.wire) || l.isLeaving() {
		if l != nil {
			l.shut()
		}
		return nil
	}
	return l
}

// server is the standby's, without credentials; "" while there is none.
func (b *standby) server() string {
	if b == nil {
		return ""
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.link == nil {
		return ""
	}
	return b.link.target.String()
}

// takeOver goes on with l, which was the standby, when another link has just broken. That is so
// quick that what both servers have is still on its way: messages without numbers that have come by
// the broken link are not taken again, and what is published waits for half a round trip, and then
// takes another half, so as not to overtake what was published last.
func (s *connManager) takeOver(l *link, reason string, start time.Time) {
	h := s.h
	trip := l.wire.RTT()
	if s.lost != nil {
		h.intake.recall(trip)
	}
	h.registry.attach(l)
	s.arrived(l, reason, start)
	// It has been quiet, so it may be dead without knowing.
	alive := make(chan bool, 1)
	h.wg.Go(func() {
		alive <- h.answers(l, min(checkTimeout, h.cfg.PingInterval*time.Duration(h.cfg.MaxPingOut)))
	})
	if err := s.pause(trip/2, l); err == nil {
		s.open(l)
	}
	if !<-alive {
		l.wire.Disconnect()
	}
}

// run keeps the connection until the hub ends.
func (b *standby) run() {
	h := b.h
	defer b.drop()
	failures := 0
	for {
		l, targets := b.currentOrTargets()
		if l == nil && len(targets) > 0 {
			next, err := h.race(h.ctx, targets, h.cfg.ReconnectTimeout)
			if err == nil {
				b.keep(next)
				failures = 0
				continue
			}
			h.cfg.Logger.Debug("no standby", "err", err)
		}
		var due <-chan time.Time
		stop := func() bool { return true }
		after := func(d time.Duration) {
			timer := time.NewTimer(d)
			due, stop = timer.C, timer.Stop
		}
		var done, leave <-chan struct{}
		switch {
		case l != nil:
			done, leave = l.wire.Done(), l.leave
			if every := pulseEvery(h.cfg.PingInterval, h.hidden()); every > 0 {
				after(every)
			}
		case len(targets) > 0:
			after(retryDelay(&h.cfg, failures, randomFraction()))
			failures++
		}
		select {
		case <-h.ctx.Done():
			stop()
			return
		case <-b.turn:
			failures = 0
		case <-done:
		case <-leave:
		case <-due:
			if l != nil && !h.answers(l, h.cfg.PingInterval*time.Duration(h.cfg.MaxPingOut)) {
				l.wire.Disconnect()
			}
		}
		stop()
	}
}

// currentOrTargets returns the connection, or the servers that one may be made to. One that is of no use
// any more is closed.
func (b *standby) currentOrTargets() (l *link, targets []target) {
	var useless *link
	defer func() {
		if useless != nil {
			useless.shut() // which takes a moment, so not with the lock
		}
	}()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.link != nil && (ended(b.link.wire) || b.link.isLeaving() || b.link.target.url == b.current) {
		useless, b.link = b.link, nil
	}
	if b.link != nil || b.current == "" {
		return b.link, nil
	}
	targets = slices.DeleteFunc(b.h.rank(""), func(t target) bool { return t.url == b.current })
	return nil, targets
}

func (b *standby) keep(l *link) {
	b.mu.Lock()
	b.link = l
	b.mu.Unlock()
}

func (b *standby) drop() {
	b.mu.Lock()
	l := b.link
	b.link = nil
	b.mu.Unlock()
	if l != nil {
		l.shut()
	}
}
