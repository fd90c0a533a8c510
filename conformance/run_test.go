package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/conformance/labapi"
	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// A platform is where the suite runs, and how it reaches its servers.
type platform struct {
	name   string
	scheme string // of the servers' URLs
	lab    string // the lab's URL
}

// run plays one scenario.
type run struct {
	platform platform
	ctx      context.Context
	patience time.Duration
	servers  map[string]*testServer
	hubs     map[string]*testHub
	handles  map[string]*handle
	tls      *hub.TLSConfig
	wg       sync.WaitGroup // what was done later
}

type testServer struct {
	id  int
	url string
}

type testHub struct {
	*hub.Hub
	cancel  context.CancelFunc
	states  *box
	errors  *box
	missing *box
	logs    *box
}

// Write takes a line of the hub's log.
func (b *box) Write(line []byte) (int, error) {
	b.put(record{value: string(line)})
	return len(line), nil
}

// play does what a scenario says; the error tells which step did not hold, and why.
func (p platform) play(ctx context.Context, s scenario) error {
	during, cancel := context.WithCancel(ctx)
	defer cancel()
	r := &run{
		platform: p, ctx: during, patience: s.patience(),
		servers: map[string]*testServer{}, hubs: map[string]*testHub{}, handles: map[string]*handle{},
	}
	err := r.all(s)
	for _, h := range r.handles {
		if h.gate != nil {
			h.gate.release()
		}
	}
	for _, h := range r.hubs {
		_ = h.Close() // cannot fail
	}
	cancel()
	r.wg.Wait()
	if err == nil {
		err = r.nothingLeft(s)
	}
	for _, server := range r.servers {
		if _, e := ask(ctx, p.lab, labapi.Command{Do: "close", Server: server.id}); e != nil && err == nil {
			err = e
		}
	}
	return err
}

func (r *run) all(s scenario) error {
	if s.Servers == nil {
		s.Servers = map[string]json.RawMessage{"main": json.RawMessage("{}")}
	}
	for name, raw := range s.Servers {
		var settings labapi.Settings
		if err := json.Unmarshal(raw, &settings); err != nil {
			return fmt.Errorf("server %s: %w", name, err)
		}
		opened, err := ask(r.ctx, r.platform.lab, labapi.Command{Do: "open", Scheme: r.platform.scheme, Settings: settings})
		if err != nil {
			return fmt.Errorf("server %s: %w", name, err)
		}
		r.servers[name] = &testServer{opened.Server, opened.URL}
		if opened.CA != "" {
			r.tls = trusting(opened.CA)
		}
	}
	if s.Hubs == nil {
		s.Hubs = map[string]options{"a": nil}
	}
	for name, given := range s.Hubs {
		if err := r.open(name, given); err != nil {
			return fmt.Errorf("hub %s: %w", name, err)
		}
	}
	if s.MustFail == "" || len(s.Steps) == 0 {
		return r.steps(s.Steps)
	}
	// It is the last step that fails; those before it may take their time on a busy machine.
	last := len(s.Steps) - 1
	r.patience = scenario{}.patience()
	if err := r.steps(s.Steps[:last]); err != nil {
		return err
	}
	r.patience = s.patience()
	if err := r.step(s.Steps[last]); err != nil {
		return fmt.Errorf("%s: %w", s.Steps[last].show(last), err)
	}
	return nil
}

func (r *run) steps(steps []step) error {
	for i, s := range steps {
		if err := r.step(s); err != nil {
			return fmt.Errorf("%s: %w", s.show(i), err)
		}
	}
	return nil
}

// open makes a hub that later steps know by its name.
func (r *run) open(name string, given options) error {
	cfg, err := r.config(given)
	if err != nil {
		return err
	}
	logs := newBox()
	if cfg.Logger != nil {
		cfg.Logger = slog.New(slog.NewTextHandler(logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	ctx, cancel := context.WithCancel(r.ctx)
	h, err := hub.Open(ctx, cfg)
	if err != nil {
		cancel()
		return err
	}
	t := &testHub{h, cancel, newBox(), newBox(), newBox(), logs}
	h.OnStateChange(func(s hub.State) { t.states.put(record{value: string(s)}) })
	h.OnError(func(err error) { t.errors.put(record{value: hub.Code(err) + ": " + err.Error()}) })
	h.OnMissing(func(m hub.Missing) {
		t.missing.put(record{value: map[string]any{"subject": m.Subject, "publisher": m.Publisher, "from": float64(m.From), "to": float64(m.To)}})
	})
	r.hubs[name] = t
	return nil
}

// nothingLeft finds what came and no step asked for.
func (r *run) nothingLeft(s scenario) error {
	for name, h := range r.handles {
		if h.box != nil && len(h.box.left()) > 0 {
			return fmt.Errorf("at the end %s has got more than was expected: %s", name, list(h.box.left()))
		}
	}
	for name, h := range r.hubs {
		if left := h.errors.left(); len(left) > 0 && s.Errors != "any" {
			return fmt.Errorf("at the end hub %s has reported errors that were not expected: %s", name, list(left))
		}
		if left := h.missing.left(); len(left) > 0 && s.Errors != "any" {
			return fmt.Errorf("at the end hub %s has missed messages that were not expected to be missing: %s", name, list(left))
		}
	}
	return nil
}

// step does one step: "actor verb target".
func (r *run) step(s step) error {
	words := append(strings.SplitN(s.Do, " ", 3), "", "")
	actor, verb, target := words[0], words[1], words[2]
	ctx, cancel := context.WithTimeout(r.ctx, r.patience)
	defer cancel()
	switch {
	case s.Do == "repeat":
		for range s.Repeat {
			if err := r.steps(s.Steps); err != nil {
				return err
			}
		}
		return nil
	case actor == "vectors":
		return r.vectors(ctx, verb)
	case actor == "raw":
		return r.raw(ctx, s, verb, target)
	case r.servers[actor] != nil && verb != "":
		return r.server(ctx, s, r.servers[actor], verb)
	case verb == "open":
		err := r.open(actor, s.Options)
		return s.check(outcome{err: err})
	case r.hubs[actor] != nil:
		return r.hub(ctx, s, r.hubs[actor], verb, target)
	case r.handles[actor] != nil:
		return r.handle(ctx, s, r.handles[actor], verb)
	}
	return fmt.Errorf("there is no server, hub or handle %q", actor)
}

// finish runs an operation: now, or later as a handle.
func (r *run) finish(ctx context.Context, s step, do func(context.Context) outcome) error {
	done := make(chan outcome, 1)
	began := time.Now()
	r.wg.Go(func() {
		o := do(r.ctx) // its own bounds are what is tested
		o.took = time.Since(began)
		done <- o
	})
	if s.Later {
		r.handles[s.As] = &handle{outcome: done, began: began}
		return nil
	}
	return r.await(ctx, s, done)
}

func (r *run) await(ctx context.Context, s step, done chan outcome) error {
	select {
	case o := <-done:
		done <- o
		return s.check(o)
	case <-ctx.Done():
		return fmt.Errorf("did not end within %v", r.patience)
	}
}

// selfCheck: a wrong expectation fails, and says what it is about.
func selfCheck(t *testing.T, p platform) {
	var f file
	read(t, "selfcheck.json", &f)
	for _, s := range f.Scenarios {
		t.Run(s.Name, func(t *testing.T) {
			err := p.play(t.Context(), s)
			if err == nil || s.MustFail == "" || !strings.Contains(err.Error(), s.MustFail) {
				t.Errorf("the scenario ended with %v, want a failure that says %q", err, s.MustFail)
			}
		})
	}
}

// suite plays every scenario of every topic.
func suite(t *testing.T, p platform) {
	for topic, f := range files(t) {
		t.Run(topic, func(t *testing.T) {
			for _, s := range f.Scenarios {
				if s.Only == "js" {
					continue // s.Because
				}
				t.Run(s.Name, func(t *testing.T) {
					if err := p.play(t.Context(), s); err != nil {
						t.Error(err)
					}
				})
			}
		})
	}
}
