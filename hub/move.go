package hub

import (
	"errors"
	"fmt"
	"time"
)

// move takes the hub from its link, which is alive, to one of the targets, such that nothing is
// lost, repeated or reordered; on failure it stays, with nothing lost. It is the one place that
// knows how:
//
//  1. Connect.
//  2. Join: subscribe to everything on the new link, too, without waiting until its server has accepted the hub.
//     From now on both links bring messages,
//     and the intake takes of two copies the first. Marks that the hub sends to itself, from each
//     server to the other, show that the old server knows of the new subscriptions, and that
//     what was on its way to the old link before has come.
//  3. Leave: unsubscribe on the old link, and wait until the server has answered: it brings nothing
//     more. What the hub publishes waits meanwhile until one more mark has gone from the old
//     server to the new one, so that for plain clients, too, nothing overtakes what was
//     published before; then it goes by the new link.
//  4. The old link ends when the requests that it sent are answered.
//
// A step goes on while both links live; what ends it is told by movePatience.
func (s *connManager) move(targets []target, reason string, timeout time.Duration) error {
	h, start := s.h, time.Now()
	old := s.link
	m := Move{From: old.target.String(), Reason: reason, Planned: true}
	if len(targets) > 0 {
		m.To, m.Via = targets[0].String(), targets[0].via
	}
	s.enter(&m, PhaseConnect)
	next, err := s.reach(targets, timeout)
	if err == nil {
		m.To, m.Via = next.target.String(), next.target.via
		err = s.carry(old, next, &m)
	}
	m.Took = time.Since(start)
	h.count(func(st *Status) { st.Phase = "" })
	if err != nil {
		m.Err = fmt.Errorf("%w: %w", ErrMove, err)
		if h.ctx.Err() == nil {
			h.count(func(st *Status) { st.LastError = m.Err })
			h.moved(m)
		}
		return m.Err
	}
	m.Phase = PhaseDone
	h.count(func(st *Status) {
		if m.Planned {
			st.Moves++
		} else {
			st.Reconnects++
		}
	})
	h.moved(m)
	h.wg.Go(func() { h.retire(old) }) // also when the hub is ending: old is nobody else's
	return nil
}

// enter notes how far a move has come.
func (s *connManager) enter(m *Move, p Phase) {
	m.Phase = p
	s.h.count(func(st *Status) { st.Phase = p })
	s.h.cfg.Logger.Debug("move", "phase", p, "from", m.From, "to", m.To, "reason", m.Reason)
}

// carry does what follows the connection. When it cannot be completed it undoes what it did, unless
// the old link has died: then the hub is on the new one.
func (s *connManager) carry(old, next *link, m *Move) error {
	h := s.h
	if old.isolated.Load() || next.target.alone {
		if err := next.awaitAcceptance(); err != nil {
			next.shut()
			return err
		}
		return s.part(old, next, m)
	}
	p := s.newPassage(old, next)
	defer h.watch(next)()
	p.accepted = func() { s.enter(m, PhaseJoin) }
	if next.answered == nil {
		p.accepted()
	}
	err := p.join()
	if isDisconnected(err) && !ended(old.wire) { // why the new server did not accept the hub says more
		if refused := next.awaitAcceptance(); refused != nil {
			err = refused
		}
	}
	m.Trip = p.trip
	if err != nil {
		if h.ctx.Err() == nil && ended(old.wire) && next.awaitAcceptance() == nil && !ended(next.wire) && next.refusal(old) == nil {
			s.rescue(p, m)
			return nil
		}
		s.undo(p)
		return err
	}
	s.enter(m, PhaseLeave)
	h.intake.leaves(p.marks)
	// From here on there is no way back: the old link may take as long as it lives.
	held := time.Now()
	h.outbox.hold()
	opened := make(chan struct{})
	h.wg.Go(func() {
		defer close(opened)
		p.passOnce()
		if !p.silent() {
			h.outbox.open(next)
			m.Held = time.Since(held)
		}
	})
	left := h.registry.promote(old, next, p.round)
	s.promote(next)
	s.settled(old)
	<-opened
	for left > 0 && !ended(old.wire) && h.ctx.Err() == nil { // what was subscribed to meanwhile
		p.round = h.registry.mark()
		if err := p.pass(); err != nil {
			h.cfg.Logger.Debug("old link did not pass on what was subscribed to last", "err", err)
		}
		left = h.registry.promote(old, next, p.round)
		s.settled(old)
	}
	if p.silent() { // only now has the old link nothing that would hear it
		h.outbox.open(next)
		m.Held = time.Since(held)
	}
	died := ended(old.wire)
	if died {
		h.intake.returned(old.silence()) // before it is said what has come, and where streams begin
	}
	h.intake.concludes(p.trip)
	m.Overlap = time.Since(p.joined)
	if died {
		m.Planned, m.Reason = false, s.kindOf(old)+" lost"
		s.missed(old)
	} else {
		h.repairs.moved(p.trip)
	}
	p.close()
	return nil
}

// settled returns when the server of l has answered to all that was unsubscribed.
func (s *connManager) settled(l *link) {
	ctx, cancel := s.h.whileAlive(l)
	defer cancel()
	if err := l.wire.Flush(ctx); err != nil {
		s.h.cfg.Logger.Debug("a link did not confirm that it brings nothing more", "server", l.target.String(), "err", err)
	}
}

// missed is called when a link has died while the hub had another one: what it had still to bring
// or to send may be missing.
func (s *connManager) missed(old *link) {
	h := s.h
	h.losses.Add(1)
	h.requests.lost(old)
	h.intake.returned(old.silence())
	h.repairs.returned()
	h.online()
}

// rescue completes a move whose old link has died on the way.
func (s *connManager) rescue(p *passage, m *Move) {
	h := s.h
	m.Planned, m.Reason = false, s.kind()+" lost"
	h.outbox.hold()
	if h.registry.carries(p.next) {
		h.registry.promote(p.old, p.next, h.registry.mark())
	} else {
		h.registry.attach(p.next)
	}
	h.registry.forget(p.old)
	h.intake.returned(p.old.silence())
	h.intake.concludes(p.trip)
	s.promote(p.next)
	h.outbox.open(p.next)
	s.missed(p.old)
	p.close()
}

// part moves to a server that is known to be of another system: messages of the one never reach the
// other, so there is nothing to keep in order, and what is published here is not heard there.
func (s *connManager) part(old, next *link, m *Move) error {
	h := s.h
	m.Isolated = true
	reunited := old.isolated.Load()
	next.isolates(!reunited, time.Now())
	h.cfg.Logger.Warn("the new server is not of one system with the old one", "from", old.target.String(), "to", next.target.String())
	h.outbox.hold()
	h.registry.unbind(old)
	h.registry.attach(next)
	s.promote(next)
	if reunited { // what was said meanwhile may still be had
		h.intake.returned(old.apart())
	} else {
		h.intake.arrives()
	}
	h.outbox.open(next)
	if reunited {
		h.repairs.returned()
	}
	h.online()
	return nil
}

// undo leaves everything on old, which has brought everything.
func (s *connManager) undo(p *passage) {
	h := s.h
	h.outbox.open(p.old)
	if p.over {
		h.intake.undoes()
	}
	if h.registry.carries(p.next) {
		h.registry.unbind(p.next)
		s.settled(p.next) // members of queue groups may have been given something there
	}
	if p.over {
		h.intake.canceled()
	}
	p.close()
	p.next.shut()
}

var (
	// errRefused: a server does not take the subscriptions that a move needs.
	errRefused = errors.New("refused")
	// errApart: the two servers do not seem to be one system.
	errApart = errors.New("not one system")
	// errTooMuch: more messages wait than may.
	errTooMuch = errors.New("too much to hold")
)

// ended says whether w's connection has.
func ended(w wire) bool {
	select {
	case <-w.Done():
		return true
	default:
		return false
	}
}

// pause waits, unless the hub or one of the links ends before.
func (s *connManager) pause(d time.Duration, l *link, others ...*link) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	var other <-chan struct{}
	for _, o := range others {
		other = o.wire.Done()
	}
	select {
	case <-timer.C:
		return nil
	case <-s.h.ctx.Done():
		return ErrDisposed
	case <-l.wire.Done():
		return fmt.Errorf("%s: %w", l.target, l.wire.Cause())
	case <-other:
		return fmt.Errorf("the other link: %w", ErrDisconnected)
	}
}

// retire ends a link that the hub has moved away from, when its requests are answered.
func (h *Hub) retire(l *link) {
	h.registry.unbind(l)
	for l.unanswered.Load() > 0 {
		select {
		case <-l.quiet:
			continue
		case <-l.wire.Done():
		case <-h.ctx.Done():
		}
		break
	}
	ctx, cancel := h.whileAlive(l) // close waits for the server, too, but not for long
	defer cancel()
	if err := l.wire.Flush(ctx); err != nil {
		h.cfg.Logger.Debug("old link did not confirm its end", "err", err)
	}
	l.shut()
	h.requests.lost(l)
}
