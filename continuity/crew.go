package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/kinopio-hub/kinopio-hub/continuity/ledger"
)

// lostAfter is after which time without any message what has not come is lost, and after
// which a request has failed.
const lostAfter = 5 * time.Second

// A crew are the plain NATS clients that a subject has to do with: they stay where they are.
type crew interface {
	// arrive sets a client to work at a place that has become reachable.
	arrive(ctx context.Context, place string, at *station) error
	// depart ends the work at a place that will go, with nothing left on its way. It returns
	// how many pairs the subject must have heard from there.
	depart(ctx context.Context, place string) (map[string]int, error)
	// tally completes what the subject has counted.
	tally(r report) tally
	// close ends all.
	close()
}

// tally is what became of a row's messages.
type tally struct {
	ledger.Counts
	Failed int
	GapMs  float64
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
	return &responders{at: map[string]*nats.Conn{}}
}

// Places. Others than these are there all the time, as the lasting one.
const (
	lasting = "backbone"
	passing = "passing" // a leaf that is started and ended
)

func dial(address string) (*nats.Conn, error) {
	return nats.Connect("nats://"+address, nats.NoReconnect(), nats.Timeout(patience))
}

// sources publish for a subscriber, half of the rate each.
type sources struct {
	setup setup
	at    map[string]*source
}

type source struct {
	conn   *nats.Conn
	cancel context.CancelFunc
	done   chan struct{}
	pairs  int // so far; belongs to the goroutine until done
	err    error
}

func (c *sources) arrive(_ context.Context, place string, at *station) error {
	s := c.at[place]
	if s == nil {
		s = &source{}
		c.at[place] = s
	}
	if err := until("the subscriptions to be known at "+place, func() bool {
		for i := range c.setup.subjects {
			if at.GlobalAccount().Interest(streamName(i, place)) == 0 {
				return false
			}
		}
		return true
	}); err != nil {
		return err
	}
	conn, err := dial(at.client)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.conn, s.cancel, s.done = conn, cancel, make(chan struct{})
	go func() {
		defer close(s.done)
		s.pairs, s.err = paced(ctx, s.pairs, c.setup.rate/4, func(pair int) error {
			name := streamName(pair%c.setup.subjects, place)
			return errors.Join(conn.Publish(name, []byte(strconv.Itoa(pair/c.setup.subjects))), conn.Publish(name, []byte(ledger.Same)))
		})
	}()
	return nil
}

func (c *sources) depart(_ context.Context, place string) (map[string]int, error) {
	s := c.at[place]
	if s == nil || s.conn == nil {
		return nil, nil
	}
	s.cancel()
	<-s.done
	err := errors.Join(s.err, s.conn.FlushTimeout(patience))
	s.conn.Close()
	s.conn = nil
	if err != nil {
		return nil, fmt.Errorf("publish at %s: %w", place, err)
	}
	return pairsOf(place, c.setup.subjects, s.pairs), nil
}

func (c *sources) tally(r report) tally { return tally{r.Counts, r.Failed, r.GapMs} }

func (c *sources) close() {
	for place := range c.at {
		_, _ = c.depart(context.Background(), place) // after a failure, which is told already
	}
}

// listeners hear what a publisher publishes.
type listeners struct {
	setup setup
	at    map[string]*listener
	gone  ledger.Counts
}

type listener struct {
	conn *nats.Conn
	book ledger.Book
}

func (c *listeners) arrive(_ context.Context, place string, at *station) error {
	conn, err := dial(at.client)
	if err != nil {
		return err
	}
	l := &listener{conn: conn}
	l.book.Midway = place != lasting
	sub, err := conn.Subscribe(streamsOf(moving), func(m *nats.Msg) { l.book.Take(m.Subject, m.Data) })
	if err == nil {
		err = errors.Join(sub.SetPendingLimits(-1, -1), conn.FlushTimeout(patience))
	}
	c.at[place] = l
	if err != nil || !l.book.Midway {
		return err
	}
	return until("the publisher to be heard at "+place, func() bool { return l.book.Heard() == c.setup.subjects })
}

// streamsOf are all streams of one publisher.
func streamsOf(who string) string { return "c.*." + who }

func (c *listeners) depart(_ context.Context, place string) (map[string]int, error) {
	if l := c.at[place]; l != nil && place != lasting {
		l.conn.Close()
		c.gone = c.gone.Plus(l.book.Total())
		delete(c.at, place)
	}
	return nil, nil
}

// finish waits for what was published to be heard at the lasting places.
func (c *listeners) finish(ctx context.Context, sent map[string]int) {
	for _, l := range c.at {
		l.book.End(ctx, sent, lostAfter)
	}
}

func (c *listeners) tally(r report) tally {
	t := tally{Counts: c.gone, Failed: r.Failed}
	for _, l := range c.at {
		t.Counts = t.Counts.Plus(l.book.Total())
	}
	if l := c.at[lasting]; l != nil {
		t.GapMs = ms(l.book.Gap())
	}
	return t
}

func (c *listeners) defects() (lines []string) {
	for place, l := range c.at {
		for _, line := range l.book.Defects() {
			lines = append(lines, place+" hears "+line)
		}
	}
	return lines
}

func (c *listeners) mark() { c.at[lasting].book.Mark() }

func (c *listeners) close() {
	for _, l := range c.at {
		l.conn.Close()
	}
}

// callers request of a service, half of the rate each.
type callers struct {
	setup  setup
	at     map[string]*caller
	mu     sync.Mutex // guards what callbacks count
	failed int
	why    string
}

type caller struct {
	conn     *nats.Conn
	cancel   context.CancelFunc
	done     chan struct{}
	err      error
	asked    int
	open     atomic.Int64
	answered ledger.Calls
}

func (c *callers) arrive(_ context.Context, place string, at *station) error {
	r := c.at[place]
	if r == nil {
		r = &caller{}
		c.at[place] = r
	}
	conn, err := dial(at.client)
	if err != nil {
		return err
	}
	inbox := nats.NewInbox() + "."
	if _, err = conn.Subscribe(inbox+"*", func(m *nats.Msg) { c.answer(r, place, strings.TrimPrefix(m.Subject, inbox), m) }); err != nil {
		return err
	}
	// Until the place knows of the service, requests there fail by right.
	if err = until("the service to be known at "+place, func() bool {
		_, err := conn.Request(served, []byte("trial:"+strconv.FormatInt(serial.Add(1), 10)), time.Second)
		return err == nil
	}); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	r.conn, r.cancel, r.done = conn, cancel, make(chan struct{})
	go func() {
		defer close(r.done)
		r.asked, r.err = paced(ctx, r.asked, c.setup.rate/2, func(n int) error {
			r.open.Add(1)
			return conn.PublishRequest(served, inbox+strconv.Itoa(n), []byte(place+":"+strconv.Itoa(n)))
		})
	}()
	return nil
}

func (c *callers) answer(r *caller, place, token string, m *nats.Msg) {
	n, err := strconv.Atoi(token)
	if want := place + ":" + token; err == nil && string(m.Data) != want {
		err = fmt.Errorf("the answer to %s is %q %v", want, m.Data, m.Header)
	}
	if err == nil {
		r.answered.Take(place, n)
	} else {
		c.mu.Lock()
		c.failed++
		if c.why == "" {
			c.why = err.Error()
		}
		c.mu.Unlock()
	}
	r.open.Add(-1)
}

func (c *callers) depart(_ context.Context, place string) (map[string]int, error) {
	r := c.at[place]
	if r == nil || r.conn == nil {
		return nil, nil
	}
	r.cancel()
	<-r.done
	for deadline := time.Now().Add(lostAfter); r.open.Load() > 0 && time.Now().Before(deadline); {
		time.Sleep(2 * time.Millisecond)
	}
	r.conn.Close()
	r.conn = nil
	if n := r.open.Swap(0); n > 0 {
		c.mu.Lock()
		c.failed += int(n)
		c.mu.Unlock()
	}
	return nil, r.err
}

// tally: a request without a good answer failed; one that was never handled is not told apart.
func (c *callers) tally(r report) tally {
	t := tally{Counts: r.Counts}
	c.mu.Lock()
	t.Failed = r.Failed + c.failed
	c.mu.Unlock()
	for place, r := range c.at {
		t.Repeated += r.answered.Total().Repeated
		if place == lasting {
			t.GapMs = ms(r.answered.Gap())
		}
	}
	return t
}

func (c *callers) close() {
	for place := range c.at {
		_, _ = c.depart(context.Background(), place) // after a failure, which is told already
	}
}

// responders serve what a requester asks, wherever a server stays.
type responders struct {
	handled ledger.Calls
	at      map[string]*nats.Conn
}

func (c *responders) arrive(_ context.Context, place string, at *station) error {
	if place == passing {
		return nil // a responder that left would fail requests by itself
	}
	conn, err := dial(at.client)
	if err != nil {
		return err
	}
	c.at[place] = conn
	_, err = conn.QueueSubscribe(served, served+".service", func(m *nats.Msg) {
		if caller, n, err := parseCall(m.Data); err == nil {
			c.handled.Take(caller, n)
			_ = m.Respond(m.Data) // a request without an answer fails
		}
	})
	return errors.Join(err, conn.FlushTimeout(patience))
}

func (c *responders) depart(context.Context, string) (map[string]int, error) { return nil, nil }

// tally: of what was handled by several servers, the order says nothing; the answers' does.
func (c *responders) tally(r report) tally {
	t := tally{Counts: r.Counts, Failed: r.Failed, GapMs: r.GapMs}
	t.Repeated += c.handled.Total().Repeated
	t.Reordered += c.handled.Total().Reordered
	return t
}

func (c *responders) close() {
	for _, conn := range c.at {
		conn.Close()
	}
}
