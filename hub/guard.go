package hub

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// dwell is how long a change of subscriptions is given to spread to servers that are
	// neither the old nor the new one: it should exceed the worst round trip between servers.
	dwell = 200 * time.Millisecond
	// look is how long copies are counted to see whether they come in pairs.
	look = 20 * time.Millisecond
	// looks bounds how often that is tried.
	looks = 100
)

var errUneven = errors.New("copies of messages do not come in pairs")

// guard adds queue legs to everything plain on old, and returns when they get every message.
func (s *session) guard(old, next *link) error {
	h := s.h
	ctx, cancel := context.WithTimeout(h.ctx, h.cfg.Timeout)
	defer cancel()
	old.gate.follow(rulePlain)
	if h.registry.guard(old) == 0 {
		return nil
	}
	if err := h.barrier(ctx, next, old); err != nil {
		return err
	}
	if err := s.pause(dwell, old, next); err != nil {
		return err
	}
	if err := s.even(old, next, old.gate.recount); err != nil {
		return err
	}
	return old.refusal()
}

// settle brings l, the current link, back to plain subscriptions. other is the link that the
// hub has moved away from, or nil when it has stayed on l. However far l lags behind, a rule
// ends only when the copies that it is for have come: so each wait lasts as long as l lives.
func (s *session) settle(l, other *link) {
	h := s.h
	ctx, cancel := h.whileAlive(l)
	defer cancel()
	if s.way() == wayCopies {
		// The copies of what counted on the other link come, if they do, before this ends.
		err := l.wire.flush(ctx)
		if err == nil && other != nil && !ended(other.wire) {
			err = errors.Join(h.barrier(ctx, other, l), s.pause(dwell, l), l.wire.flush(ctx))
		}
		if err != nil {
			h.cfg.Logger.Debug("subscriptions settle without proof", "server", l.target.String(), "err", err)
		}
		l.gate.follow(ruleSteady)
		return
	}
	if other == nil {
		l.gate.follow(ruleEither)
	}
	h.registry.plain(l)
	err := l.wire.flush(ctx)
	if err == nil && other != nil && !ended(other.wire) {
		err = h.barrier(ctx, other, l)
	}
	if !ended(l.wire) {
		err = errors.Join(err, s.pause(dwell, l), l.wire.flush(ctx))
	}
	if other != nil {
		// Only now can what had counted on the other link not come any more: it would come
		// plain, too, which under the next rule counts.
		l.gate.recount()
		l.gate.follow(ruleEither)
	}
	if !ended(l.wire) {
		err = errors.Join(err, s.even(l, nil, l.gate.restray))
	}
	if err != nil {
		h.cfg.Logger.Debug("subscriptions settle without proof", "server", l.target.String(), "err", err)
	}
	h.registry.unguard(l)
	if err := l.wire.flush(ctx); err != nil {
		h.cfg.Logger.Debug("subscriptions settle without an answer", "server", l.target.String(), "err", err)
	}
	l.gate.follow(ruleSteady)
}

// even returns when twice in a row all copies that came within a look had their counterparts.
func (s *session) even(l, other *link, begin func()) error {
	for good, n := 0, 0; good < 2; n++ {
		if n == looks {
			return errUneven
		}
		begin()
		if err := s.pause(look, l, other); err != nil {
			return err
		}
		good++
		// Between the two copies of a message another one may come, or a read may end.
		for tries := 0; l.gate.uneven() > 0; tries++ {
			if tries == 5 {
				good = 0
				break
			}
			if err := s.pause(time.Millisecond, l, other); err != nil {
				return err
			}
		}
	}
	return nil
}

// pause waits, unless the hub or one of the links ends before.
func (s *session) pause(d time.Duration, l *link, others ...*link) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	var other <-chan struct{}
	for _, o := range others {
		if o != nil {
			other = o.wire.done()
		}
	}
	select {
	case <-timer.C:
		return nil
	case <-s.h.ctx.Done():
		return ErrDisposed
	case <-l.wire.done():
		return fmt.Errorf("%s: %w", l.target, l.wire.cause())
	case <-other:
		return fmt.Errorf("the other link: %w", ErrDisconnected)
	}
}
