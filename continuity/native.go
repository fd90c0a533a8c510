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

	"github.com/kinopio-hub/kinopio-hub/v3/continuity/ledger"
	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// native is a subject in this process.
type native struct {
	setup setup
	hub   *hub.Hub
	book  ledger.Book  // of a subscriber
	calls ledger.Calls // handled by a service, or answered to a requester

	cancel context.CancelFunc
	wg     sync.WaitGroup
	sent   atomic.Int64 // pairs or requests
	open   atomic.Int64 // requests without an answer yet

	mu     sync.Mutex
	events []event
	more   chan struct{} // closed with each event
	failed int
	why    string
}

func newNative(s setup) subject { return &native{setup: s, more: make(chan struct{})} }

func (s *native) begin(ctx context.Context) error {
	cfg := hub.Config{Servers: s.setup.servers, Selection: hub.Ordered, ReconnectWait: 10 * time.Millisecond, RetryDelay: 10 * time.Millisecond,
		Standby: s.setup.standby, Timeout: s.setup.timeout}
	if s.setup.manifest != "" {
		cfg.Discovery = hub.Discovery{Enabled: true, ManifestURL: s.setup.manifest, CacheTTL: probeEvery, SwitchTimeout: s.setup.timeout}
	}
	if s.setup.latency {
		cfg.Selection, cfg.Reprobe, cfg.ReprobeGain = hub.Latency, 2*probeEvery, nearer
	}
	h, err := hub.Open(context.WithoutCancel(ctx), cfg)
	if err != nil {
		return err
	}
	s.hub = h
	h.OnMove(s.moved)
	h.OnError(s.trouble)
	ctx, cancel := context.WithTimeout(ctx, s.setup.patience)
	defer cancel()
	if err := h.Connected(ctx); err != nil {
		return err
	}
	switch s.setup.role {
	case subscriber:
		for i := range s.setup.subjects {
			if _, err := h.Subscribe(streamName(i, "*"), hub.SubOptions{}, func(m *hub.Message) { s.book.Take(m.Subject, m.Data) }); err != nil {
				return err
			}
		}
	case service:
		scope, name, _ := strings.Cut(served, ".")
		if _, err := h.Scope(scope).Variable(name).Serve(ctx, func(_ context.Context, m *hub.Message) (any, error) {
			caller, n, err := parseCall(m.Data)
			if err != nil {
				return nil, err
			}
			s.calls.Take(caller, n)
			return m.Data, nil
		}, hub.ServeOptions{Concurrency: 1}); err != nil {
			return err
		}
	}
	return h.Flush(ctx)
}

func (s *native) work(context.Context) error {
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	switch s.setup.role {
	case publisher:
		s.wg.Go(func() { s.publish(ctx) })
	case requester:
		s.wg.Go(func() { s.request(ctx) })
	}
	return nil
}

// publish sends pairs on each subject in turn.
func (s *native) publish(ctx context.Context) {
	n, err := paced(ctx, 0, s.setup.rate/2, func(pair int) error {
		name := streamName(pair%s.setup.subjects, moving)
		for _, payload := range []string{strconv.Itoa(pair / s.setup.subjects), ledger.Same} {
			if err := s.hub.Publish(hub.OutMsg{Subject: name, Data: []byte(payload)}); err != nil {
				s.fail(err) // an error that comes later is trouble's
			}
		}
		s.sent.Store(int64(pair) + 1)
		return nil
	})
	s.sent.Store(int64(n))
	if err != nil {
		s.fail(err)
	}
}

func (s *native) request(ctx context.Context) {
	_, err := paced(ctx, 0, s.setup.rate, func(n int) error {
		s.sent.Store(int64(n) + 1)
		s.open.Add(1)
		question := moving + ":" + strconv.Itoa(n)
		s.hub.Request(hub.OutMsg{Subject: served, Data: []byte(question)}, 0, func(m *hub.Message, err error) {
			defer s.open.Add(-1)
			switch {
			case err != nil:
				s.fail(err)
			case string(m.Data) != question:
				s.fail(fmt.Errorf("the answer to %s is %q", question, m.Data))
			default:
				s.calls.Take(moving, n)
			}
		})
		return nil
	})
	if err != nil {
		s.fail(err)
	}
}

func (s *native) stop(ctx context.Context) error {
	if s.cancel == nil {
		return nil
	}
	s.cancel()
	s.wg.Wait()
	if err := until("the last answers", 2*s.setup.timeout, func() bool { return s.open.Load() == 0 }); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.setup.patience)
	defer cancel()
	return s.hub.Flush(ctx)
}

func (s *native) end(ctx context.Context, pairs map[string]int) error {
	s.book.End(ctx, pairs, s.setup.quiet)
	return ctx.Err()
}

func (s *native) moved(m hub.Move) {
	e := event{From: m.From, To: m.To, Reason: m.Reason, Planned: m.Planned, TookMs: ms(m.Took), HeldMs: ms(m.Held), TripMs: ms(m.Trip)}
	if m.Err != nil {
		e.Error = m.Err.Error()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, e)
	close(s.more)
	s.more = make(chan struct{})
}

func (s *native) event(ctx context.Context, n int) (event, error) {
	for {
		s.mu.Lock()
		events, more := s.events, s.more
		s.mu.Unlock()
		if n < len(events) {
			return events[n], nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return event{}, fmt.Errorf("no change of server: %w; the hub is %+v", ctx.Err(), s.hub.Status())
		}
	}
}

func (s *native) reconnect(ctx context.Context) error { return s.hub.Reconnect(ctx) }

func (s *native) mark(context.Context) error {
	s.book.Mark()
	s.calls.Mark()
	return nil
}

func (s *native) report(context.Context) (report, error) {
	s.mu.Lock()
	r := report{Failed: s.failed, Why: s.why}
	s.mu.Unlock()
	r.Missing = int(s.hub.Status().Missing)
	switch s.setup.role {
	case subscriber:
		r.Counts, r.GapMs = s.book.Total(), ms(s.book.Gap())
		r.Defects = s.book.Defects()
	case publisher:
		r.Sent = pairsOf(moving, s.setup.subjects, int(s.sent.Load()))
	case service:
		r.Counts = s.calls.Total()
		r.Defects = []string{fmt.Sprintf("%d requests handled", r.Counts.Messages)}
	case requester:
		r.Counts, r.Asked, r.GapMs = s.calls.Total(), int(s.sent.Load()), ms(s.calls.Gap())
	}
	return r, nil
}

func (s *native) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed++
	s.note(err)
}

// trouble notes errors that were nobody's return value, such as a server's complaints.
func (s *native) trouble(err error) {
	if errors.Is(err, hub.ErrDisconnected) {
		s.fail(err) // what was published has waited too long
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note(err)
}

func (s *native) note(err error) {
	if s.why == "" {
		s.why = err.Error()
	}
}

func (s *native) close() {
	if s.cancel != nil {
		s.cancel()
	}
	if s.hub != nil {
		_ = s.hub.Close() // it has no error to tell
	}
	s.wg.Wait()
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// parseCall reads a request's payload, "<caller>:<number>".
func parseCall(data []byte) (caller string, n int, err error) {
	caller, number, _ := strings.Cut(string(data), ":")
	if n, err = strconv.Atoi(number); err != nil {
		return "", 0, fmt.Errorf("request %q: want caller:number", data)
	}
	return caller, n, nil
}
