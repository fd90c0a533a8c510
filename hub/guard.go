package hub

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// See dwell and step, which last longer where servers are slow; mostDwell bounds both.
	leastDwell, mostDwell = 200 * time.Millisecond, 5 * time.Second
	leastStep             = 50 * time.Millisecond
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
	if err := s.barrier(ctx, next, old); err != nil {
		return err
	}
	if err := s.pause(s.dwell(), old, next); err != nil {
		return err
	}
	if err := old.refusal(); err != nil { // copies that were refused never come in pairs
		return err
	}
	if err := s.even(old, next, old.gate.recount, old.gate.owes); err != nil {
		return err
	}
	return old.refusal()
}

// settle brings l, the current link, back to plain subscriptions. other is the link that the
// hub has moved away from, or nil when it has stayed on l. However far l lags behind, a rule
// ends only when the copies that it is for have come.
func (s *session) settle(l, other *link) {
	h := s.h
	report := func(err error) {
		if err != nil && h.ctx.Err() == nil {
			h.cfg.Logger.Debug("subscriptions settle without proof", "server", l.target.String(), "err", err)
		}
	}
	if s.way() == wayCopies {
		// The copies of what counted on the other link come, if they do, before this ends.
		report(s.spread(l, other))
		l.gate.follow(ruleSteady)
		return
	}
	h.registry.plain(l)
	report(s.spread(l, other))
	if other != nil {
		// Only now can what had counted on the other link not come any more: it would come
		// plain, too, which under the next rule counts.
		l.gate.recount()
		l.gate.follow(ruleEither)
	}
	if !ended(l.wire) {
		report(s.even(l, nil, l.gate.restray, l.gate.strayed))
	}
	h.registry.unguard(l)
	report(s.insist(l, nil, func(ctx context.Context) error { return l.wire.flush(ctx) }))
	l.gate.follow(ruleSteady)
}

// spread returns when what l has just subscribed to is known wherever it matters, and what
// was under way before that has come.
func (s *session) spread(l, other *link) error {
	flush := func(ctx context.Context) error { return l.wire.flush(ctx) }
	err := s.insist(l, nil, flush)
	if err == nil && other != nil && !ended(other.wire) {
		err = s.insist(l, other, func(ctx context.Context) error { return s.barrier(ctx, other, l) })
	}
	if ended(l.wire) {
		return err
	}
	return errors.Join(err, s.pause(s.dwell(), l), s.insist(l, nil, flush))
}

// insists bounds how often insist tries.
const insists = 5

// insist does what needs an answer, again if that takes longer than a link may be silent, as
// long as the links live and stay: a slow system is no reason to go on without.
func (s *session) insist(l, other *link, do func(context.Context) error) (err error) {
	for range insists {
		ctx, cancel := s.h.whileAlive(l)
		err = do(ctx)
		cancel()
		if err == nil || s.h.ctx.Err() != nil || ended(l.wire) || l.isLeaving() || other != nil && ended(other.wire) {
			return err
		}
	}
	return err
}

// even returns when twice in a row all copies that came within a look had their
// counterparts: begin begins to count, and odd is how many had none.
func (s *session) even(l, other *link, begin func(), odd func() int) error {
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
		for tries := 0; odd() > 0; tries++ {
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

// barrier is the hub's; the session remembers how long the longest of a move took.
func (s *session) barrier(ctx context.Context, old, next *link) error {
	start := time.Now()
	err := s.h.barrier(ctx, old, next)
	s.trip = max(s.trip, time.Since(start))
	return err
}

// dwell is how long a change of subscriptions is given to spread to servers that are neither
// the old nor the new one: it should exceed the worst round trip between servers. Barriers
// tell of it, and of how busy the servers are. A server that will stop does not wait for long.
func (s *session) dwell() time.Duration { return s.patience(leastDwell) }

// step is how long a server may take between two steps with one message.
func (s *session) step() time.Duration { return s.patience(leastStep) }

func (s *session) patience(least time.Duration) time.Duration {
	if s.link.isLeaving() {
		return least
	}
	return min(max(least, 2*s.trip), mostDwell)
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
