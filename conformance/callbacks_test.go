package conformance

import (
	"context"
	"fmt"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// keep makes the handle of a subscription or service; its messages go to its own box, or to
// that of the handle that Into names.
func (r *run) keep(s step, h *handle) *handle {
	h.box, h.gate = newBox(), newGate()
	if s.Into != "" {
		h.box = r.handles[s.Into].box
	}
	if s.As != "" {
		r.handles[s.As] = h
	}
	return h
}

// sub subscribes with one of the canned callbacks.
func (r *run) sub(ctx context.Context, s step, v *hub.Variable) error {
	if err := known(s.With, "", "throw", "throw once", "respond", "echo", "unsubscribe", "hold", "distinct"); err != nil {
		return err
	}
	h := r.keep(s, &handle{})
	itself := make(chan *hub.Subscription, 1)
	thrown := false
	callback := func(m *hub.Message) {
		if s.With == "hold" {
			h.gate.hold(r.ctx)
		}
		h.box.put(recordOf(m))
		switch s.With {
		case "throw":
			panic("thrown by a callback")
		case "throw once":
			if !thrown {
				thrown = true
				panic("thrown by a callback")
			}
		case "respond", "echo":
			answer := revive(s.Value, 0)
			if s.With == "echo" {
				answer = m.Value()
			}
			if err := m.Respond(answer); err != nil {
				h.box.put(record{value: hub.Code(err)})
			}
		case "unsubscribe":
			sub := <-itself
			_ = sub.Unsubscribe() // cannot fail
			itself <- sub
		}
	}
	return r.finish(ctx, s, func(ctx context.Context) outcome {
		sub, err := v.Sub(ctx, callback, hub.SubOptions{Queue: s.Queue, Max: s.Max, Conflate: s.Conflate, Arrival: s.Order == "arrival"})
		if err == nil {
			h.end = func() { _ = sub.Unsubscribe() }
			h.drain, h.done = sub.Drain, sub.Done()
			itself <- sub
		}
		return outcome{err: err}
	})
}

// iterate takes Max messages in a loop over the subscription, and leaves it.
func (r *run) iterate(ctx context.Context, s step, h *testHub, v *hub.Variable) error {
	handle := r.keep(s, &handle{outcome: make(chan outcome, 1)})
	begun := make(chan struct{})
	r.wg.Go(func() {
		n := 0
		close(begun)
		for m, err := range h.Messages(r.ctx, v.Subject(), hub.SubOptions{Queue: s.Queue}) {
			if err != nil {
				handle.outcome <- outcome{err: err}
				return
			}
			handle.box.put(recordOf(m))
			if n++; n == s.Max {
				break
			}
		}
		handle.outcome <- outcome{value: float64(n)}
	})
	select { // the loop subscribes when its goroutine runs
	case <-begun:
		time.Sleep(50 * time.Millisecond)
	case <-ctx.Done():
		return ctx.Err()
	}
	return h.Flush(ctx)
}

// serve answers with one of the canned handlers.
func (r *run) serve(ctx context.Context, s step, v *hub.Variable) error {
	if err := known(s.With, "echo", "double", "throw", "nothing", "give", "hold", "refuse", "name"); err != nil {
		return err
	}
	h := r.keep(s, &handle{})
	handler := func(ctx context.Context, m *hub.Message) (any, error) {
		switch s.With {
		case "double":
			n, ok := m.Value().(float64)
			if !ok {
				return nil, fmt.Errorf("not a number: %s", display(m.Value()))
			}
			return 2 * n, nil
		case "throw":
			return nil, &hub.ServiceError{Code: s.Code, Message: *s.Text}
		case "nothing":
			return nil, nil
		case "give":
			return revive(s.Value, 0), nil
		case "hold":
			h.gate.hold(ctx)
		case "refuse":
			return func() {}, nil
		case "name":
			return m.Subject, nil
		}
		return m.Value(), nil
	}
	if s.With == "throw" && s.Code == "" {
		handler = func(context.Context, *hub.Message) (any, error) { return nil, fmt.Errorf("%s", *s.Text) }
	}
	return r.finish(ctx, s, func(ctx context.Context) outcome {
		sub, err := v.Serve(ctx, handler, hub.ServeOptions{Queue: s.Queue, Concurrency: s.Concurrency})
		if err == nil {
			h.end = func() { _ = sub.Unsubscribe() }
			h.drain, h.done = sub.Drain, sub.Done()
		}
		return outcome{err: err}
	})
}

func known(word string, words ...string) error {
	for _, w := range words {
		if w == word {
			return nil
		}
	}
	return fmt.Errorf("with %q: want one of %q", word, words)
}
