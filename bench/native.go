package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"sort"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// A side is one client of the native suite: the hub, or nats.go as it is.
type side interface {
	// publish sends n payloads and returns when the server has them.
	publish(ctx context.Context, subject string, payload []byte, n int) error
	// subscribe calls got with each message, decoded if so asked; it returns when the server
	// knows, and what ends it.
	subscribe(ctx context.Context, subject string, decode bool, got func()) (func() error, error)
	request(ctx context.Context, subject string, payload []byte) error
	// serve answers with what was asked.
	serve(ctx context.Context, subject string) (func() error, error)
	close() error
}

type hubSide struct{ h *hub.Hub }

// variable splits a subject into scope and variable, as a program would have them.
func (s hubSide) variable(subject string) *hub.Variable {
	for i := range subject {
		if subject[i] == '.' {
			return s.h.Scope(subject[:i]).Variable(subject[i+1:])
		}
	}
	return s.h.Scope(subject).Variable("value")
}

func (s hubSide) publish(ctx context.Context, subject string, payload []byte, n int) error {
	v := s.variable(subject)
	for range n {
		if err := v.PubBytes(ctx, payload); err != nil {
			return err
		}
	}
	return s.h.Flush(ctx)
}

func (s hubSide) subscribe(ctx context.Context, subject string, decode bool, got func()) (func() error, error) {
	sub, err := s.variable(subject).Sub(ctx, func(m *hub.Message) {
		if decode {
			if _, ok := m.Value().(map[string]any); !ok {
				return // the count is never reached, and the benchmark fails
			}
		}
		got()
	})
	if err != nil {
		return nil, err
	}
	return sub.Unsubscribe, nil
}

func (s hubSide) request(ctx context.Context, subject string, payload []byte) error {
	m, err := s.variable(subject).Req(ctx, payload)
	if err == nil && len(m.Data) != len(payload) {
		err = fmt.Errorf("answer of %d bytes: want %d", len(m.Data), len(payload))
	}
	return err
}

func (s hubSide) serve(ctx context.Context, subject string) (func() error, error) {
	service, err := s.variable(subject).Serve(ctx, func(_ context.Context, m *hub.Message) (any, error) { return m.Data, nil })
	if err != nil {
		return nil, err
	}
	return service.Unsubscribe, nil
}

func (s hubSide) close() error { return s.h.Close() }

type natsSide struct {
	nc     *nats.Conn
	header nats.Header // of what is published
}

func (s natsSide) publish(ctx context.Context, subject string, payload []byte, n int) error {
	m := &nats.Msg{Subject: subject, Data: payload, Header: s.header}
	for range n {
		if err := s.nc.PublishMsg(m); err != nil {
			return err
		}
	}
	return s.nc.FlushWithContext(ctx)
}

func (s natsSide) subscribe(ctx context.Context, subject string, decode bool, got func()) (func() error, error) {
	sub, err := s.nc.Subscribe(subject, func(m *nats.Msg) {
		if decode {
			var value any
			if json.Unmarshal(m.Data, &value) != nil {
				return
			}
			if _, ok := value.(map[string]any); !ok {
				return
			}
		}
		got()
	})
	if err != nil {
		return nil, err
	}
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return nil, err
	}
	return sub.Unsubscribe, s.nc.FlushWithContext(ctx)
}

func (s natsSide) request(ctx context.Context, subject string, payload []byte) error {
	m, err := s.nc.RequestWithContext(ctx, subject, payload)
	if err == nil && len(m.Data) != len(payload) {
		err = fmt.Errorf("answer of %d bytes: want %d", len(m.Data), len(payload))
	}
	return err
}

func (s natsSide) serve(ctx context.Context, subject string) (func() error, error) {
	sub, err := s.nc.QueueSubscribe(subject, "q", func(m *nats.Msg) { _ = m.Respond(m.Data) })
	if err != nil {
		return nil, err
	}
	return sub.Unsubscribe, s.nc.FlushWithContext(ctx)
}

func (s natsSide) close() error { s.nc.Close(); return nil }

// native is the suite's state: the two sides, and who sends what they receive.
type native struct {
	*env
	ours, peer side
	feeder     *nats.Conn
}

const (
	headedWork = "publish 200k × 55 B, the peer with a header of the same size"
	plainWork  = "publish 200k × 55 B, ours without numbers"
)

// The native suite must have 0.90 of the rate of nats.go, and better all of it.
const nativeMust, nativeGoal = 1 / 0.90, 1.0

func runNative(ctx context.Context, e *env) (err error) {
	h, err := hub.Open(ctx, hub.Config{Servers: []string{e.server.NATS}})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, h.Close()) }()
	if err := h.Connected(ctx); err != nil {
		return err
	}
	nc, err := nats.Connect(e.server.NATS)
	if err != nil {
		return err
	}
	defer nc.Close()
	feeder, err := nats.Connect(e.server.NATS)
	if err != nil {
		return err
	}
	defer feeder.Close()
	bare, err := hub.Open(ctx, hub.Config{Servers: []string{e.server.NATS}, NoNumbers: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bare.Close()) }()
	if err := bare.Connected(ctx); err != nil {
		return err
	}
	n := &native{env: e, ours: hubSide{h}, peer: natsSide{nc: nc}, feeder: feeder}
	// What a header costs is the server's: the same work on equal terms, both ways.
	headed, plain := *n, *n
	headed.peer = natsSide{nc, nats.Header{"Kseq": {"4tZqP0a1.2s3x"}}}
	plain.ours = hubSide{bare}
	publish := n.publishing([]byte(small), e.count(200_000))
	big, huge := make([]byte, 64<<10), make([]byte, 1<<20)
	works := []struct {
		name, unit string
		do         func(context.Context, side) (float64, error)
	}{
		{"publish 200k × 55 B", "ms", publish},
		{"receive 200k × 55 B, bytes", "ms", n.receiving(feed{Count: e.count(200_000)}, 1, false)},
		{"receive 200k × 55 B, decoded", "ms", n.receiving(feed{Count: e.count(200_000)}, 1, true)},
		{"10 subscribers of one variable, 20k", "ms", n.receiving(feed{Count: e.count(20_000)}, 10, false)},
		{"1,000 variables, 100k", "ms", n.receiving(feed{Count: e.count(100_000), Spread: 1000}, 1, false)},
		{"request p50", "µs", n.requesting(e.count(3000), 0.50)},
		{"request p99", "µs", n.requesting(e.count(3000), 0.99)},
		{"request, 64 in flight, 20k", "ms", n.inFlight(e.count(20_000))},
		{"serve, 64 in flight, 20k", "ms", n.serving(e.count(20_000))},
		{"publish 800 × 64 KiB", "ms", n.publishing(big, e.count(800))},
		{"receive 800 × 64 KiB", "ms", n.receiving(feed{Count: e.count(800), Size: len(big)}, 1, false)},
		{"publish 50 × 1 MiB", "ms", n.publishing(huge, e.count(50))},
		{"receive 50 × 1 MiB", "ms", n.receiving(feed{Count: e.count(50), Size: len(huge)}, 1, false)},
	}
	for _, w := range works {
		if !e.wanted(w.name) {
			continue
		}
		if err := n.turnAbout(ctx, w.name, w.unit, w.do); err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
	}
	for name, sides := range map[string]*native{headedWork: &headed, plainWork: &plain} {
		if !e.wanted(name) {
			continue
		}
		if err := sides.turnAbout(ctx, name, "ms", publish); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return n.reads(h)
}

// turnAbout lets each side do the work once for nothing, and then both in turn; every other
// round the peer begins.
func (n *native) turnAbout(ctx context.Context, name, unit string, do func(context.Context, side) (float64, error)) error {
	fmt.Fprintln(n.log, "native:", name)
	r := &result{Suite: "native", Work: name, Unit: unit, PeerIs: "nats.go", Must: nativeMust, Goal: nativeGoal}
	for round := -1; round < 3*n.rounds; round++ { // short, and noisy
		for turn := range 2 {
			s, samples := n.ours, &r.Ours
			if (round+turn)&1 == 0 {
				s, samples = n.peer, &r.Peer
			}
			runtime.GC()
			bounded, cancel := context.WithTimeout(ctx, 2*time.Minute)
			v, err := do(bounded, s)
			cancel()
			if err != nil {
				return fmt.Errorf("%T: %w", s, err)
			}
			if round >= 0 {
				*samples = append(*samples, v)
			}
		}
	}
	n.report.add(r)
	return nil
}

func ms(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func (n *native) publishing(payload []byte, count int) func(context.Context, side) (float64, error) {
	return func(ctx context.Context, s side) (float64, error) {
		start := time.Now()
		err := s.publish(ctx, "bench.publish", payload, count)
		return ms(time.Since(start)), err
	}
}

// receiving measures from the request for the messages to the last callback.
func (n *native) receiving(f feed, subscribers int, decode bool) func(context.Context, side) (float64, error) {
	return func(ctx context.Context, s side) (elapsed float64, err error) {
		f.Subject = "bench.receive"
		var got atomic.Int64
		want := int64(f.Count * subscribers)
		all := make(chan struct{})
		count := func() {
			if got.Add(1) == want {
				close(all)
			}
		}
		subjects := []string{f.Subject}
		if f.Spread > 0 {
			subjects = subjects[:0]
			for i := range f.Spread {
				subjects = append(subjects, f.Subject+"."+strconv.Itoa(i))
			}
		}
		for _, subject := range subjects {
			for range subscribers {
				stop, subErr := s.subscribe(ctx, subject, decode, count)
				if subErr != nil {
					return 0, subErr
				}
				defer func() { err = errors.Join(err, stop()) }()
			}
		}
		ask, err := json.Marshal(f)
		if err != nil {
			return 0, err
		}
		start := time.Now()
		if _, err := n.feeder.RequestWithContext(ctx, feedSubject, ask); err != nil {
			return 0, err
		}
		select {
		case <-all:
			return ms(time.Since(start)), nil
		case <-ctx.Done():
			return 0, fmt.Errorf("%d of %d messages: %w", got.Load(), want, ctx.Err())
		}
	}
}

// requesting measures one request at a time.
func (n *native) requesting(count int, quantile float64) func(context.Context, side) (float64, error) {
	return func(ctx context.Context, s side) (float64, error) {
		took := make([]float64, count)
		for i := range took {
			start := time.Now()
			if err := s.request(ctx, echoSubject, []byte(small)); err != nil {
				return 0, err
			}
			took[i] = float64(time.Since(start)) / float64(time.Microsecond)
		}
		sort.Float64s(took)
		return took[int(float64(count-1)*quantile)], nil
	}
}

// inFlight measures count requests, 64 at a time.
func (n *native) inFlight(count int) func(context.Context, side) (float64, error) {
	return func(ctx context.Context, s side) (float64, error) { return requests64(ctx, s, echoSubject, count) }
}

func requests64(ctx context.Context, s side, subject string, count int) (float64, error) {
	var left atomic.Int64
	left.Store(int64(count))
	failures := make(chan error, 64)
	var wg sync.WaitGroup
	start := time.Now()
	for range 64 {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := s.request(ctx, subject, []byte(small)); err != nil {
					failures <- err
					return
				}
			}
		})
	}
	wg.Wait()
	took := ms(time.Since(start))
	select {
	case err := <-failures:
		return 0, err
	default:
		return took, nil
	}
}

// serving measures a side that answers, asked by nats.go.
func (n *native) serving(count int) func(context.Context, side) (float64, error) {
	return func(ctx context.Context, s side) (took float64, err error) {
		stop, err := s.serve(ctx, "bench.service")
		if err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, stop()) }()
		return requests64(ctx, natsSide{nc: n.feeder}, "bench.service", count)
	}
}

// reads measures variable.Value, which has no counterpart in nats.go.
func (n *native) reads(h *hub.Hub) error {
	const name = "reads of Variable.Value"
	if !n.wanted(name) {
		return nil
	}
	v := h.Scope("bench").Variable("read")
	if err := v.Pub(context.Background(), json.RawMessage(small)); err != nil {
		return err
	}
	r := &result{Suite: "native", Work: name, Unit: "/s"}
	count := n.count(200_000)
	for range n.rounds {
		start := time.Now()
		for range count {
			if _, ok := v.Value().(map[string]any); !ok {
				return fmt.Errorf("value is %T", v.Value())
			}
		}
		r.Ours = append(r.Ours, float64(count)/time.Since(start).Seconds())
	}
	n.report.add(r)
	return nil
}
