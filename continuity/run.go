package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kinopio-hub/kinopio-hub/continuity/wire"
)

// A run is a plan that is being carried out.
type run struct {
	plan
	clean   cleanup
	site    *site
	remotes []*wire.Proxy // hub <-> backbone: far
	leaves  []*leaf
	places  []place
	subject subject
	crew    crew

	link    *wire.Conn // of the subject; nil before the first event
	events  int        // seen so far
	results []*result
}

// A place is where members of the crew are.
type place struct {
	name string
	at   *station
}

// maker opens a subject.
type maker func(r *run, s setup) (subject, error)

// do carries a plan out, and returns a result for each kind of move in it.
func do(ctx context.Context, p plan, dist string, open maker) (results []*result, err error) {
	r := &run{plan: p}
	defer r.clean.run()
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: %w", p, err)
		}
	}()
	r.site = newSite(dist)
	r.clean.add(r.site.Close)
	if err := r.build(); err != nil {
		return nil, err
	}
	if err := r.open(ctx, open); err != nil {
		return nil, err
	}
	switch p.kind {
	case toLeaf:
		err = r.commute(ctx)
	case latencyMove:
		err = r.wander(ctx)
	case leaderChange:
		err = r.follow(ctx)
	default:
		err = r.fall(ctx)
	}
	if err == nil {
		err = r.finish(ctx)
	}
	return r.results, err
}

// build starts the world: servers and the proxies between them.
func (r *run) build() error {
	servers := 1
	if r.kind == latencyMove {
		servers = 2
	}
	backbone, err := startBackbone(servers, r.delay, &r.clean)
	if err != nil {
		return err
	}
	for i, s := range backbone {
		address := s.client
		if r.platform == chromium {
			address = s.websocket
		}
		p, err := wire.New(address, r.delay+time.Duration(i)*slower)
		if err != nil {
			return err
		}
		r.clean.add(p.Close)
		r.remotes = append(r.remotes, p)
		r.places = append(r.places, place{[]string{lasting, "second"}[i], s})
	}
	names := map[string][]string{latencyMove: nil, leaderChange: {"one", "two"}}
	leaves, ok := names[r.kind]
	if !ok {
		leaves = []string{passing}
	}
	for _, name := range leaves {
		l, err := newLeaf(name, backbone[0], r.delay, &r.clean)
		if err != nil {
			return err
		}
		r.leaves = append(r.leaves, l)
		if r.kind == leaderChange {
			if err := l.start(); err != nil {
				return err
			}
			r.places = append(r.places, place{name, l.running})
		}
	}
	return nil
}

// open lets the subject in, and then its crew.
func (r *run) open(ctx context.Context, open maker) error {
	s := setup{role: r.role, subjects: r.subjects, rate: r.rate, standby: r.standby, latency: r.kind == latencyMove}
	scheme := "nats://"
	if r.platform == chromium {
		scheme = "ws://"
	}
	for _, p := range r.remotes {
		s.servers = append(s.servers, scheme+p.Address())
	}
	if len(r.leaves) > 0 {
		s.manifest = r.site.URL + manifestPath
	}
	var err error
	r.crew = newCrew(s)
	r.clean.add(r.crew.close)
	if r.subject, err = open(r, s); err != nil {
		return err
	}
	r.clean.add(r.subject.close)
	if err := r.subject.begin(ctx); err != nil {
		return err
	}
	if _, err := r.await(ctx, nil, nil); err != nil {
		return err
	}
	if err := r.crew.arrive(ctx, r.places[0].name, r.places[0].at); err != nil {
		return err
	}
	if err := r.subject.work(ctx); err != nil {
		return err
	}
	for _, p := range r.places[1:] {
		if err := r.crew.arrive(ctx, p.name, p.at); err != nil {
			return err
		}
	}
	return nil
}

// await waits for changes of server until the subject is at to, or for the next one if to is
// nil, notes them in res, and returns when what they have left behind is closed.
func (r *run) await(ctx context.Context, res *result, to *wire.Proxy) (last event, err error) {
	ctx, cancel := soon(ctx)
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
		at := r.proxy(e.To)
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

// proxy finds the one that the hub knows as a server.
func (r *run) proxy(server string) *wire.Proxy {
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
	if d := after.Counts.Minus(before.Counts); !res.Abrupt && (d.Lost != 0 || d.Repeated != 0) {
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
	res.Defects = rep.Defects
	if c, ok := r.crew.(*listeners); ok {
		res.Defects = c.defects()
	}
	if c, ok := r.crew.(*callers); ok {
		c.mu.Lock()
		res.note(c.why)
		c.mu.Unlock()
	}
	return r.crew.tally(rep), nil
}

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
		if r.kind != leafKilled {
			if err := r.crew.arrive(ctx, passing, l.running); err != nil {
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
	pairs, err := r.crew.depart(ctx, passing)
	if err != nil {
		return err
	}
	if err := r.subject.end(ctx, pairs); err != nil {
		return err
	}
	r.leaves[0].kill()
	return nil
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
			if r.platform != nativePlatform { // which have no option for how often they look
				ctx, cancel := soon(ctx)
				defer cancel()
				if err := r.subject.reconnect(ctx); err != nil {
					return err
				}
			}
			_, err := r.await(ctx, res, there)
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

// follow: the manifest names another leader, and the subject goes there. Each change of server
// on the way is a move.
func (r *run) follow(ctx context.Context) error {
	res := r.result(leaderChange)
	for n := 0; res.Moves < r.moves; n++ {
		if err := r.phase(ctx, leaderChange, func(res *result) error {
			l := r.leaves[n%2]
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
			return err
		}); err != nil {
			return err
		}
	}
	return nil
}

// flow lets messages pass for a while, a multiple of what lies between two of one stream.
func (r *run) flow(ctx context.Context) error {
	select {
	case <-time.After(max(300*time.Millisecond, 4*r.delay)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *run) mark(ctx context.Context) error {
	switch c := r.crew.(type) {
	case *listeners:
		c.mark()
	case *callers:
		c.at[lasting].answered.Mark()
	}
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
			pairs, err := r.crew.depart(ctx, name)
			if err != nil {
				return err
			}
			if err := r.subject.end(ctx, pairs); err != nil {
				return err
			}
		}
		if c, ok := r.crew.(*listeners); ok {
			rep, err := r.subject.report(ctx)
			if err != nil {
				return err
			}
			c.finish(ctx, rep.Sent)
		}
		return nil
	})
}
