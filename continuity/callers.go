package main

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/continuity/ledger"
)

// callers request of a service, half of the rate each.
type callers struct {
	setup  setup
	at     map[string]*caller
	mu     sync.Mutex // guards what callbacks count
	failed int
	why    string
}

type caller struct {
	peer     peer
	cancel   context.CancelFunc
	done     chan struct{}
	asked    int
	answered ledger.Calls

	mu   sync.Mutex
	wave *atomic.Int64 // requests without an answer or error yet, of those since the last call of settle
}

// asks notes a request, which is over when the function that it returns is called.
func (r *caller) asks() (over func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	wave := r.wave
	wave.Add(1)
	return func() { wave.Add(-1) }
}

// settle returns when all requests so far have an answer, or an error.
func (r *caller) settle(ctx context.Context, limit time.Duration) error {
	r.mu.Lock()
	wave := r.wave
	r.wave = &atomic.Int64{}
	r.mu.Unlock()
	for end := time.Now().Add(limit); wave.Load() > 0; time.Sleep(2 * time.Millisecond) {
		if ctx.Err() != nil || time.Now().After(end) {
			return fmt.Errorf("%d requests have neither an answer nor an error after %v", wave.Load(), limit)
		}
	}
	return nil
}

func (c *callers) arrive(ctx context.Context, at place) error {
	r := c.at[at.name]
	if r == nil {
		r = &caller{wave: &atomic.Int64{}}
		c.at[at.name] = r
	}
	p, err := c.setup.dial(ctx, at.addresses...)
	if err != nil {
		return err
	}
	working, cancel := context.WithCancel(context.Background())
	r.peer, r.cancel, r.done = p, cancel, make(chan struct{})
	// Until the place knows of the service, requests there fail by right.
	if err = until("the service to be known at "+at.name, c.setup.patience, func() bool {
		answered := make(chan error, 1)
		p.request(served, []byte("trial:"+strconv.FormatInt(serial.Add(1), 10)), func(_ []byte, err error) { answered <- err })
		return <-answered == nil
	}); err != nil {
		close(r.done)
		return err
	}
	go func() {
		defer close(r.done)
		r.asked, _ = paced(working, r.asked, c.setup.rate/2, func(n int) error { // this do never fails
			over := r.asks()
			question := at.name + ":" + strconv.Itoa(n)
			p.request(served, []byte(question), func(answer []byte, err error) {
				defer over()
				c.answer(r, at.name, n, question, answer, err)
			})
			return nil
		})
	}()
	return nil
}

func (c *callers) answer(r *caller, place string, n int, question string, answer []byte, err error) {
	if err == nil && string(answer) != question {
		err = fmt.Errorf("the answer to %s is %q", question, answer)
	}
	if err == nil {
		r.answered.Take(place, n)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failed++
	if c.why == "" {
		c.why = err.Error()
	}
}

func (c *callers) rest(ctx context.Context, name string, _ map[string]int) (map[string]int, error) {
	r := c.at[name]
	if r == nil || r.peer == nil {
		return nil, nil
	}
	r.cancel()
	<-r.done
	return nil, r.settle(ctx, 2*c.setup.timeout)
}

func (c *callers) settle(ctx context.Context) error {
	for name, r := range c.at {
		if r.peer == nil {
			continue
		}
		if err := r.settle(ctx, 2*c.setup.timeout); err != nil {
			return fmt.Errorf("at %s: %w", name, err)
		}
	}
	return nil
}

func (c *callers) depart(name string) {
	if r := c.at[name]; r != nil && r.peer != nil {
		r.cancel()
		<-r.done
		r.peer.close()
		r.peer = nil
	}
}

// tally: a request without a good answer failed; one that was never handled is not told apart.
func (c *callers) tally(r report) tally {
	t := r.tally()
	c.mu.Lock()
	t.Failed += c.failed
	c.mu.Unlock()
	for name, r := range c.at {
		t.Repeated += r.answered.Total().Repeated
		if name == lasting {
			t.GapMs = ms(r.answered.Gap())
		}
	}
	return t
}

func (c *callers) defects() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.why == "" {
		return nil
	}
	answered := 0
	for _, r := range c.at {
		answered += r.answered.Total().Messages
	}
	return []string{fmt.Sprintf("%d requests answered, %d failed: %s", answered, c.failed, c.why)}
}

func (c *callers) mark() { c.at[lasting].answered.Mark() }

func (c *callers) close() {
	for name := range c.at {
		c.depart(name)
	}
}
