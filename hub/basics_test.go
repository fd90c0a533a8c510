package hub_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
	"github.com/kinopio-hub/kinopio-hub/v3/internal/bridge"
)

func TestValuesReachOtherHubs(t *testing.T) {
	s := startServer(t, nil)
	a, b := openHub(t, hub.Config{Servers: []string{s.ClientURL()}}), openHub(t, hub.Config{Servers: []string{s.ClientURL()}})
	got := make(chan any, 10)
	if _, err := b.Scope("robot").Variable("battery").Sub(soon(t), func(m *hub.Message) { got <- m.Value() }); err != nil {
		t.Fatal(err)
	}
	follower := b.Scope("robot").Scope("arm").Variable("angle")
	if err := b.Flush(soon(t)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []any{87.0, "text", nil, true, map[string]any{"a": []any{1.0, "<&>"}}} {
		if err := a.Scope("robot").Variable("battery").Pub(soon(t), want); err != nil {
			t.Fatal(err)
		}
		if err := equal(<-got, want); err != nil {
			t.Error(err)
		}
	}
	if v := follower.Value(); v != nil {
		t.Errorf("value before the first message is %v, want nil", v)
	}
	if err := a.Scope("robot.arm").Variable("angle").Pub(soon(t), 45); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the value", func() bool { return follower.Value() == 45.0 })
	if v := a.Scope("robot.arm").Variable("angle").Value(); v != 45.0 {
		t.Errorf("own value is %v at once, want 45", v)
	}
}

func TestServicesAnswer(t *testing.T) {
	s := startServer(t, nil)
	a, b := openHub(t, hub.Config{Servers: []string{s.ClientURL()}}), openHub(t, hub.Config{Servers: []string{s.ClientURL()}})
	double := b.Scope("math").Variable("double")
	handle, err := double.Serve(soon(t), func(_ context.Context, m *hub.Message) (any, error) {
		var n float64
		if err := m.Decode(&n); err != nil {
			return nil, err
		}
		if n < 0 {
			panic("negative")
		}
		return 2 * n, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	v := a.Scope("math").Variable("double")
	m, err := v.Req(soon(t), 21)
	if err != nil || m.Value() != 42.0 {
		t.Fatalf("got %v, %v, want 42", m, err)
	}
	for value, want := range map[any]string{"x": "decode", -1: "negative"} {
		_, err = v.Req(soon(t), value)
		var service *hub.ServiceError
		if !errors.As(err, &service) || !strings.Contains(service.Message, want) || hub.Code(err) != "SERVICE_ERROR" {
			t.Errorf("request of %v gave %v, want a service error about %q", value, err, want)
		}
	}
	handle.Unsubscribe()
	if err := b.Flush(soon(t)); err != nil {
		t.Fatal(err)
	}
	if _, err = v.Req(soon(t), 21); !errors.Is(err, hub.ErrNoResponders) {
		t.Errorf("request without a service gave %v, want no responders", err)
	}
}

func TestRequestTimesOut(t *testing.T) {
	s := startServer(t, nil)
	h := openHub(t, hub.Config{Servers: []string{s.ClientURL()}, Timeout: 50 * time.Millisecond})
	silent := h.Scope("silent").Variable("x")
	if _, err := silent.Sub(soon(t), func(*hub.Message) {}); err != nil {
		t.Fatal(err)
	}
	if _, err := silent.Req(context.Background(), nil); !errors.Is(err, hub.ErrTimeout) {
		t.Errorf("got %v, want a time-out", err)
	}
}

func TestSharedSubscriptionsEachGetEverything(t *testing.T) {
	s := startServer(t, nil)
	h := openHub(t, hub.Config{Servers: []string{s.ClientURL()}})
	counts := make(chan string, 100)
	for _, kind := range []struct{ subject, queue, name string }{
		{"a.b", "", "plain"}, {"a.b", "", "plain"}, {"a.*", "", "wild"}, {"a.b", "q", "queue"}, {"a.b", "q", "queue"},
	} {
		sub, err := h.Subscribe(kind.subject, hub.SubOptions{Queue: kind.queue}, func(*hub.Message) { counts <- kind.name })
		if err != nil || sub.Ready(soon(t)) != nil {
			t.Fatal(err)
		}
	}
	if err := h.Send(hub.OutMsg{Subject: "a.b"}).Wait(soon(t)); err != nil {
		t.Fatal(err)
	}
	got := map[string]int{}
	for range 4 {
		got[<-counts]++
	}
	if got["plain"] != 2 || got["wild"] != 1 || got["queue"] != 1 {
		t.Errorf("got %v, want plain twice, wild and queue once each", got)
	}
}

func TestPlainClientsUnderstandTheBytes(t *testing.T) {
	s := startServer(t, nil)
	h := openHub(t, hub.Config{Servers: []string{s.ClientURL()}})
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	sub, _ := nc.SubscribeSync("s.v")
	nc.Flush()
	v := h.Scope("s").Variable("v")
	for value, want := range map[any]string{nil: "", "text": "text", 1.5: "1.5", true: "true"} {
		if err := v.Pub(soon(t), value); err != nil {
			t.Fatal(err)
		}
		m, err := sub.NextMsg(5 * time.Second)
		if err != nil || string(m.Data) != want {
			t.Errorf("%v travels as %q, %v, want %q", value, m.Data, err, want)
		}
	}
	if _, err := h.Scope("s").Variable("f").Serve(soon(t), func(context.Context, *hub.Message) (any, error) {
		return nil, errors.New("no \"luck\"")
	}); err != nil {
		t.Fatal(err)
	}
	m, err := nc.Request("s.f", nil, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(m.Data), `{"error":true,"message":"no \"luck\""}`; got != want || m.Header.Get("Nats-Service-Error") == "" || m.Header.Get("Nats-Service-Error-Code") == "" {
		t.Errorf("error reply is %s with headers %v, want %s with both headers", got, m.Header, want)
	}
}

func TestBadInputIsRefusedClearly(t *testing.T) {
	for _, c := range []struct {
		cfg  hub.Config
		want string
	}{
		{hub.Config{Servers: []string{}}, "Servers"},
		{hub.Config{Servers: []string{""}}, "Servers[0]"},
		{hub.Config{Servers: []string{"http://x"}}, "scheme"},
		{hub.Config{Servers: []string{"nats://u:secret@"}}, "Servers[0]"},
		{hub.Config{Selection: "fast"}, "Selection"},
		{hub.Config{Timeout: -1}, "Timeout"},
		{hub.Config{Discovery: hub.Discovery{Enabled: true, ManifestURL: "ftp://x/y"}}, "ManifestURL"},
	} {
		_, err := hub.Open(context.Background(), c.cfg)
		if err == nil || !strings.Contains(err.Error(), c.want) || hub.Code(err) != "INVALID_CONFIG" || strings.Contains(err.Error(), "secret") {
			t.Errorf("%+v gave %v, want an INVALID_CONFIG error about %s", c.cfg, err, c.want)
		}
	}
	s := startServer(t, nil)
	h := openHub(t, hub.Config{Servers: []string{s.ClientURL()}})
	for _, name := range []string{"", "a..b", "a b", "a\n", ".a", "a.", "*", "a.>", "x*"} {
		if err := h.Scope("s").Variable(name).Pub(soon(t), 1); !errors.Is(err, hub.ErrInvalidName) {
			t.Errorf("publishing to %q gave %v, want ErrInvalidName", name, err)
		}
	}
	if err := h.Scope("s").Variable("f").Pub(soon(t), func() {}); !errors.Is(err, hub.ErrInvalidValue) {
		t.Errorf("publishing a function gave %v", err)
	}
	if err := h.Scope("s").Variable("v").Pub(soon(t), make([]byte, 2<<20)); !errors.Is(err, hub.ErrMessageTooLarge) {
		t.Errorf("publishing 2 MiB gave %v", err)
	}
	if h.State() != hub.StateConnected {
		t.Errorf("state after bad input is %s", h.State())
	}
}

func TestUnreachableServerSaysSo(t *testing.T) {
	h, err := hub.Open(context.Background(), hub.Config{Servers: []string{"nats://127.0.0.1:1"}, FailFast: true})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	err = h.Connected(soon(t))
	if !errors.Is(err, hub.ErrConnect) || !strings.Contains(err.Error(), "127.0.0.1:1") || h.State() != hub.StateError {
		t.Errorf("got %v in state %s, want ErrConnect naming the server", err, h.State())
	}
}

func TestPublishWaitsForTheFirstConnection(t *testing.T) {
	s := startServer(t, nil)
	listener := openHub(t, hub.Config{Servers: []string{s.ClientURL()}})
	got := make(chan any, 3)
	if _, err := listener.Scope("a").Variable("b").Sub(soon(t), func(m *hub.Message) { got <- m.Value() }); err != nil {
		t.Fatal(err)
	}
	h, err := hub.Open(context.Background(), hub.Config{Servers: []string{s.ClientURL()}, ManualConnect: true})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	var receipts []bridge.Receipt
	for _, data := range []string{"1", "2", "3"} {
		receipts = append(receipts, h.Send(hub.OutMsg{Subject: "a.b", Data: []byte(data)}))
	}
	h.Connect()
	for i, r := range receipts {
		if err := r.Wait(soon(t)); err != nil {
			t.Fatal(err)
		}
		if v := <-got; v != float64(i+1) {
			t.Errorf("message %d is %v", i+1, v)
		}
	}
}

func TestCloseLeavesNothing(t *testing.T) {
	s := startServer(t, nil)
	none := goleak.IgnoreCurrent()
	for _, when := range []string{"at once", "connected", "waiting"} {
		server := s.ClientURL()
		if when == "waiting" {
			server = "nats://127.0.0.1:1"
		}
		h, err := hub.Open(context.Background(), hub.Config{Servers: []string{server}, Discovery: hub.Discovery{Enabled: true, ManifestURL: "http://127.0.0.1:1/x"}})
		if err != nil {
			t.Fatal(err)
		}
		if when == "connected" {
			if _, err := h.Scope("a").Variable("b").Sub(soon(t), func(*hub.Message) {}); err != nil {
				t.Fatal(err)
			}
			if _, err := h.Scope("a").Variable("c").Serve(soon(t), func(context.Context, *hub.Message) (any, error) { return nil, nil }); err != nil {
				t.Fatal(err)
			}
		}
		pending := make(chan error, 1)
		h.Request(hub.OutMsg{Subject: "nobody.there.at.all"}, time.Minute, func(_ *hub.Message, err error) { pending <- err })
		h.Close()
		h.Close()
		select {
		case <-pending:
		default:
			t.Errorf("%s: a request is still waiting after Close", when)
		}
		if err := h.Scope("a").Variable("b").Pub(soon(t), 1); !errors.Is(err, hub.ErrDisposed) {
			t.Errorf("%s: publish after Close gave %v, want ErrDisposed", when, err)
		}
		if h.State() != hub.StateDisconnected {
			t.Errorf("%s: state after Close is %s", when, h.State())
		}
	}
	goleak.VerifyNone(t, none)
}

// Publish does not wait for a connection, and a message that has waited for too long is not lost silently.
func TestWhatWaitedTooLongIsAnErrorOfTheHub(t *testing.T) {
	h, err := hub.Open(t.Context(), hub.Config{Servers: []string{"nats://127.0.0.1:1"}, Timeout: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	failed := make(chan error, 64)
	h.OnError(func(err error) { failed <- err })
	if err := h.Publish(hub.OutMsg{Subject: "late.one"}, hub.OutMsg{Subject: "late.two"}); err != nil {
		t.Fatal(err)
	}
	for {
		select {
		case err := <-failed:
			if strings.Contains(err.Error(), "publish on late.one") && errors.Is(err, hub.ErrDisconnected) {
				return
			}
		case <-time.After(20 * time.Second):
			t.Fatal("nobody was told that the messages were not sent")
		}
	}
}
