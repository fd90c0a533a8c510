package main

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/kinopio-hub/kinopio-hub/v3/continuity/wire"
)

// await waits for changes of server until the subject is at to, or for the next one if to is
// nil, notes them in res, and returns when what they have left behind is closed.
func (r *run) await(ctx context.Context, res *result, to *wire.Proxy) (last event, err error) {
	ctx, cancel := context.WithTimeout(ctx, r.patience)
	defer cancel()
	for {
		e, err := r.subject.event(ctx, r.events)
		if err != nil {
			return e, err
		}
		r.events++
		if e.Error != "" {
			if res == nil {
				return e, errors.New(e.Error)
			}
			res.undone(e)
			continue
		}
		at := r.known(e.To)
		if at == nil {
			return e, fmt.Errorf("the hub has moved to %s, which is none of its servers", e.To)
		}
		old := r.link
		if open := at.Open(); len(open) > 0 {
			r.link = open[len(open)-1]
		}
		if res != nil {
			res.moved(e)
		}
		if res != nil && old != nil && !r.standby {
			// Settling and the answers to what was asked take a while.
			closed, err := old.Closed(ctx)
			if err != nil {
				return e, fmt.Errorf("the connection to %s was never closed: %w", e.From, err)
			}
			if e.Planned {
				res.Overlap = append(res.Overlap, ms(closed.Sub(r.link.Opened)))
			}
		}
		if to == nil || at == to {
			return e, nil
		}
	}
}

// name is where the subject is.
func (r *run) name() string {
	for _, l := range r.leaves {
		for _, c := range l.door.Open() {
			if c == r.link {
				return l.name
			}
		}
	}
	return "a remote server"
}

// known finds the proxy that the hub knows as a server.
func (r *run) known(server string) *wire.Proxy {
	host := hostOf(server)
	for _, p := range r.remotes {
		if p.Address() == host {
			return p
		}
	}
	for _, l := range r.leaves {
		if l.door.Address() == host {
			return l.door
		}
	}
	return nil
}

// result is that of a kind of move in this run.
func (r *run) result(kind string) *result {
	for _, res := range r.results {
		if res.Kind == kind {
			return res
		}
	}
	res := newResult(r.plan, kind)
	r.results = append(r.results, res)
	return res
}

// phase counts what becomes of messages while f makes one move of a kind.
func (r *run) phase(ctx context.Context, kind string, f func(res *result) error) error {
	res := r.result(kind)
	before, err := r.tally(ctx, res)
	if err != nil {
		return err
	}
	if err := f(res); err != nil {
		return fmt.Errorf("%s %d: %w", kind, res.Moves+1, err)
	}
	after, err := r.tally(ctx, res)
	if err != nil {
		return err
	}
	if d := after.Counts.Minus(before.Counts); res.exact() && (d.Lost != 0 || d.Repeated != 0) {
		res.note(fmt.Sprintf("move %d, now on %s: %d lost, %d repeated, %d out of order", res.Moves, r.name(), d.Lost, d.Repeated, d.Reordered))
	}
	res.count(before, after)
	return nil
}

func (r *run) tally(ctx context.Context, res *result) (tally, error) {
	rep, err := r.subject.report(ctx)
	if err != nil {
		return tally{}, err
	}
	res.note(rep.Why)
	res.Defects = slices.Concat(rep.Defects, r.crew.defects())
	return r.crew.tally(rep), nil
}
