package hub

import (
	"fmt"
	"time"
)

// A connManager connects one hub, reconnects it, and moves it from server to server. Its goroutine alone decides where the
// hub is: everything that may lead to another server comes to it and is done one at a time.
type connManager struct {
	h      *Hub
	link   *link     // the current one; nil while there is none
	last   target    // where the hub was last connected
	since  time.Time // when that connection began
	lost   *link     // what broke last
	tries  int       // to return to an earlier server of the list
	ready  *link     // a connection to the server that the hub is to move to; nil: none yet
	absent time.Time // when it broke
}

const (
	// spread is the time within which the clients of a server that will stop begin to leave it.
	spread = 300 * time.Millisecond
	// leafSpread is that for a leaf: its clients are those of one LAN, and it waits for them a short time only.
	leafSpread = 60 * time.Millisecond
)

// run is the goroutine of the connection manager.
func (h *Hub) run() {
	s := &connManager{h: h}
	defer s.close()
	if !s.awaitConnect() {
		return
	}
	if h.cfg.Discovery.Enabled {
		h.spawn(h.discover)
	}
	if h.standby != nil {
		h.spawn(h.standby.run)
	}
	reason := "connect"
	for {
		switch err := s.establish(reason); {
		case h.ctx.Err() != nil:
			return
		case err != nil:
			s.lost = nil
			h.giveUp(err)
			if !s.awaitConnect() {
				return
			}
			reason = "connect"
		default:
			if reason = s.stay(); reason == "" {
				return
			}
		}
	}
}

func (s *connManager) close() {
	if s.link != nil {
		s.h.registry.forget(s.link)
		s.h.peers().farewell(s.link)
		s.link.shut()
	}
}

// awaitConnect waits until the program wants a connection; false means that the hub ends.
func (s *connManager) awaitConnect() bool {
	for {
		select {
		case <-s.h.connectRequested:
			return true
		case r := <-s.h.reconnects:
			s.h.clearFailure() // who waits must not be told of the old failure
			s.h.answerLater(r)
			return true
		case p := <-s.h.proposals:
			p.done <- ErrDisconnected // not while the program does not want any
		case <-s.h.ctx.Done():
			return false
		}
	}
}

// answerLater tells r when the hub is connected.
func (h *Hub) answerLater(r reconnectRequest) {
	h.spawn(func() { r.done <- h.Connected(r.ctx) })
}

// clearFailure begins a search after one that was given up.
func (h *Hub) clearFailure() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.status.State == StateError {
		h.failed = nil
		h.change(StateConnecting, nil)
	}
}

// giveUp ends the search for a server, until Connect or Reconnect.
func (h *Hub) giveUp(err error) {
	h.mu.Lock()
	h.final = err
	h.change(StateError, nil)
	h.mu.Unlock()
	h.report(err)
}

// establish connects to a configured server when there is no link, trying for as long as the
// configuration allows.
func (s *connManager) establish(reason string) error {
	h := s.h
	start := time.Now()
	h.setState(StateConnecting, nil)
	select {
	case <-h.connectRequested: // Connect is being done
	default:
	}
	if time.Since(s.since) >= h.cfg.ReconnectWait { // else servers that drop the hub at once would take turns
		if l := h.standby.take(); l != nil {
			s.takeOver(l, reason, start)
			return nil
		}
	}
	if s.lost != nil && h.cfg.MaxReconnects == NoReconnects {
		return fmt.Errorf("%w: %s was lost, and MaxReconnects wants no other connection: %w", ErrDisconnected, s.last, s.lost.wire.Cause())
	}
	if s.last.via == viaConfigured && time.Since(s.since) < h.cfg.ReconnectWait {
		// The server took the hub and dropped it at once: do not ask it again at once.
		s.sleep(h.cfg.ReconnectWait)
	}
	for round := 0; ; round++ {
		var known string
		if round == 0 && s.last.via == viaConfigured {
			known = s.last.url
		}
		l, err := h.race(h.ctx, h.rank(known), h.cfg.ReconnectTimeout)
		if err == nil {
			s.arrive(l, reason, start)
			return nil
		}
		if h.ctx.Err() != nil {
			return ErrDisposed
		}
		h.mu.Lock()
		h.status.LastError, h.failed = err, err
		h.mu.Unlock()
		h.cfg.Logger.Debug("no server", "round", round+1, "err", err)
		switch first := s.last.url == ""; {
		case h.cfg.NoRetry, first && h.cfg.FailFast:
			return err
		case !first && h.cfg.MaxReconnects > 0 && round+1 >= h.cfg.MaxReconnects:
			return fmt.Errorf("gave up after %d rounds: %w", round+1, err)
		}
		if !s.sleep(retryDelay(&h.cfg, round, randomFraction())) {
			return ErrDisposed
		}
	}
}

// arrive binds everything to l, when there was no link.
func (s *connManager) arrive(l *link, reason string, start time.Time) {
	h := s.h
	h.registry.attach(l)
	s.arrived(l, reason, start)
	s.open(l)
}

// open lets the hub publish by l, after a time without a link: then others have to know how far it
// has counted, and the hub what it has missed.
func (s *connManager) open(l *link) {
	h := s.h
	if s.absent.IsZero() {
		h.intake.arrives()
	} else {
		h.intake.returned(time.Since(s.absent))
	}
	h.outbox.open(l)
	if !s.absent.IsZero() {
		h.repairs.returned()
	}
	h.online()
	s.absent = time.Time{}
}

// arrived makes l the current link and tells of it.
func (s *connManager) arrived(l *link, reason string, start time.Time) {
	h, from := s.h, s.last
	s.promote(l)
	s.lost = nil
	if from.url != "" {
		h.count(func(st *Status) { st.Reconnects++ })
	}
	h.moved(Move{From: from.String(), To: l.target.String(), Via: l.target.via, Reason: reason, Took: time.Since(start)})
}

// sleep waits before the next attempt, or until Reconnect; false means that the hub ends.
func (s *connManager) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			return true
		case r := <-s.h.reconnects:
			s.h.answerLater(r)
			return true
		case p := <-s.h.proposals:
			p.done <- ErrDisconnected // the configured servers come first
		case <-s.h.retryNow:
			return true
		case <-s.h.ctx.Done():
			return false
		}
	}
}

// promote makes l the current link.
func (s *connManager) promote(l *link) {
	if len(s.h.preferred(s.last)) == 0 && time.Since(s.since) >= s.h.cfg.MaxRetryDelay {
		s.tries = 0 // a server that takes the hub and drops it is not returned to so soon
	}
	s.link, s.last, s.since = l, l.target, time.Now()
	s.h.standby.promoted(l.target)
	s.h.count(func(st *Status) { st.RTT = l.wire.RTT() })
	s.h.setState(StateConnected, l)
}

// stay keeps the hub connected, and moves it when there is a reason to, until the link is
// lost. It returns the reason for the next connection, or "" when the hub ends.
func (s *connManager) stay() (reason string) {
	h := s.h
	leaveRetry := time.NewTimer(time.Hour) // for another try to leave a server that will stop
	defer leaveRetry.Stop()
	reprobe := time.NewTicker(h.cfg.Reprobe)
	defer reprobe.Stop()
	back := time.NewTimer(time.Hour) // to an earlier server of the list
	defer back.Stop()
	var probing chan struct{} // for one
	var here *link            // that back is for
	if s.link.hasty {
		s.findNearer()
	}
	paused, retryPause := false, h.cfg.ReconnectWait
	var leaving *link // it has told us to leave, and its turn has come or will
	for {
		if here != s.link {
			here = s.link
			back.Reset(s.nextPrimaryProbe())
		}
		leave := s.link.leave
		if paused {
			leave = nil
		}
		select {
		case <-h.ctx.Done():
			return ""
		case <-s.link.wire.Done():
			return s.lose()
		case <-leave:
			if leaving != s.link {
				// All clients of the server hear of it together: they do not all leave together.
				leaving, paused = s.link, true
				leaveRetry.Reset(time.Duration(randomFraction() * float64(s.leaveWithin())))
				continue
			}
			if err := s.move(s.elsewhere(), s.kind()+" leaving", h.cfg.ReconnectTimeout); err != nil {
				paused = true
				leaveRetry.Reset(retryPause)
				retryPause *= 2
			} else {
				retryPause = h.cfg.ReconnectWait
			}
		case <-leaveRetry.C:
			paused = false
		case p := <-h.proposals:
			var err error
			if p.again || p.targets[0].url != s.link.target.url {
				timeout := h.cfg.ReconnectTimeout
				if p.targets[0].via == viaLeaf {
					timeout = h.cfg.Discovery.SwitchTimeout
				}
				s.ready = p.ready
				err = s.move(p.targets, p.reason, timeout)
			} else if p.ready != nil {
				err = fmt.Errorf("%w: the hub is on %s already", ErrMove, s.link.target)
			}
			p.done <- err
		case <-back.C:
			if better := h.preferred(s.link.target); len(better) > 0 && probing == nil {
				probed := make(chan struct{})
				probing = probed
				h.spawn(func() {
					defer close(probed)
					h.findPreferred(better)
				})
			}
		case <-probing:
			probing = nil
			back.Reset(s.nextPrimaryProbe())
		case <-reprobe.C:
			s.findNearer()
		case r := <-h.reconnects:
			r.done <- s.move(h.rank(""), "requested", h.cfg.ReconnectTimeout)
		}
	}
}

// leaveWithin is how long to wait at most before the hub leaves a server that will stop.
func (s *connManager) leaveWithin() time.Duration {
	if s.link.target.via == viaLeaf {
		return leafSpread
	}
	return spread
}

// nextPrimaryProbe is when to try next whether a server before the hub's in the list is there: after the same pauses
// as between other attempts.
func (s *connManager) nextPrimaryProbe() time.Duration {
	if len(s.h.preferred(s.link.target)) == 0 {
		return time.Hour
	}
	if s.tries++; s.tries == 1 {
		return time.Millisecond // it may only have been late
	}
	return retryDelay(&s.h.cfg, s.tries-2, randomFraction())
}

// findNearer probes for a nearer server, in latency mode.
func (s *connManager) findNearer() {
	h := s.h
	if h.cfg.Selection == Latency && s.link.target.via == viaConfigured && len(h.cfg.Servers) > 1 {
		current, others := s.link, s.elsewhere()
		h.spawn(func() { h.findNearer(current, others) })
	}
}

// reach connects to one of the targets, unless that has been done. Its server may still have to accept the hub.
func (s *connManager) reach(targets []target, timeout time.Duration) (*link, error) {
	if l := s.ready; l != nil {
		s.ready = nil
		if !ended(l.wire) && !l.isLeaving() {
			return l, nil
		}
		return nil, fmt.Errorf("%w to %s: %w", ErrConnect, l.target, ErrDisconnected)
	}
	return s.h.raceEarly(s.h.ctx, targets, timeout)
}

// elsewhere are the configured servers that the hub is not on.
func (s *connManager) elsewhere() (targets []target) {
	for _, t := range s.h.rank("") {
		if t.url != s.link.target.url {
			targets = append(targets, t)
		}
	}
	return targets
}

// kind is how a Move's reason names the current server.
func (s *connManager) kind() string { return s.kindOf(s.link) }

func (s *connManager) kindOf(l *link) string {
	if l.target.via == viaLeaf {
		return "leaf"
	}
	return "server"
}

// lose takes down the current link, which has died.
func (s *connManager) lose() (reason string) {
	h, l := s.h, s.link
	reason = s.kind() + " lost"
	h.outbox.hold()
	h.losses.Add(1)
	h.offline()
	h.registry.forget(l)
	l.shut()
	h.requests.lost(l)
	h.count(func(st *Status) { st.LastError = l.wire.Cause() })
	h.cfg.Logger.Debug("link lost", "server", l.target.String(), "err", l.wire.Cause())
	h.learnLength(l.wire.Cause())
	s.link, s.lost, s.absent = nil, l, time.Now().Add(-l.silence())
	return reason
}

// moved tells of a move.
func (h *Hub) moved(m Move) {
	if m.Err != nil {
		h.cfg.Logger.Debug("move not made", "from", m.From, "to", m.To, "reason", m.Reason, "err", m.Err)
	} else {
		h.cfg.Logger.Debug("moved", "from", m.From, "to", m.To, "reason", m.Reason, "planned", m.Planned, "took", m.Took, "held", m.Held)
	}
	h.events.put(func() { h.onMove.notify(m, h.observerFailed) }, changesKept)
}
