package main

import (
	"context"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/continuity/wire"
)

// commute: the leaf appears and the subject moves there; the leaf says that it will stop, and
// the subject moves back.
func (r *run) commute(ctx context.Context) error {
	l := r.leaves[0]
	for range r.moves {
		if err := r.phase(ctx, toLeaf, func(res *result) error { return r.toLeaf(ctx, res) }); err != nil {
			return err
		}
		if err := r.phase(ctx, fromLeaf, func(res *result) error {
			r.site.lead(nil)
			l.leave()
			if _, err := r.await(ctx, res, r.remotes[0]); err != nil {
				return err
			}
			return r.closeLeaf(ctx)
		}); err != nil {
			return err
		}
	}
	return nil
}

// toLeaf starts the leaf if it does not run, and waits for the subject there.
func (r *run) toLeaf(ctx context.Context, res *result) error {
	l := r.leaves[0]
	if l.running == nil {
		if err := l.start(); err != nil {
			return err
		}
		if r.kind != leafKilled || !r.plain { // a plain client would go with the leaf
			if err := r.crew.arrive(ctx, r.place(l)); err != nil {
				return err
			}
		}
	}
	r.site.lead(l)
	_, err := r.await(ctx, res, l.door)
	return err
}

// closeLeaf ends a leaf that the subject has left: first those who are still there.
func (r *run) closeLeaf(ctx context.Context) error {
	if err := r.settle(ctx, passing); err != nil {
		return err
	}
	r.crew.depart(passing)
	r.leaves[0].kill()
	return nil
}

// settle ends the work of the crew at a place, and waits for all of it to be heard.
func (r *run) settle(ctx context.Context, name string) error {
	rep, err := r.subject.report(ctx)
	if err != nil {
		return err
	}
	pairs, err := r.crew.rest(ctx, name, rep.Sent)
	if err != nil {
		return err
	}
	return r.subject.end(ctx, pairs)
}

// wander: the server that was near is far, and the other way round.
func (r *run) wander(ctx context.Context) error {
	here := r.remotes[0]
	for range r.moves {
		if err := r.phase(ctx, latencyMove, func(res *result) error {
			there := r.remotes[0]
			if here == there {
				there = r.remotes[1]
			}
			here.Delay(r.delay + slower)
			there.Delay(r.delay)
			here = there
			if r.platform == nativePlatform { // which looks by itself
				_, err := r.await(ctx, res, there)
				return err
			}
			return r.reconnectTo(ctx, res, there)
		}); err != nil {
			return err
		}
	}
	return nil
}

// reconnectTo asks for the nearest server until that is the one. A page measures by its own clock, so that on
// a busy machine it may take the other one for nearer; that is a move as well.
func (r *run) reconnectTo(ctx context.Context, res *result, there *wire.Proxy) error {
	ctx, cancel := context.WithTimeout(ctx, r.patience)
	defer cancel()
	for {
		if err := r.subject.reconnect(ctx); err != nil {
			return err
		}
		e, err := r.await(ctx, res, nil)
		if err != nil || r.known(e.To) == there {
			return err
		}
	}
}

// follow: the manifest names another leader, and the subject goes there. Each change of server
// on the way is a move.
func (r *run) follow(ctx context.Context) error {
	res := r.result(leaderChange)
	for n := 0; res.Moves < r.moves; n++ {
		if err := r.phase(ctx, leaderChange, func(res *result) error {
			l := r.leaves[n%len(r.leaves)]
			r.site.lead(l)
			_, err := r.await(ctx, res, l.door)
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

// fall: the subject's connection to the leaf is reset, with or without the leaf, and then it
// comes back.
func (r *run) fall(ctx context.Context) error {
	l := r.leaves[0]
	for range r.moves {
		if err := r.phase(ctx, backAgain, func(res *result) error { return r.toLeaf(ctx, res) }); err != nil {
			return err
		}
		if err := r.phase(ctx, r.kind, func(res *result) error {
			r.site.lead(nil)
			if err := r.flow(ctx); err != nil {
				return err
			}
			if err := r.mark(ctx); err != nil {
				return err
			}
			if r.kind == leafKilled {
				l.kill()
			} else {
				l.door.Cut()
			}
			if _, err := r.await(ctx, res, r.remotes[0]); err != nil {
				return err
			}
			if err := r.flow(ctx); err != nil {
				return err
			}
			t, err := r.tally(ctx, res)
			res.Gap = append(res.Gap, t.GapMs)
			if err == nil {
				err = r.crew.settle(ctx) // what fails now was asked before
			}
			if err != nil || r.kind != leafKilled {
				return err
			}
			err = r.settle(ctx, passing) // those who were on the leaf have gone elsewhere, too
			r.crew.depart(passing)
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

// flow lets messages pass for a while, until what was lost shows by what comes after it.
func (r *run) flow(ctx context.Context) error {
	select {
	case <-time.After(300*time.Millisecond + 8*r.delay):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *run) mark(ctx context.Context) error {
	r.crew.mark()
	return r.subject.mark(ctx)
}

// finish ends everybody's work and counts what has not come.
func (r *run) finish(ctx context.Context) error {
	last := r.results[len(r.results)-1].Kind
	return r.phase(ctx, last, func(*result) error {
		if err := r.subject.stop(ctx); err != nil {
			return err
		}
		names := []string{passing}
		for _, p := range r.places {
			names = append(names, p.name)
		}
		for _, name := range names {
			if err := r.settle(ctx, name); err != nil {
				return err
			}
		}
		return nil
	})
}
