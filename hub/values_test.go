package hub_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

func TestWatchTellsThePresentValueAndThenEachChange(t *testing.T) {
	s := startServer(t, nil)
	for _, noEcho := range []bool{false, true} {
		h := openHub(t, hub.Config{Servers: []string{s.ClientURL()}, NoEcho: noEcho})
		other := openHub(t, hub.Config{Servers: []string{s.ClientURL()}})
		name := fmt.Sprint("w", noEcho)
		v := h.Scope("s").Variable(name)
		if err := v.Pub(soon(t), 0); err != nil {
			t.Fatal(err)
		}
		if v.Value() != 0.0 {
			t.Errorf("value after own publish: %v", v.Value())
		}
		got := make(chan any, 1000)
		stop, err := v.Watch(func(value any) { got <- value })
		if err != nil || h.Flush(soon(t)) != nil {
			t.Fatal(err)
		}
		if x := <-got; x != 0.0 {
			t.Errorf("first value watched: %v, want the present one, 0", x)
		}
		// Own values come back as echoes, behind newer ones: none of them may be seen again.
		for i := 1; i <= 100; i++ {
			if err := v.Pub(soon(t), i); err != nil {
				t.Fatal(err)
			}
		}
		if err := h.Flush(soon(t)); err != nil {
			t.Fatal(err)
		}
		if err := other.Scope("s").Variable(name).Pub(soon(t), "end"); err != nil {
			t.Fatal(err)
		}
		for i := 1; i <= 100; i++ {
			if x := <-got; x != float64(i) {
				t.Fatalf("noEcho %v: change %d is %v", noEcho, i, x)
			}
		}
		if x := <-got; x != "end" {
			t.Errorf("noEcho %v: the last change is %v, want end", noEcho, x)
		}
		stop()
		stop()
	}
}

// Ready waits for whoever says that it knows a value, but 2 s at most; a message that comes meanwhile is one.
func TestReadyWaitsForTheAnswer(t *testing.T) {
	s := startServer(t, nil)
	h := openHub(t, hub.Config{Servers: []string{s.ClientURL()}})
	mute := openHub(t, hub.Config{Servers: []string{s.ClientURL()}})
	if _, err := mute.Subscribe("_KH.ask.s.>", hub.SubOptions{}, func(*hub.Message) {}); err != nil || mute.Flush(soon(t)) != nil {
		t.Fatal(err)
	}
	v := h.Scope("s").Variable("v")
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := v.Ready(ctx); !errors.Is(err, hub.ErrTimeout) {
		t.Errorf("ready before the answer gave %v, want a time-out", err)
	}
	start := time.Now()
	if err := h.Scope("s").Variable("w").Ready(soon(t)); err != nil || time.Since(start) < time.Second {
		t.Errorf("ready without an answer gave %v after %v, want nil after 2 s", err, time.Since(start))
	}
	v = h.Scope("s").Variable("u")
	if v.Meta().Known || v.Value() != nil {
		t.Errorf("%v %+v before anybody has said anything", v.Value(), v.Meta())
	}
	if err := h.Flush(soon(t)); err != nil {
		t.Fatal(err)
	}
	if err := h.Send(hub.OutMsg{Subject: "s.u", Data: []byte("1")}).Wait(soon(t)); err != nil {
		t.Fatal(err)
	}
	if err := v.Ready(soon(t)); err != nil || v.Value() != 1.0 {
		t.Errorf("ready gave %v, value %v", err, v.Value())
	}
}

func TestOnlyDistinctValuesAreSentWhenAsked(t *testing.T) {
	s := startServer(t, nil)
	h := openHub(t, hub.Config{Servers: []string{s.ClientURL()}})
	var n atomic.Int64
	if _, err := h.Subscribe("s.*", hub.SubOptions{}, func(*hub.Message) { n.Add(1) }); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		h.Scope("s").Variable("every").Pub(soon(t), 1)
		h.Scope("s").Variable("some").Pub(soon(t), 1, hub.PubOptions{Distinct: true})
		h.Scope("s").Variable("distinct", hub.VariableOptions{Distinct: true}).Pub(soon(t), 1)
	}
	waitFor(t, "five messages", func() bool { return n.Load() >= 5 })
	if h.Flush(soon(t)); n.Load() != 5 {
		t.Errorf("%d messages, want 3 + 1 + 1", n.Load())
	}
}

func TestTypedVariables(t *testing.T) {
	s := startServer(t, nil)
	h := openHub(t, hub.Config{Servers: []string{s.ClientURL()}})
	type pose struct{ X, Y float64 }
	v := hub.TypedVariable[pose](h.Scope("robot"), "pose")
	if _, ok := v.Get(); ok {
		t.Error("there is a value before the first")
	}
	got := make(chan pose, 1)
	if _, err := v.Sub(soon(t), func(p pose, _ *hub.Message) { got <- p }); err != nil {
		t.Fatal(err)
	}
	if err := v.Pub(soon(t), pose{1, 2}); err != nil {
		t.Fatal(err)
	}
	if p := <-got; p != (pose{1, 2}) {
		t.Errorf("got %v", p)
	}
	if p, ok := v.Get(); !ok || p != (pose{1, 2}) {
		t.Errorf("value %v, %v", p, ok)
	}
}

func TestMessagesCanBeIterated(t *testing.T) {
	s := startServer(t, nil)
	h := openHub(t, hub.Config{Servers: []string{s.ClientURL()}})
	go func() {
		for i := 0; ; i++ {
			if h.Scope("a").Variable("b").Pub(context.Background(), i) != nil {
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	next := -1.0
	for m, err := range h.Messages(soon(t), "a.*", hub.SubOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		n := m.Value().(float64)
		if next >= 0 && n != next {
			t.Fatalf("got %v, want %v", n, next)
		}
		if next = n + 1; n > 20 {
			break
		}
	}
	for _, err := range h.Messages(soon(t), "a..b", hub.SubOptions{}) {
		if !errors.Is(err, hub.ErrInvalidName) {
			t.Errorf("got %v", err)
		}
	}
}

func TestDrainCallsBackForEverythingSent(t *testing.T) {
	s := startServer(t, nil)
	h := openHub(t, hub.Config{Servers: []string{s.ClientURL()}})
	var n atomic.Int64
	sub, err := h.Scope("a").Variable("b").Sub(soon(t), func(*hub.Message) {
		time.Sleep(100 * time.Microsecond)
		n.Add(1)
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 500 {
		h.Publish(hub.OutMsg{Subject: "a.b", Data: fmt.Append(nil, i)})
	}
	if err := sub.Drain(soon(t)); err != nil || n.Load() != 500 {
		t.Errorf("drained %d of 500, %v", n.Load(), err)
	}
}

func TestSubscriptionEndsAfterItsMax(t *testing.T) {
	s := startServer(t, nil)
	h := openHub(t, hub.Config{Servers: []string{s.ClientURL()}})
	var n atomic.Int64
	sub, err := h.Scope("a").Variable("b").Sub(soon(t), func(*hub.Message) { n.Add(1) }, hub.SubOptions{Max: 3})
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		h.Publish(hub.OutMsg{Subject: "a.b"})
	}
	<-sub.Done()
	if n.Load() != 3 {
		t.Errorf("%d callbacks, want 3", n.Load())
	}
}

func TestReqManyCollectsAnswers(t *testing.T) {
	s := startServer(t, nil)
	h := openHub(t, hub.Config{Servers: []string{s.ClientURL()}})
	v := h.Scope("s").Variable("who")
	if _, err := v.ReqMany(soon(t), nil); !errors.Is(err, hub.ErrNoResponders) {
		t.Errorf("asking nobody gave %v", err)
	}
	for i := range 3 {
		if _, err := v.Sub(soon(t), func(m *hub.Message) { m.Respond(i) }); err != nil {
			t.Fatal(err)
		}
	}
	m, err := v.ReqMany(soon(t), nil, hub.ReqManyOptions{Max: 2})
	if err != nil || len(m) != 2 {
		t.Errorf("got %d answers, %v, want 2", len(m), err)
	}
	m, err = v.ReqMany(soon(t), nil, hub.ReqManyOptions{Window: 100 * time.Millisecond})
	if err != nil || len(m) != 3 {
		t.Errorf("got %d answers, %v, want 3", len(m), err)
	}
}

func TestHealthIsReported(t *testing.T) {
	s := startServer(t, nil)
	h := openHub(t, hub.Config{Servers: []string{s.ClientURL()}, HealthReport: 10 * time.Millisecond})
	got := make(chan hub.Health, 100)
	stop := h.OnHealth(func(r hub.Health) { got <- r })
	if err := h.Scope("a").Variable("b").Pub(soon(t), "12345"); err != nil {
		t.Fatal(err)
	}
	for r := range got {
		if r.OutMessages > 0 && r.OutBytes == 5 && r.State == hub.StateConnected && r.Server == s.ClientURL() && r.RTT > 0 {
			break
		}
	}
	stop()
}

func TestCredentialsReachTheServer(t *testing.T) {
	user, _ := nkeys.CreateUser()
	public, _ := user.PublicKey()
	seed, _ := user.Seed()
	for name, c := range map[string]struct {
		server func(*server.Options)
		good   hub.Auth
		bad    hub.Auth
	}{
		"token":    {func(o *server.Options) { o.Authorization = "t0p" }, hub.Auth{Token: "t0p"}, hub.Auth{Token: "no"}},
		"password": {func(o *server.Options) { o.Username, o.Password = "u", "p" }, hub.Auth{User: "u", Password: "p"}, hub.Auth{User: "u", Password: "x"}},
		"nkey":     {func(o *server.Options) { o.Nkeys = []*server.NkeyUser{{Nkey: public}} }, hub.Auth{NkeySeed: string(seed)}, hub.Auth{}},
	} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t, c.server)
			openHub(t, hub.Config{Servers: []string{s.ClientURL()}, Auth: c.good})
			asked := 0
			openHub(t, hub.Config{Servers: []string{s.ClientURL()}, Authenticator: func(context.Context, string) (hub.Auth, error) {
				asked++
				return c.good, nil
			}})
			if asked == 0 {
				t.Error("the authenticator was not asked")
			}
			h, err := hub.Open(context.Background(), hub.Config{Servers: []string{s.ClientURL()}, Auth: c.bad, FailFast: true})
			if err != nil {
				t.Fatal(err)
			}
			defer h.Close()
			if err := h.Connected(soon(t)); !errors.Is(err, hub.ErrConnect) {
				t.Errorf("wrong credentials gave %v", err)
			}
		})
	}
	for _, bad := range []hub.Auth{{Token: "a", User: "b"}, {Password: "p"}, {NkeySeed: "SUxx"}, {Creds: "x"}} {
		if _, err := hub.Open(context.Background(), hub.Config{Auth: bad, ManualConnect: true}); hub.Code(err) != "INVALID_CONFIG" {
			t.Errorf("%+v gave %v", bad, err)
		}
	}
}

func TestLatencyModeMovesToANearerServer(t *testing.T) {
	sys := startSystem(t, 0)
	var slow atomic.Bool
	address := delayedWhile(t, sys.backbone.Addr().String(), 40*time.Millisecond, &slow)
	var leafSlow atomic.Bool
	leafSlow.Store(true)
	leaf := "nats://" + delayedWhile(t, sys.leaf.Addr().String(), 40*time.Millisecond, &leafSlow)
	h := openHub(t, hub.Config{Servers: []string{"nats://" + address, leaf}, Reprobe: 100 * time.Millisecond})
	made := moves(h)
	slow.Store(true)
	leafSlow.Store(false)
	if m := nextMove(t, made); m.Err != nil || m.Reason != "faster" || !m.Planned || m.To != leaf {
		t.Errorf("moved %+v, want a planned move to the leaf", m)
	}
}
