package hub

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/transport"
)

// A race connects to one of several servers.
type race struct {
	h        *Hub
	targets  []target
	timeout  time.Duration // of each attempt
	nearest  bool          // the nearest wins; otherwise the first in the list
	early    bool          // a link is enough whose server is still to accept the hub
	attempts []*attempt    // in the order of targets, those that have begun
	finish   chan finisher
}

// An attempt is one connection that a race makes.
type attempt struct {
	target   target
	begun    time.Time
	patience time.Duration // for how long it may give no sign of life, before another server is taken
	sign     atomic.Int64  // when the server last gave one, in ns since begun; 0: not yet
	over     bool
	link     *link // nil if it is not over, or has failed
	err      error
}

// finisher is how an attempt has ended.
type finisher struct {
	of   *attempt
	link *link
	err  error
}

// race connects to one of the targets, each attempt within timeout, and returns the link to
// keep; the others are closed. In latency mode all start together, and of those that answer in
// time the one with the shortest round trip wins. Otherwise the first of the list that answers wins: each starts
// when the one before it has failed or has not answered for a while, but is taken only when all
// before it have failed, or show no sign of life for stepPatience. It returns when every attempt
// that it leaves behind has been called off.
func (h *Hub) race(ctx context.Context, targets []target, timeout time.Duration) (*link, error) {
	r := &race{h: h, targets: targets, timeout: timeout, nearest: h.cfg.Selection == Latency && len(targets) > 1}
	return r.run(ctx)
}

// raceEarly is race, but that of a single target the link may still have to be accepted: see link.answered.
func (h *Hub) raceEarly(ctx context.Context, targets []target, timeout time.Duration) (*link, error) {
	if len(targets) != 1 {
		return h.race(ctx, targets, timeout)
	}
	r := &race{h: h, targets: targets, timeout: timeout, early: true}
	return r.run(ctx)
}

func (r *race) run(ctx context.Context) (*link, error) {
	h, targets, timeout := r.h, r.targets, r.timeout
	if len(targets) == 0 {
		return nil, fmt.Errorf("%w: no server to connect to", ErrConnect)
	}
	r.finish = make(chan finisher)
	ctx, cancel := context.WithCancel(ctx)
	var winner *attempt
	defer func() {
		cancel()
		r.callOff(winner)
	}()
	next := time.NewTimer(stagger)
	defer next.Stop()
	r.begin(ctx)
	for r.nearest && r.begin(ctx) {
	}
	decide := time.NewTimer(timeout)
	defer decide.Stop()
	var end time.Time // in latency mode: of the waiting for nearer ones
	for {
		select {
		case f := <-r.finish:
			a := f.of
			a.over, a.link, a.err = true, f.link, f.err
			switch {
			case a.err != nil && r.begin(ctx):
				next.Reset(stagger)
			case a.err == nil && end.IsZero():
				end = time.Now().Add(patience(time.Since(a.begun), a.link.distance(), h.cfg.ReprobeGain))
			}
		case <-next.C:
			if r.begin(ctx) {
				next.Reset(stagger)
			}
		case <-decide.C:
		}
		wait := time.Until(end)
		if r.nearest {
			winner = r.closest(wait <= 0)
		} else {
			winner, wait = r.first()
		}
		switch {
		case winner != nil:
			winner.link.hasty = r.running() > 0
			return winner.link, nil
		case r.running() == 0 && len(r.attempts) == len(targets):
			return nil, r.failure()
		case wait > 0:
			decide.Reset(wait)
		}
	}
}

// begin begins the next attempt; false if there is none.
func (r *race) begin(ctx context.Context) bool {
	if len(r.attempts) == len(r.targets) {
		return false
	}
	h := r.h
	a := &attempt{target: r.targets[len(r.attempts)], begun: time.Now(), patience: stepPatience(r.timeout)}
	if h.silent.has(a.target.url) {
		a.patience = stagger
	}
	r.attempts = append(r.attempts, a)
	h.wg.Go(func() {
		ctx := transport.WithProgress(ctx, func() { a.sign.Store(max(1, int64(time.Since(a.begun)))) })
		l, err := r.connect(ctx, a.target)
		switch {
		case a.target.via != viaConfigured:
		case err == nil || a.sign.Load() > 0:
			h.silent.note(a.target.url, false)
		case time.Since(a.begun) >= a.patience:
			h.silent.note(a.target.url, true)
		}
		r.finish <- finisher{a, l, err}
	})
	return true
}

func (r *race) connect(ctx context.Context, t target) (*link, error) {
	if r.early {
		return r.h.connectEarly(ctx, t, r.timeout)
	}
	return r.h.connect(ctx, t, r.timeout, r.nearest)
}

func (r *race) running() (n int) {
	for _, a := range r.attempts {
		if !a.over {
			n++
		}
	}
	return n
}

// closest is the attempt with the shortest round trip, when it need not wait for others; nil before.
func (r *race) closest(enough bool) (best *attempt) {
	for _, a := range r.attempts {
		if a.link != nil && (best == nil || a.link.distance() < best.link.distance()) {
			best = a
		}
	}
	if r.running() > 0 && !enough {
		return nil
	}
	return best
}

// first is the first attempt that has connected, if none before it has to be waited for. Otherwise
// wait is until when to look again, if that is known.
func (r *race) first() (a *attempt, wait time.Duration) {
	for _, a := range r.attempts {
		switch {
		case a.link != nil && wait <= 0:
			return a, 0
		case a.link != nil:
			return nil, wait
		case !a.over:
			wait = max(wait, time.Duration(a.sign.Load())+a.patience-time.Since(a.begun))
		}
	}
	return nil, 0
}

// failure is why all have failed.
func (r *race) failure() error {
	var all []error
	for _, a := range r.attempts {
		all = append(all, a.err)
	}
	return errors.Join(all...)
}

// callOff closes everything but the winner. Those that are under way end soon: their context has.
func (r *race) callOff(winner *attempt) {
	left := 0
	for _, a := range r.attempts {
		switch {
		case !a.over:
			left++
		case a != winner && a.link != nil:
			r.h.wg.Go(a.link.shut)
		}
	}
	r.h.wg.Go(func() {
		for range left {
			if f := <-r.finish; f.link != nil {
				f.link.shut()
			}
		}
	})
}

// connect connects to t within timeout, and if asked to measures how far it is.
func (h *Hub) connect(ctx context.Context, t target, timeout time.Duration, measure bool) (*link, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	l, err := h.openLink(ctx, t)
	if err != nil {
		return nil, err
	}
	err = l.accepted(ctx)
	if err == nil && measure {
		// What connecting took has other things in it: a password is checked, a name looked up.
		if l.trip, err = roundTrip(ctx, l.wire); err != nil {
			err = fmt.Errorf("%w to %s: %w", ErrConnect, t, err)
		}
	}
	if err != nil {
		l.shut()
		return nil, err
	}
	return l, nil
}

// connectEarly is connect, but does not wait until the server has accepted the hub: see link.answered.
func (h *Hub) connectEarly(ctx context.Context, t target, timeout time.Duration) (*link, error) {
	begun := time.Now()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	l, err := h.openLink(ctx, t)
	if err == nil {
		l.expectAcceptance(timeout - time.Since(begun))
	}
	return l, err
}

// distance is the round trip to the server, as it was measured first.
func (l *link) distance() time.Duration {
	if l.trip > 0 {
		return min(l.trip, l.wire.RTT())
	}
	return l.wire.RTT()
}

// silent are the servers that gave no sign of life when they were tried last: the next in the list
// need not wait for them.
type silentServers struct {
	mu  sync.Mutex
	all map[string]bool // by URL
}

func (s *silentServers) has(url string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.all[url]
}

func (s *silentServers) note(url string, silent bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !silent {
		delete(s.all, url)
		return
	}
	if s.all == nil {
		s.all = map[string]bool{}
	}
	s.all[url] = true
}
