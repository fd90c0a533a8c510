package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"
)

// A record is a message, a value or another event that a handle has got.
type record struct {
	value   any
	subject string
	reply   string
	headers map[string][]string
	bytes   []byte
}

// A box collects records in the order in which they came.
type box struct {
	mu      sync.Mutex
	records []record
	changed chan struct{}
	// forgetful: what nobody asked for is no failure.
	forgetful bool
}

func newBox() *box { return &box{changed: make(chan struct{})} }

func (b *box) put(r record) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.records = append(b.records, r)
	close(b.changed)
	b.changed = make(chan struct{})
}

// take waits for n records and removes them.
func (b *box) take(ctx context.Context, n int) ([]record, error) {
	for {
		b.mu.Lock()
		if len(b.records) >= n {
			taken := b.records[:n:n]
			b.records = b.records[n:]
			b.mu.Unlock()
			return taken, nil
		}
		have, changed := slices.Clone(b.records), b.changed
		b.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, fmt.Errorf("got only %d of %d: %s", len(have), n, list(have))
		}
	}
}

// forget lets the box take whatever has come and may come.
func (b *box) forget() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.records, b.forgetful = nil, true
}

// left is what nobody has asked for.
func (b *box) left() []record {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.forgetful {
		return nil
	}
	return b.records
}

func list(records []record) string {
	values := []any{}
	for _, r := range records[:min(len(records), 10)] {
		if len(r.bytes) > 0 && r.value == nil {
			values = append(values, string(r.bytes))
		} else {
			values = append(values, r.value)
		}
	}
	return display(values)
}

// gets compares what a box has got with what a scenario wants.
func (b *box) gets(ctx context.Context, s step) error {
	if s.Until != nil {
		return b.increases(ctx, s)
	}
	wants := s.Messages
	for _, value := range s.Values {
		wants = append(wants, wireMessage{Value: value})
	}
	if s.Range != nil {
		for i := s.Range[0]; i < s.Range[1]; i++ {
			wants = append(wants, wireMessage{Value: json.RawMessage(fmt.Sprint(i))})
		}
	}
	if len(wants) == 0 {
		return fmt.Errorf("want values, messages, range or until")
	}
	got, err := b.take(ctx, len(wants))
	if err != nil {
		return err
	}
	for i, want := range wants {
		if s.AnyOrder {
			found := slices.IndexFunc(got, func(r record) bool { return want.matches(r) == nil })
			if found < 0 {
				return fmt.Errorf("got %s, which lacks %s", list(got), display(want))
			}
			got = slices.Delete(slices.Clone(got), found, found+1)
		} else if err := want.matches(got[i]); err != nil {
			return fmt.Errorf("message %d of %d: %w", i+1, len(wants), err)
		}
	}
	return nil
}

// increases takes numbers, each greater than the one before, until the last value comes; with
// All every number from 0.
func (b *box) increases(ctx context.Context, s step) error {
	last := -1.0
	for {
		got, err := b.take(ctx, 1)
		if err != nil {
			return err
		}
		if same(got[0].value, s.Until, 0) == nil {
			return nil
		}
		n, ok := got[0].value.(float64)
		if !ok || n <= last {
			return fmt.Errorf("got %s after %v, want increasing numbers until %s", display(got[0].value), last, s.Until)
		}
		if s.All && n != last+1 {
			return fmt.Errorf("%v is lost: got %v after %v", last+1, n, last)
		}
		last = n
	}
}

// A gate holds handlers until it is released, and counts them.
type gate struct {
	mu            sync.Mutex
	open          chan struct{}
	running, peak int
	changed       chan struct{}
}

func newGate() *gate { return &gate{open: make(chan struct{}), changed: make(chan struct{})} }

func (g *gate) hold(ctx context.Context) {
	g.count(1)
	defer g.count(-1)
	select {
	case <-g.open:
	case <-ctx.Done():
	}
}

func (g *gate) count(by int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.running += by
	g.peak = max(g.peak, g.running)
	close(g.changed)
	g.changed = make(chan struct{})
}

func (g *gate) release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.open:
	default:
		close(g.open)
	}
}

// runs waits until n handlers run.
func (g *gate) runs(ctx context.Context, n int) error {
	for {
		g.mu.Lock()
		running, changed := g.running, g.changed
		g.mu.Unlock()
		if running == n {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("%d handlers run, want %d", running, n)
		}
	}
}

// A handle is what a step made and later steps speak of by its name.
type handle struct {
	box     *box
	gate    *gate
	end     func()                      // unsubscribe, or stop watching
	drain   func(context.Context) error // of a subscription
	done    <-chan struct{}             // of a subscription
	outcome chan outcome                // of a step that was done later
	began   time.Time
}

// An outcome is what came of an operation.
type outcome struct {
	value any
	many  []any
	wire  *record
	err   error
	took  time.Duration
}
