package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// ended is a context in which nothing is waited for.
var ended = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// hub does what a step asks of a hub.
func (r *run) hub(ctx context.Context, s step, h *testHub, verb, target string) error {
	simple := func(do func(context.Context) error) error {
		return r.finish(ctx, s, func(ctx context.Context) outcome {
			if s.Timeout > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, time.Duration(s.Timeout)*time.Millisecond)
				defer cancel()
			}
			return outcome{err: do(ctx)}
		})
	}
	switch verb {
	case "connect":
		return simple(func(context.Context) error { return h.Connect() })
	case "connected":
		return simple(h.Connected)
	case "reconnect":
		return simple(h.Reconnect)
	case "flush":
		return simple(h.Flush)
	case "dispose":
		return simple(func(context.Context) error { return h.Close() })
	case "observe": // the state, with a callback that throws
		h.OnStateChange(func(hub.State) { panic("thrown by an observer") })
		return nil
	case "state":
		return eventually(ctx, func() error { return same(string(h.State()), s.Is, 0) })
	case "states":
		got, err := h.states.take(ctx, len(s.Are))
		if err != nil {
			return err
		}
		for i, want := range s.Are {
			if got[i].value != want {
				return fmt.Errorf("state %d: got %s, want %q", i+1, list(got), s.Are)
			}
		}
		return nil
	case "errors":
		got, err := h.errors.take(ctx, len(s.Are))
		if err != nil {
			return err
		}
		for i, want := range s.Are {
			if !strings.HasPrefix(got[i].value.(string), want+":") {
				return fmt.Errorf("error %d: got %s, want %q", i+1, list(got), s.Are)
			}
		}
		for _, text := range s.Naming {
			if !strings.Contains(list(got), text) {
				return fmt.Errorf("got %s, want it to name %q", list(got), text)
			}
		}
		return nil
	case "missing":
		return h.missing.gets(ctx, s)
	case "logs":
		return eventually(ctx, func() error { return s.logs(h.logs.left()) })
	case "status":
		return eventually(ctx, func() error { return s.hasFields(status(h)) })
	case "health":
		return r.health(ctx, s, h)
	}
	v, err := variable(h, s, target)
	if err != nil {
		return err
	}
	return r.variable(ctx, s, h, v, verb)
}

// logs wants each text in some line, and others in none.
func (s step) logs(lines []record) error {
	var all strings.Builder
	for _, line := range lines {
		all.WriteString(line.value.(string))
	}
	for _, text := range s.Naming {
		if !strings.Contains(all.String(), text) {
			return fmt.Errorf("no line of the log names %q: %s", text, list(lines))
		}
	}
	for _, text := range s.NotNaming {
		if strings.Contains(all.String(), text) {
			return fmt.Errorf("a line of the log names %q", text)
		}
	}
	return nil
}

// variable finds scope/…/variable by the names.
func variable(h *testHub, s step, target string) (*hub.Variable, error) {
	names := s.At
	if names == nil {
		names = strings.Split(target, "/")
	}
	if len(names) < 2 {
		return nil, fmt.Errorf("%q is no variable: want scope/variable", target)
	}
	scope := h.Scope(names[0])
	for _, name := range names[1 : len(names)-1] {
		scope = scope.Scope(name)
	}
	var opts []hub.VariableOptions
	if s.With == "distinct" {
		opts = append(opts, hub.VariableOptions{Distinct: true})
	}
	return scope.Variable(names[len(names)-1], opts...), nil
}

// variable does what a step asks of a variable.
func (r *run) variable(ctx context.Context, s step, h *testHub, v *hub.Variable, verb string) error {
	bounded := func(ctx context.Context) (context.Context, context.CancelFunc) {
		if s.Timeout > 0 {
			return context.WithTimeout(ctx, time.Duration(s.Timeout)*time.Millisecond)
		}
		return ctx, func() {}
	}
	switch verb {
	case "get": // makes the variable, which follows its subject from then on
		return nil
	case "pub":
		if s.With == "load" {
			return r.load(s, v)
		}
		return r.finish(ctx, s, func(ctx context.Context) outcome { return outcome{err: publish(ctx, s, h, v)} })
	case "req":
		return r.finish(ctx, s, func(ctx context.Context) outcome {
			ctx, cancel := bounded(ctx)
			defer cancel()
			m, err := v.Req(ctx, revive(s.Value, 0), hub.PubOptions{Header: s.Headers})
			if err != nil {
				return outcome{err: err}
			}
			rec := recordOf(m)
			return outcome{value: m.Value(), wire: &rec}
		})
	case "reqMany":
		return r.finish(ctx, s, func(ctx context.Context) outcome {
			answers, err := v.ReqMany(ctx, revive(s.Value, 0), hub.ReqManyOptions{Max: s.Max, Window: time.Duration(s.Window) * time.Millisecond, Header: s.Headers})
			o := outcome{err: err, many: []any{}}
			for _, m := range answers {
				o.many = append(o.many, m.Value())
			}
			return o
		})
	case "value":
		return eventually(ctx, func() error { return same(v.Value(), s.Is, 0) })
	case "ready":
		return r.finish(ctx, s, func(ctx context.Context) outcome {
			ctx, cancel := bounded(ctx)
			defer cancel()
			err := v.Ready(ctx)
			return outcome{value: v.Value(), err: err}
		})
	case "release":
		v.Release()
		return nil
	case "watch":
		b := newBox()
		stop, err := v.Watch(func(value any) {
			b.put(record{value: value})
			if s.With == "throw" {
				panic("thrown by a watcher")
			}
		})
		r.handles[s.As] = &handle{box: b, end: stop}
		return s.check(outcome{err: err})
	case "change":
		b := newBox()
		stop, err := v.OnChange(func(c hub.Change) { b.put(record{value: []any{c.Value, c.Exists}}) })
		r.handles[s.As] = &handle{box: b, end: stop}
		return s.check(outcome{err: err})
	case "set":
		return r.finish(ctx, s, func(ctx context.Context) outcome {
			return outcome{err: repeated(s, func(i int) error {
				ctx, cancel := bounded(ctx)
				defer cancel()
				return v.Set(ctx, revive(s.Value, i))
			})}
		})
	case "delete":
		return r.finish(ctx, s, func(ctx context.Context) outcome {
			ctx, cancel := bounded(ctx)
			defer cancel()
			return outcome{err: v.Delete(ctx)}
		})
	case "meta":
		return eventually(ctx, func() error { return s.hasFields(meta(v)) })
	case "agrees":
		other := r.hubs[s.With]
		if other == nil {
			return fmt.Errorf("there is no hub %q", s.With)
		}
		theirs, err := variable(other, step{At: s.At}, strings.Fields(s.Do)[2])
		if err != nil {
			return err
		}
		return eventually(ctx, func() error { return agree(v, theirs) })
	case "sub":
		return r.sub(ctx, s, v)
	case "iterate":
		return r.iterate(ctx, s, h, v)
	case "serve":
		return r.serve(ctx, s, v)
	}
	return fmt.Errorf("a variable has no verb %q", verb)
}

func publish(ctx context.Context, s step, h *testHub, v *hub.Variable) error {
	opts := hub.PubOptions{Header: s.Headers, Reply: s.Reply, Distinct: s.Distinct}
	if !s.Together {
		for i := range max(s.Times, 1) {
			if err := v.Pub(ctx, revive(s.Value, i), opts); err != nil {
				return err
			}
		}
		return nil
	}
	var errs []error
	for i := range s.Times {
		data, err := json.Marshal(revive(s.Value, i))
		if err != nil {
			return err
		}
		errs = append(errs, h.Publish(hub.OutMsg{Subject: v.Subject(), Data: data}))
	}
	return errors.Join(append(errs, h.Flush(ctx))...)
}

// load publishes 0, 1, 2 … each after the server has the one before, until the handle ends.
func (r *run) load(s step, v *hub.Variable) error {
	ctx, cancel := context.WithCancel(r.ctx)
	h := r.hubs[strings.Fields(s.Do)[0]]
	done := make(chan outcome, 1)
	r.wg.Go(func() {
		for i := 0; ctx.Err() == nil; i++ {
			if err := v.Pub(r.ctx, i); err != nil {
				done <- outcome{err: err}
				return
			}
			_ = h.Flush(ctx) // paces; the connection may have been lost
		}
		done <- outcome{}
	})
	r.handles[s.As] = &handle{outcome: done, end: cancel}
	return nil
}

// repeated does something as often as a step says.
func repeated(s step, do func(i int) error) error {
	for i := range max(s.Times, 1) {
		if err := do(i); err != nil {
			return err
		}
	}
	return nil
}

// meta is what a value is, under JavaScript's names.
func meta(v *hub.Variable) map[string]any {
	m := v.Meta()
	return map[string]any{"exists": m.Exists, "known": m.Known, "version": float64(m.Counter), "writer": m.Writer, "pending": m.Pending}
}

// agree wants two hubs to have the same value, of the same version.
func agree(a, b *hub.Variable) error {
	mine, theirs := display([]any{a.Value(), meta(a)}), display([]any{b.Value(), meta(b)})
	if mine != theirs {
		return fmt.Errorf("the one has %s, the other %s", mine, theirs)
	}
	return nil
}

func recordOf(m *hub.Message) record {
	return record{value: m.Value(), subject: m.Subject, reply: m.Reply, headers: m.Header, bytes: m.Data}
}

// eventually waits until what holds.
func eventually(ctx context.Context, what func() error) error {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		err := what()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

// status is what a hub says of itself, under JavaScript's names.
func status(h *testHub) map[string]any {
	s := h.Status()
	code := any(nil)
	if s.LastError != nil {
		code = hub.Code(s.LastError)
	}
	return map[string]any{
		"state": string(s.State), "server": s.Server, "via": s.Via, "maxPayload": float64(s.MaxPayload), "moves": float64(s.Moves),
		"reconnects": float64(s.Reconnects), "subscriptions": float64(s.Subscriptions), "pendingBytes": float64(s.PendingBytes),
		"lastError": code, "missing": float64(s.Missing), "repairing": float64(s.Repairing), "phase": string(s.Phase), "isolated": s.Isolated,
	}
}

func (s step) hasFields(got map[string]any) error {
	for name, want := range s.Has {
		if err := same(got[name], want, 0); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// health waits for a report that says what the step wants.
func (r *run) health(ctx context.Context, s step, h *testHub) error {
	reports := newBox()
	defer h.OnHealth(func(r hub.Health) {
		reports.put(record{value: map[string]any{
			"state": string(r.State), "reconnects": float64(r.Reconnects), "moves": float64(r.Moves),
			"inMessages": float64(r.InMessages), "outMessages": float64(r.OutMessages), "inBytes": float64(r.InBytes),
			"outBytes": float64(r.OutBytes), "subscriptions": float64(r.Subscriptions), "pendingBytes": float64(r.PendingBytes),
			"server": r.Server != "", "rttMs": r.RTT > 0,
		}})
	})()
	var last error
	for {
		got, err := reports.take(ctx, 1)
		if err != nil {
			return errors.Join(last, err)
		}
		if last = s.hasFields(got[0].value.(map[string]any)); last == nil {
			return nil
		}
	}
}
