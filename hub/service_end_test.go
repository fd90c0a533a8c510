//go:build !js

package hub_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// A service that is drained answers everything that was asked before, and one that is unsubscribed everything
// that has come.
func TestServiceThatEndsAnswersWhatItHas(t *testing.T) {
	s := startServer(t, nil)
	for name, end := range map[string]func(*hub.Hub, *hub.Subscription) error{
		"drain": func(_ *hub.Hub, service *hub.Subscription) error { return service.Drain(soon(t)) },
		"unsubscribe": func(h *hub.Hub, service *hub.Subscription) error {
			if err := h.Flush(soon(t)); err != nil { // all requests have come
				return err
			}
			if err := service.Unsubscribe(); err != nil {
				return err
			}
			<-service.Done()
			return h.Flush(soon(t))
		},
	} {
		t.Run(name, func(t *testing.T) {
			h, asks := openHub(t, hub.Config{Servers: []string{s.ClientURL()}}), openHub(t, hub.Config{Servers: []string{s.ClientURL()}, Timeout: 10 * time.Second})
			var begun, answered atomic.Int64
			service, err := h.Scope("slow").Variable(name).Serve(soon(t), func(_ context.Context, m *hub.Message) (any, error) {
				begun.Add(1)
				time.Sleep(20 * time.Millisecond)
				return m.Value(), nil
			}, hub.ServeOptions{Concurrency: 2})
			if err != nil {
				t.Fatal(err)
			}
			const requests = 30
			var wg sync.WaitGroup
			for i := range requests {
				asks.Request(hub.OutMsg{Subject: "slow." + name, Data: fmt.Append(nil, i)}, 0, func(m *hub.Message, err error) {
					if err == nil && string(m.Data) == fmt.Sprint(i) {
						answered.Add(1)
					} else {
						t.Errorf("request %d: %v", i, err)
					}
				})
			}
			if err := asks.Flush(soon(t)); err != nil {
				t.Fatal(err)
			}
			waitFor(t, "the first handlers", func() bool { return begun.Load() > 0 })
			if err := end(h, service); err != nil {
				t.Error(err)
			}
			if n := begun.Load(); n != requests {
				t.Errorf("%d of %d requests had been handled at the end", n, requests)
			}
			waitFor(t, "the answers", func() bool { return answered.Load() == requests })
			if _, err := asks.Scope("slow").Variable(name).Req(soon(t), 1); !errors.Is(err, hub.ErrNoResponders) {
				t.Errorf("a request after the end gave %v", err)
			}
			wg.Wait()
		})
	}
}

// A handler that does not return keeps Drain only as long as its ctx.
func TestDrainOfAServiceEndsWithItsContext(t *testing.T) {
	s := startServer(t, nil)
	h := openHub(t, hub.Config{Servers: []string{s.ClientURL()}})
	begun := make(chan bool, 1)
	service, err := h.Scope("stuck").Variable("f").Serve(soon(t), func(ctx context.Context, _ *hub.Message) (any, error) {
		begun <- true
		<-ctx.Done()
		return nil, ctx.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	h.Request(hub.OutMsg{Subject: "stuck.f"}, time.Minute, func(*hub.Message, error) {})
	<-begun
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := service.Drain(ctx); !errors.Is(err, hub.ErrTimeout) || !strings.Contains(err.Error(), "still running") {
		t.Errorf("drain gave %v", err)
	}
}

// The ctx of Serve bounds the wait for the server, and nothing else, and its end is told as what it is.
func TestContextOfServe(t *testing.T) {
	s := startServer(t, nil)
	h := openHub(t, hub.Config{Servers: []string{s.ClientURL()}})
	ctx, cancel := context.WithCancel(context.Background())
	v := h.Scope("ctx").Variable("f")
	if _, err := v.Serve(ctx, func(context.Context, *hub.Message) (any, error) { return "here", nil }); err != nil {
		t.Fatal(err)
	}
	cancel()
	if m, err := v.Req(soon(t), nil); err != nil || m.Value() != "here" {
		t.Errorf("after its ctx the service gives %v, %v", m, err)
	}
	nowhere, err := hub.Open(context.Background(), hub.Config{Servers: []string{"nats://127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer nowhere.Close()
	short, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	_, err = nowhere.Scope("ctx").Variable("f").Serve(short, func(context.Context, *hub.Message) (any, error) { return nil, nil })
	if !errors.Is(err, hub.ErrTimeout) || !strings.Contains(err.Error(), "serve ctx.f") || !strings.Contains(err.Error(), "ended") {
		t.Errorf("without a server it gave %v", err)
	}
	if n := nowhere.Status().Subscriptions; n > 1 { // the value of the variable may be followed
		t.Errorf("%d subscriptions are left", n)
	}
	if err := nowhere.Connected(short); !errors.Is(err, hub.ErrTimeout) || !strings.Contains(err.Error(), "goes on trying") {
		t.Errorf("connected gave %v, want that the hub goes on", err)
	}
}

type attrs struct {
	mu   sync.Mutex
	said []string
}

func (a *attrs) Enabled(context.Context, slog.Level) bool { return true }
func (a *attrs) WithAttrs([]slog.Attr) slog.Handler       { return a }
func (a *attrs) WithGroup(string) slog.Handler            { return a }
func (a *attrs) Handle(_ context.Context, r slog.Record) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	line := r.Level.String() + " " + r.Message
	r.Attrs(func(at slog.Attr) bool { line += " " + at.String(); return true })
	a.said = append(a.said, line)
	return nil
}

func (a *attrs) has(parts ...string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, line := range a.said {
		all := true
		for _, part := range parts {
			all = all && strings.Contains(line, part)
		}
		if all {
			return true
		}
	}
	return false
}

type marshals struct{}

func (marshals) MarshalJSON() ([]byte, error) { panicInMarshal(); return nil, nil }

func panicInMarshal()  { panic("in marshal") }
func panicInHandler()  { panic("in handler") }
func panicInCallback() { panic("in callback") }
func panicInWatcher()  { panic("in watcher") }
func panicInObserver() { panic("in observer") }

// A panic is an answer to whoever asked, an error that OnError hears of, and a stack in the log.
func TestPanicsAreAnswersAndStacks(t *testing.T) {
	s := startServer(t, nil)
	log := &attrs{}
	h := openHub(t, hub.Config{Servers: []string{s.ClientURL()}, Logger: slog.New(log)})
	told := complaints(h)
	f := h.Scope("p").Variable("f")
	if _, err := f.Serve(soon(t), func(_ context.Context, m *hub.Message) (any, error) {
		switch m.Value() {
		case "marshal":
			return marshals{}, nil
		case "exit":
			runtime.Goexit()
		}
		panicInHandler()
		return nil, nil
	}, hub.ServeOptions{Concurrency: 1}); err != nil {
		t.Fatal(err)
	}
	for range 2 { // it goes on serving
		for ask, want := range map[string]string{"panic": "in handler", "marshal": "in marshal", "exit": "ended its goroutine"} {
			_, err := f.Req(soon(t), ask)
			var e *hub.ServiceError
			if !errors.As(err, &e) || !strings.Contains(e.Message, want) {
				t.Errorf("%s gave %v, want an answer about %q", ask, err, want)
			}
		}
	}
	if err := <-told; hub.Code(err) != "CALLBACK_FAILED" || !strings.Contains(err.Error(), "service p.f: panic: in ") {
		t.Errorf("told of %v", err)
	}
	v := h.Scope("p").Variable("v")
	if _, err := v.Sub(soon(t), func(*hub.Message) { panicInCallback() }); err != nil {
		t.Fatal(err)
	}
	if _, err := v.Watch(func(any) { panicInWatcher() }); err != nil {
		t.Fatal(err)
	}
	h.OnStateChange(func(hub.State) { panicInObserver() })
	if err := errors.Join(v.Pub(soon(t), 1), h.Flush(soon(t))); err != nil {
		t.Fatal(err)
	}
	s.Shutdown()
	for _, function := range []string{"panicInHandler", "panicInMarshal", "panicInCallback", "panicInWatcher", "panicInObserver"} {
		waitFor(t, "the stack of "+function, func() bool { return log.has("ERROR", "callback failed", "hub_test."+function) })
	}
}

// Requests that come faster than they are handled are bounded: who is too much is told so, as is the service.
func TestFloodedServiceRefuses(t *testing.T) {
	s := startServer(t, nil)
	h := openHub(t, hub.Config{Servers: []string{s.ClientURL()}})
	told := complaints(h)
	release := make(chan struct{})
	defer close(release)
	if _, err := h.Scope("flood").Variable("f").Serve(soon(t), func(context.Context, *hub.Message) (any, error) {
		<-release
		return nil, nil
	}, hub.ServeOptions{Concurrency: 1}); err != nil {
		t.Fatal(err)
	}
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	refused := make(chan *nats.Msg, 1)
	if _, err := nc.Subscribe("flood.answers", func(m *nats.Msg) {
		select {
		case refused <- m:
		default:
		}
	}); err != nil {
		t.Fatal(err)
	}
	for sent := 0; len(refused) == 0 && sent < 2<<20; sent++ { // what the subscription has taken off its queue comes on top
		if err := nc.PublishRequest("flood.f", "flood.answers", nil); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case m := <-refused:
		if m.Header.Get("Nats-Service-Error-Code") != "503" || !strings.Contains(m.Header.Get("Nats-Service-Error"), "too many requests wait") {
			t.Errorf("answered %v", m.Header)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("nobody was told that too many requests wait")
	}
	if err := <-told; hub.Code(err) != "SLOW_CONSUMER" {
		t.Errorf("told of %v", err)
	}
}

func TestTypedServices(t *testing.T) {
	s := startServer(t, nil)
	h := openHub(t, hub.Config{Servers: []string{s.ClientURL()}})
	type sum struct{ Total int }
	v := hub.TypedVariable[sum](h.Scope("math"), "sum")
	if _, err := v.Serve(soon(t), func(_ context.Context, m *hub.Message) (answer sum, err error) {
		var all []int
		if err := m.Decode(&all); err != nil {
			return sum{}, err
		}
		for _, n := range all {
			answer.Total += n
		}
		return answer, nil
	}); err != nil {
		t.Fatal(err)
	}
	if got, err := v.Req(soon(t), []int{1, 2, 3}); err != nil || got != (sum{6}) {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := v.Req(soon(t), "no numbers"); !errors.Is(err, hub.ErrService) {
		t.Errorf("got %v", err)
	}
}
