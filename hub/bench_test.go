package hub_test

import (
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

var payload = []byte(`{"id":123456,"x":1.25,"y":-3.5,"name":"kinopio","ok":1}`)

// The hub against raw nats.go, for the same work on the same server.
func BenchmarkPublish(b *testing.B) {
	s := startServer(b, nil)
	b.Run("hub", func(b *testing.B) {
		h := openHub(b, hub.Config{Servers: []string{s.ClientURL()}})
		for b.Loop() {
			h.Publish(hub.OutMsg{Subject: "a.b", Data: payload})
		}
		h.Flush(soon(b))
	})
	b.Run("nats", func(b *testing.B) {
		nc, _ := nats.Connect(s.ClientURL())
		defer nc.Close()
		for b.Loop() {
			nc.Publish("a.b", payload)
		}
		nc.Flush()
	})
}

func BenchmarkReceive(b *testing.B) {
	s := startServer(b, nil)
	run := func(b *testing.B, subscribe func(got func())) {
		var n atomic.Int64
		done := make(chan struct{})
		total := int64(200_000)
		subscribe(func() {
			if n.Add(1) == total {
				close(done)
			}
		})
		nc, _ := nats.Connect(s.ClientURL())
		defer nc.Close()
		b.ResetTimer()
		for range total {
			nc.Publish("a.b", payload)
		}
		<-done
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(total), "ns/msg")
	}
	b.Run("hub", func(b *testing.B) {
		h := openHub(b, hub.Config{Servers: []string{s.ClientURL()}})
		run(b, func(got func()) {
			sub, _ := h.Subscribe("a.b", hub.SubOptions{}, func(*hub.Message) { got() })
			sub.Ready(soon(b))
		})
	})
	b.Run("nats", func(b *testing.B) {
		nc, _ := nats.Connect(s.ClientURL())
		defer nc.Close()
		run(b, func(got func()) {
			nc.Subscribe("a.b", func(*nats.Msg) { got() })
			nc.Flush()
		})
	})
}

func BenchmarkRequest(b *testing.B) {
	s := startServer(b, nil)
	nc, _ := nats.Connect(s.ClientURL())
	defer nc.Close()
	nc.Subscribe("s.f", func(m *nats.Msg) { m.Respond(payload) })
	nc.Flush()
	b.Run("hub", func(b *testing.B) {
		v := openHub(b, hub.Config{Servers: []string{s.ClientURL()}}).Scope("s").Variable("f")
		ctx := soon(b)
		for b.Loop() {
			if _, err := v.Req(ctx, payload); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("nats", func(b *testing.B) {
		for b.Loop() {
			if _, err := nc.Request("s.f", payload, nats.DefaultTimeout); err != nil {
				b.Fatal(err)
			}
		}
	})
}
