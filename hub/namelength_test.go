package hub_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// Names that a server would close the connection over are refused, wherever they stand, and the
// longest that are not do no harm.
func TestNamesThatNoServerTakesAreRefused(t *testing.T) {
	s := startServer(t, nil)
	h := openHub(t, hub.Config{Servers: []string{s.ClientURL()}})
	handle := func(context.Context, *hub.Message) (any, error) { return "yes", nil }
	call := func(subject string) *hub.Variable { return h.Scope("s").Variable(subject[2:]) }
	for name, do := range map[string]struct {
		most int // bytes of the longest subject that is taken
		call func(subject string) error
	}{
		"Subscribe": {4000, func(n string) error {
			sub, err := h.Subscribe(n, hub.SubOptions{}, func(*hub.Message) {})
			if err == nil {
				err = sub.Ready(soon(t))
			}
			return err
		}},
		"a queue group": {3900, func(n string) error {
			_, err := h.Subscribe(n, hub.SubOptions{Queue: strings.Repeat("q", 100)}, func(*hub.Message) {})
			return err
		}},
		"Sub":     {4000, func(n string) error { _, err := call(n).Sub(soon(t), func(*hub.Message) {}); return err }},
		"Serve":   {1996, func(n string) error { _, err := call(n).Serve(soon(t), handle); return err }},
		"Pub":     {4000, func(n string) error { return call(n).Pub(soon(t), 1) }},
		"reply":   {3990, func(n string) error { return call(n).Pub(soon(t), 1, hub.PubOptions{Reply: "0123456789"}) }},
		"Publish": {4000, func(n string) error { return h.Send(hub.OutMsg{Subject: n}).Err() }},
		"Req": {3936, func(n string) error {
			if _, err := call(n).Req(soon(t), 1); !errors.Is(err, hub.ErrNoResponders) {
				return err
			}
			return nil
		}},
		"Watch": {4000, func(n string) error { _, err := call(n).Watch(func(any) {}); return err }},
	} {
		for _, size := range []int{do.most, do.most + 1, 4500, 100000} {
			err := do.call("s." + strings.Repeat("n", size-2))
			if size == do.most && err != nil {
				t.Errorf("%s with %d bytes: %v", name, size, err)
			}
			if size > do.most && (!errors.Is(err, hub.ErrInvalidName) || len(err.Error()) > 400) {
				t.Errorf("%s with %d bytes: %.300v, want ErrInvalidName", name, size, err)
			}
		}
		if err := h.Flush(soon(t)); err != nil {
			t.Fatal(err)
		}
	}
	if s := h.Status(); s.Reconnects != 0 {
		t.Errorf("%d connections were closed", s.Reconnects)
	}
}

// A server may take less than others: what it closes the connection over is found, told, and not repeated.
func TestWhatTheServerClosesAConnectionOverIsNotRepeated(t *testing.T) {
	s := startServer(t, func(o *server.Options) { o.MaxControlLine = 1024 })
	for name, offend := range map[string]func(h *hub.Hub, subject string){
		"a subscription": func(h *hub.Hub, subject string) { h.Subscribe(subject, hub.SubOptions{}, func(*hub.Message) {}) },
		"several": func(h *hub.Hub, subject string) {
			for i := range 3 {
				h.Subscribe(subject+strings.Repeat("x", i), hub.SubOptions{}, func(*hub.Message) {})
			}
		},
		"a variable": func(h *hub.Hub, subject string) { h.Scope("s").Variable(subject).Value() },
		"a service": func(h *hub.Hub, subject string) {
			h.Scope("s").Variable(subject[:600]).Serve(soon(t), func(context.Context, *hub.Message) (any, error) { return nil, nil })
		},
		"a message": func(h *hub.Hub, subject string) { h.Publish(hub.OutMsg{Subject: subject}) },
		"a request": func(h *hub.Hub, subject string) { h.Scope("s").Variable(subject).Req(soon(t), 1) },
	} {
		t.Run(name, func(t *testing.T) {
			h := openHub(t, hub.Config{Servers: []string{s.ClientURL()}, ReconnectWait: 10 * time.Millisecond, RetryDelay: 10 * time.Millisecond})
			var told atomic.Int64
			h.OnError(func(err error) {
				if errors.Is(err, hub.ErrInvalidName) && strings.Contains(err.Error(), "max_control_line") {
					told.Add(1)
				}
			})
			got := make(chan any, 100)
			for i := range 20 {
				if _, err := h.Scope("fine").Variable(fmt.Sprint(i)+strings.Repeat("y", 400)).Sub(soon(t), func(m *hub.Message) { got <- m.Value() }); err != nil {
					t.Fatal(err)
				}
			}
			subject := strings.Repeat("n", 1500)
			offend(h, subject)
			waitFor(t, "the loss", func() bool { return h.Status().Reconnects > 0 })
			if name != "a message" && name != "a request" {
				waitFor(t, "the report", func() bool { return told.Load() > 0 })
			}
			// Again it is refused, and everything else goes on.
			waitFor(t, "a refusal", func() bool {
				return errors.Is(h.Send(hub.OutMsg{Subject: subject}).Err(), hub.ErrInvalidName)
			})
			waitFor(t, "a connection that stays", func() bool {
				before := h.Status().Reconnects
				time.Sleep(100 * time.Millisecond)
				return h.Flush(soon(t)) == nil && h.Status().Reconnects == before
			})
			if n := h.Status().Reconnects; n > 5 {
				t.Errorf("%d connections", n)
			}
			for i := range 20 {
				if err := h.Scope("fine").Variable(fmt.Sprint(i)+strings.Repeat("y", 400)).Pub(soon(t), i); err != nil {
					t.Error(err)
				}
			}
			for range 20 {
				select {
				case <-got:
				case <-soon(t).Done():
					t.Fatal("a subscription with a name that is fine gets nothing")
				}
			}
		})
	}
}
