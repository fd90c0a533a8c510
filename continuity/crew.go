package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/kinopio-hub/kinopio-hub/v3/continuity/ledger"
)

// A crew are the peers that a subject has to do with: they stay where they are.
type crew interface {
	// arrive sets a peer to work at a place that has become reachable.
	arrive(ctx context.Context, at place) error
	// rest ends the work at a place that will go, or has gone, with nothing of the peers' left on its way.
	// sent is what the subject has published so far. It returns how many pairs the subject must hear from there.
	rest(ctx context.Context, name string, sent map[string]int) (map[string]int, error)
	// depart takes the peer away that has rested.
	depart(name string)
	// settle returns when it is known what has become of all that was asked so far.
	settle(ctx context.Context) error
	// tally completes what the subject has counted.
	tally(r report) tally
	// mark begins to look for the longest pause between two messages or answers.
	mark()
	// defects says where something was lost, repeated or reordered, and what failed first.
	defects() []string
	// close ends all.
	close()
}

// A place is where members of the crew are.
type place struct {
	name      string
	at        *station
	addresses []string // host:port, the place's own first, and where a hub goes that loses it
}

// tally is what became of a row's messages.
type tally struct {
	ledger.Counts
	Failed  int
	Missing int // messages that did not come, as the receivers' hubs say
	GapMs   float64
}

func newCrew(s setup) crew {
	switch s.role {
	case subscriber:
		return &sources{setup: s, at: map[string]*source{}}
	case publisher:
		return &listeners{setup: s, at: map[string]*listener{}}
	case service:
		return &callers{setup: s, at: map[string]*caller{}}
	}
	return &responders{setup: s, at: map[string]peer{}}
}

// Places. Others than these are there all the time, as the lasting one.
const (
	lasting = "backbone"
	passing = "passing" // a leaf that is started and ended
)

// sources publish for a subscriber, half of the rate each.
type sources struct {
	setup setup
	at    map[string]*source
}

type source struct {
	peer   peer
	cancel context.CancelFunc
	done   chan struct{}
	pairs  int // so far; belongs to the goroutine until done
	err    error
}

func (c *sources) arrive(ctx context.Context, at place) error {
	s := c.at[at.name]
	if s == nil {
		s = &source{}
		c.at[at.name] = s
	}
	if err := until("the subscriptions to be known at "+at.name, c.setup.patience, func() bool {
		for i := range c.setup.subjects {
			if at.at.GlobalAccount().Interest(streamName(i, at.name)) == 0 {
				return false
			}
		}
		return true
	}); err != nil {
		return err
	}
	p, err := c.setup.dial(ctx, at.addresses...)
	if err != nil {
		return err
	}
	working, cancel := context.WithCancel(context.Background())
	s.peer, s.cancel, s.done = p, cancel, make(chan struct{})
	go func() {
		defer close(s.done)
		s.pairs, s.err = paced(working, s.pairs, c.setup.rate/4, func(pair int) error {
			name := streamName(pair%c.setup.subjects, at.name)
			return errors.Join(p.publish(name, []byte(strconv.Itoa(pair/c.setup.subjects))), p.publish(name, []byte(ledger.Same)))
		})
	}()
	return nil
}

func (c *sources) rest(ctx context.Context, name string, _ map[string]int) (map[string]int, error) {
	s := c.at[name]
	if s == nil || s.peer == nil {
		return nil, nil
	}
	s.cancel()
	<-s.done
	if err := errors.Join(s.err, s.peer.flush(ctx)); err != nil {
		return nil, fmt.Errorf("publish at %s: %w", name, err)
	}
	return pairsOf(name, c.setup.subjects, s.pairs), nil
}

func (c *sources) depart(name string) {
	if s := c.at[name]; s != nil && s.peer != nil {
		s.cancel()
		<-s.done
		s.peer.close()
		s.peer = nil
	}
}

func (c *sources) settle(context.Context) error { return nil }
func (c *sources) tally(r report) tally         { return r.tally() }
func (c *sources) mark()                        {}
func (c *sources) defects() []string            { return nil }

func (c *sources) close() {
	for name := range c.at {
		c.depart(name)
	}
}

// responders serve what a requester asks, wherever a server stays.
type responders struct {
	setup   setup
	handled ledger.Calls
	at      map[string]peer
}

func (c *responders) arrive(ctx context.Context, at place) error {
	if at.name == passing {
		return nil // a responder that left would fail requests by itself
	}
	p, err := c.setup.dial(ctx, at.addresses...)
	if err != nil {
		return err
	}
	c.at[at.name] = p
	return p.serve(served, func(payload []byte) ([]byte, error) {
		caller, n, err := parseCall(payload)
		if err == nil {
			c.handled.Take(caller, n)
		}
		return payload, err
	})
}

func (c *responders) rest(context.Context, string, map[string]int) (map[string]int, error) {
	return nil, nil
}
func (c *responders) settle(context.Context) error { return nil }
func (c *responders) depart(string)                {}
func (c *responders) mark()                        {}
func (c *responders) defects() []string            { return nil }

// tally: of what was handled by several servers, the order says nothing; the answers' does.
func (c *responders) tally(r report) tally {
	t := r.tally()
	t.Repeated += c.handled.Total().Repeated
	return t
}

func (c *responders) close() {
	for _, p := range c.at {
		p.close()
	}
}
