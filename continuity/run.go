package main

import (
	"context"
	"fmt"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/continuity/wire"
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

	patience, quiet, timeout time.Duration // as in setup
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
	servers, names := 1, []string{passing}
	switch r.kind {
	case latencyMove:
		servers, names = 2, nil
	case leaderChange:
		names = []string{"one", "two"}
	}
	begin := time.Now()
	backbone, err := startBackbone(servers, r.delay, &r.clean)
	if err != nil {
		return err
	}
	r.waits(time.Since(begin) / time.Duration(servers))
	for i, s := range backbone {
		address := s.client
		if r.platform == chromium {
			address = s.websocket
		}
		p, err := r.proxy(address, r.delay+time.Duration(i)*slower)
		if err != nil {
			return err
		}
		r.remotes = append(r.remotes, p)
		crew, err := r.proxy(s.client, r.delay)
		if err != nil {
			return err
		}
		r.places = append(r.places, place{[]string{lasting, "second"}[i], s, []string{crew.Address()}})
	}
	for _, name := range names {
		l, err := newLeaf(name, backbone[0], r.delay, &r.clean)
		if err != nil {
			return err
		}
		r.leaves = append(r.leaves, l)
		if r.kind == leaderChange {
			if err := l.start(); err != nil {
				return err
			}
			r.places = append(r.places, r.place(l))
		}
	}
	return nil
}

// waits sets how long is waited for what must happen: by the distance, and by how long the machine took
// to start one server.
func (r *run) waits(unit time.Duration) {
	r.patience = time.Minute + 50*r.roundTrip() + 100*unit
	r.quiet = 7*time.Second + 5*r.roundTrip() + 10*unit // longer than a hub waits for what is missing
	r.timeout = r.patience
	if abrupt(r.kind) { // where some requests have no answer
		r.timeout = 2*time.Second + 5*r.roundTrip() + 10*unit
	}
}

// roundTrip is that of the subject's slower link.
func (p plan) roundTrip() time.Duration {
	if p.kind == latencyMove {
		return 2 * (p.delay + slower)
	}
	return 2 * p.delay
}

// proxy is one that ends with the run.
func (r *run) proxy(address string, delay time.Duration) (*wire.Proxy, error) {
	p, err := wire.New(address, delay)
	if err == nil {
		r.clean.add(p.Close)
	}
	return p, err
}

// place is that of those who are on a leaf that runs.
func (r *run) place(l *leaf) place {
	return place{l.name, l.running, []string{l.side.Address(), r.places[0].addresses[0]}}
}

// open lets the subject in, and then its crew.
func (r *run) open(ctx context.Context, open maker) error {
	s := setup{
		role: r.role, subjects: r.subjects, rate: r.rate, standby: r.standby, plain: r.plain, latency: r.kind == latencyMove,
		patience: r.patience, quiet: r.quiet, timeout: r.timeout,
	}
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
	if err := r.crew.arrive(ctx, r.places[0]); err != nil {
		return err
	}
	if err := r.subject.work(ctx); err != nil {
		return err
	}
	for _, p := range r.places[1:] {
		if err := r.crew.arrive(ctx, p); err != nil {
			return err
		}
	}
	return nil
}
