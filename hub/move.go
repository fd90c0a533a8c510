package hub

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// move takes the hub from its link, which is alive, to one of the targets, such that
// nothing is lost, repeated or reordered; on failure it stays, with nothing lost. It is the
// one place that knows how. What makes it exact is that a queue group with a name of its own,
// with the hub as only member, gets each message once even while the hub is on two servers of
// one system; and what keeps the order is that the plain subscriptions on the old link get
// every message as well, until the moment when the new link takes over.
//
//  1. Connect.
//  2. Old link: add such groups beside the plain subscriptions, which go on to count. Wait
//     until every message comes in both ways (guard).
//  3. Join the groups on the new link, and hold what comes there. Barrier: a probe
//     old → new shows that the old server knows; a marker new → old shows that what was on
//     its way when the new link joined has arrived. Leave the groups on the old link, and give
//     that time to spread. From now on each message comes by both links: plain on the old
//     one, where it counts, and by its group on the new one, where it is held.
//  4. Hold publishing. Let the old link count no more, and release what the new one holds,
//     except those that have counted on the old one: a message that is not in the
//     difference of plain and group copies there has not. A marker old → new shows that
//     everything published so far is where nothing published later can overtake it. Publish
//     on. The hub has moved.
//  5. New link: subscribe plainly, wait until every message comes in both ways, leave the
//     groups (settle). Only then do the plain subscriptions on the old link go, and the
//     link itself when the requests that it sent are answered.
//
// With MovesQueue the groups are there all the time and there is nothing plain: steps 2 and 5
// fall away, and in step 4 the new link's messages are held until the old one has none. That
// keeps the order where servers prefer members of their own (a leaf and its backbone), but not
// within a cluster, which picks at random.
func (s *session) move(targets []target, reason string, timeout time.Duration) error {
	h, start := s.h, time.Now()
	old := s.link
	s.trip = 0
	m := Move{From: old.target.String(), Reason: reason, Planned: true}
	m.insists = reason == "requested"
	if len(targets) > 0 {
		m.To, m.Via = targets[0].String(), targets[0].via
	}
	next, err := h.race(h.ctx, targets, timeout)
	if err == nil {
		m.To, m.Via = next.target.String(), next.target.via
		err = s.carry(old, next, &m)
	}
	if errors.Is(err, errRefused) && s.way() == wayGroups {
		s.refused = true
		h.cfg.Logger.Warn("a server refuses the queue groups that make moves exact: from now on equal messages may get lost while the hub moves", "err", err)
		if next, err = h.race(h.ctx, targets, timeout); err == nil {
			m.To, m.Via = next.target.String(), next.target.via
			err = s.carry(old, next, &m)
		}
	}
	m.Took = time.Since(start)
	if err != nil {
		m.Err = fmt.Errorf("%w: %w", ErrMove, err)
		if h.ctx.Err() == nil {
			h.count(func(st *Status) { st.LastError = m.Err })
			h.moved(m)
		}
		return m.Err
	}
	h.count(func(st *Status) {
		if m.Planned {
			st.Moves++
		} else {
			st.Reconnects++
		}
	})
	h.moved(m)
	if s.way() != wayQueue && !m.Isolated {
		s.settle(next, old)
	}
	h.wg.Go(func() { h.retire(old) }) // also when the hub is ending: old is nobody else's
	return nil
}

// carry does steps 2 to 4. When they cannot be completed it undoes what it did, unless going
// on is better: when the old link has died, or when the two servers are not one system and
// the program insists on the move, or the hub was told that this is so.
func (s *session) carry(old, next *link, m *Move) error {
	h := s.h
	if old.isolated || next.target.alone {
		return s.part(old, next, m)
	}
	fail := func(err error) error {
		switch {
		case h.ctx.Err() == nil && ended(old.wire) && !ended(next.wire):
			s.rescue(old, next, m)
			return nil
		case errors.Is(err, errApart) && m.insists:
			return s.part(old, next, m)
		}
		s.undo(old, next)
		return err
	}
	way := s.way()
	old.refused.Store(nil)
	if way == wayGroups {
		if err := s.guard(old, next); err != nil {
			return fail(err)
		}
	}
	if way == wayCopies {
		// What comes by the old link before the new one has its subscriptions may come there
		// later than that, over a longer way.
		h.registry.count(old)
		if err := s.pause(s.dwell(), old, next); err != nil {
			return fail(err)
		}
	}
	ctx, cancel := context.WithTimeout(h.ctx, h.cfg.Timeout)
	defer cancel()
	next.gate.hold()
	start := time.Now()
	joined := start
	if h.cfg.NoEcho {
		// The server keeps a link's own messages from that link, and the two links are
		// strangers to it: nothing may be published while both are subscribed.
		h.outbox.hold()
		if err := pass(ctx, old, next, next.inbox+h.mark()); err != nil {
			return fail(err)
		}
	}
	if way != wayQueue {
		joined = time.Now()
		if way == wayGroups {
			h.registry.join(old, next)
		} else {
			h.registry.copy(old, next)
		}
		if err := s.barrier(ctx, old, next); err != nil {
			return fail(err)
		}
		if err := next.refusal(); err != nil {
			return fail(err)
		}
		if way == wayGroups {
			// What a server had already given to the group here must have come: it may have
			// chosen before the new link joined, and been busy with something else since.
			if err := s.pause(s.step(), old, next); err != nil {
				return fail(err)
			}
			h.registry.leave(old)
			if err := old.wire.flush(ctx); err != nil {
				return fail(err)
			}
		}
		if err := s.pause(s.dwell(), old, next); err != nil {
			return fail(err)
		}
		if !h.cfg.NoEcho {
			start = time.Now() // so far nothing has had to wait
		}
	}
	for left := 1; left > 0; {
		h.registry.bind(next)
		if err := s.barrier(ctx, old, next); err != nil && s.link == old {
			return fail(err)
		}
		// Who subscribes from now on does so on the new link, and must hear what the hub
		// publishes after that: so that has to wait for the new link, too.
		h.outbox.hold()
		left = h.registry.cut(old, next)
		if s.link == old {
			// From here on there is no way back: the old link may take as long as it lives.
			ctx, cancel = h.whileAlive(old)
			defer cancel()
		}
		if err := old.wire.flush(ctx); err != nil {
			h.cfg.Logger.Debug("old link did not confirm the move", "err", err)
		}
		if s.link == old {
			next.follow(old, way)
		}
		next.release()
		if s.link == old {
			m.Held, m.Overlap = time.Since(start), time.Since(joined)
			s.promote(next)
		}
		if left > 0 { // what was subscribed to meanwhile is on the old link only
			next.gate.hold()
		}
	}
	if err := pass(ctx, old, next, next.inbox+h.mark()); err != nil {
		h.cfg.Logger.Debug("old link did not pass on what was published", "err", err)
	}
	h.outbox.open(next)
	return nil
}

// rescue completes a move whose old link has died on the way: what next holds already is not
// lost, and what had counted on old is not repeated.
func (s *session) rescue(old, next *link, m *Move) {
	h := s.h
	m.Planned, m.Reason = false, s.kind()+" lost"
	h.outbox.hold()
	h.losses.Add(1)
	if !h.registry.carries(next) {
		h.registry.attach(next, true)
	} else {
		h.registry.bind(next)
		h.registry.cut(old, next)
		h.registry.forget(old)
		next.follow(old, s.way())
	}
	next.release()
	h.requests.lost(old)
	s.promote(next)
	h.outbox.open(next)
}

// part moves to a server that is of another system: messages of the one never reach the
// other, so there is nothing to keep in order, and what is published here is not heard there.
func (s *session) part(old, next *link, m *Move) error {
	h := s.h
	m.Isolated = true
	next.isolated = !old.isolated
	h.cfg.Logger.Warn("the new server is not of one system with the old one", "from", old.target.String(), "to", next.target.String())
	h.outbox.hold()
	if h.registry.carries(next) {
		// A move was tried first. If the servers are one system after all, only slow, what has
		// counted on the old link must not do so again.
		h.registry.unbind(next)
		next.gate.takeOver(&old.gate, ruleQueue)
	}
	next.release()
	h.registry.attach(next, true)
	next.gate.follow(ruleSteady)
	s.promote(next)
	h.outbox.open(next)
	return nil
}

// undo leaves everything on old. What next was given before it gave up its subscriptions is
// delivered after what was on its way through old, unless old has it as well.
func (s *session) undo(old, next *link) {
	h := s.h
	h.outbox.open(old)
	h.registry.uncount()
	h.registry.unbind(next)
	ctx, cancel := h.whileAlive(old)
	if err := next.wire.flush(ctx); err != nil {
		h.cfg.Logger.Debug("new link did not confirm the way back", "err", err)
	}
	cancel()
	next.conclude(h.registry.plainOn(old))
	if s.way() != wayQueue {
		s.settle(old, nil)
	}
}

// A way is how messages are kept from getting lost or repeated while the hub is on two links.
type way int

const (
	wayGroups way = iota // as described at move
	wayQueue             // groups all the time
	// wayCopies subscribes plainly on both links and drops what counted on the old one already.
	// Exact if no two messages are equal, as with MovesIDs. Of equal ones, those may get lost
	// of which one came before the new link had its subscriptions and another one after.
	wayCopies
)

func (s *session) way() way {
	switch {
	case s.h.cfg.Moves == MovesQueue:
		return wayQueue
	case s.h.cfg.Moves == MovesIDs, s.refused:
		return wayCopies
	}
	return wayGroups
}

// follow lets what counts go by l instead of by old.
func (l *link) follow(old *link, w way) {
	switch w {
	case wayGroups:
		l.gate.takeOver(&old.gate, ruleQueue)
	case wayCopies:
		l.gate.takeOver(&old.gate, ruleRest)
	}
}

// barrier returns when interest in everything that next subscribed to has reached old's
// server, and what was under way to old's subscriptions before that has been received.
func (h *Hub) barrier(ctx context.Context, old, next *link) error {
	// An inbox that is subscribed to after everything else: interest spreads in order.
	last := "_INBOX." + h.id + ".last." + h.mark()
	sub, err := next.wire.subscribe(last, "", nil)
	if err != nil {
		return err
	}
	defer next.wire.retire(sub)
	if err := pass(ctx, old, next, last); err != nil {
		return fmt.Errorf("%s does not hear of %s: %w", old.target, next.target, err)
	}
	if err := pass(ctx, next, old, old.inbox+h.mark()); err != nil {
		return fmt.Errorf("%s does not hear of %s: %w", next.target, old.target, err)
	}
	return nil
}

// errRefused: a server does not take the subscriptions that a move needs.
var errRefused = errors.New("subscriptions refused")

// errApart: the two servers do not seem to be one system.
var errApart = errors.New("not one system")

// ended says whether w's connection has.
func ended(w wire) bool {
	select {
	case <-w.done():
		return true
	default:
		return false
	}
}

// grace is how long a marker may come after its deadline.
const grace = 50 * time.Millisecond

// mark is a token that no request has: those are numbers.
func (h *Hub) mark() string { return "-" + strconv.FormatUint(h.marks.Add(1), 36) }

// pass publishes on from, to an inbox of to, until one arrives: interest in it may still be
// on its way.
func pass(ctx context.Context, from, to *link, subject string) error {
	arrived := to.expect(subject)
	defer to.forget(subject)
	pause := 5 * time.Millisecond
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-arrived:
			return nil
		case <-from.wire.done():
			return fmt.Errorf("%s: %w", from.target, from.wire.cause())
		case <-to.wire.done():
			return fmt.Errorf("%s: %w", to.target, to.wire.cause())
		case <-ctx.Done():
			// Where timers are late, in a page that nobody looks at, the marker may wait beside them.
			late := time.NewTimer(grace)
			defer late.Stop()
			select {
			case <-arrived:
				return nil
			case <-from.hub.ctx.Done():
			case <-late.C:
			}
			return ctxError(ctx, fmt.Errorf("%w: no marker came from %s to %s", errApart, from.target, to.target))
		case <-timer.C:
			if err := to.refusal(); err != nil {
				return err
			}
			if err := from.wire.publish(OutMsg{Subject: subject}); err != nil {
				return err
			}
			timer.Reset(pause)
			pause = min(2*pause, 100*time.Millisecond)
		}
	}
}

// retire ends a link that the hub has moved away from, when its requests are answered.
func (h *Hub) retire(l *link) {
	h.registry.unbind(l)
	for l.unanswered.Load() > 0 {
		select {
		case <-l.quiet:
			continue
		case <-l.wire.done():
		case <-h.ctx.Done():
		}
		break
	}
	ctx, cancel := h.whileAlive(l) // close waits for the server, too, but not for long
	defer cancel()
	if err := l.wire.flush(ctx); err != nil {
		h.cfg.Logger.Debug("old link did not confirm its end", "err", err)
	}
	l.shut()
	h.requests.lost(l)
}
