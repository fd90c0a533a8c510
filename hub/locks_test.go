package hub_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// A curious logger asks the hub for everything with each line.
type curious struct {
	hub   atomic.Pointer[hub.Hub]
	lines atomic.Int64
}

func (c *curious) Debug(string, ...any) { c.ask() }
func (c *curious) Warn(string, ...any)  { c.ask() }
func (c *curious) Error(string, ...any) { c.ask() }

func (c *curious) ask() {
	c.lines.Add(1)
	h := c.hub.Load()
	if h == nil {
		return
	}
	h.State()
	h.Status()
	h.Health()
	h.DiscoveryStatus()
	h.CheckLink()
	h.Scope("asked").Variable("by").Value()
	h.Publish(hub.OutMsg{Subject: "asked.by", Data: []byte("1")})
	if s, err := h.Subscribe("asked.by", hub.SubOptions{}, func(*hub.Message) {}); err == nil {
		s.Unsubscribe()
	}
}

// Loggers and observers are called without any lock: they may ask the hub for anything, whatever they are told.
func TestLoggersAndObserversAreCalledWithoutLocks(t *testing.T) {
	sys := startWebSystem(t)
	manifest := serveManifest(t)
	limited := startServer(t, func(o *server.Options) { o.MaxSubs = 5 })
	for _, s := range []*server.Server{sys.backbone, limited} {
		var log curious
		h, err := hub.Open(context.Background(), hub.Config{
			Servers: []string{s.ClientURL()}, Logger: &log, ManualConnect: true, ReconnectWait: time.Millisecond, RetryDelay: time.Millisecond,
			Discovery: hub.Discovery{Enabled: true, ManifestURL: manifest.URL, CacheTTL: 5 * time.Millisecond},
		})
		if err != nil {
			t.Fatal(err)
		}
		log.hub.Store(h)
		var told atomic.Int64
		tell := func() { told.Add(1); log.ask() }
		h.OnStateChange(func(hub.State) { tell() })
		h.OnMove(func(hub.Move) { tell() })
		h.OnError(func(error) { tell() })
		h.OnMissing(func(hub.Missing) { tell() })
		h.OnHealth(func(hub.Health) { tell() })
		h.OnDiscovery(func(hub.DiscoveryStatus) { tell() })
		h.Connect()
		if err := h.Connected(soon(t)); err != nil {
			t.Fatal(err)
		}
		for i := range 10 {
			if _, err := h.Subscribe(fmt.Sprint("n.", i), hub.SubOptions{}, func(*hub.Message) { panic("callback") }); err != nil {
				t.Fatal(err)
			}
		}
		h.Publish(hub.OutMsg{Subject: "n.0"})
		if s == sys.backbone {
			manifest.leaf(webSocketURL(t, sys.leaf))
			waitFor(t, "the leaf", func() bool { return h.Status().Via == "leaf" })
			if err := h.Reconnect(soon(t)); err != nil {
				t.Error(err)
			}
			manifest.none()
		}
		done := make(chan struct{})
		go func() { h.Close(); close(done) }()
		select {
		case <-done:
		case <-soon(t).Done():
			t.Fatal("a logger or an observer that asks the hub keeps it from ending")
		}
		if log.lines.Load() < 5 || told.Load() < 3 {
			t.Errorf("%d lines and %d events, want some", log.lines.Load(), told.Load())
		}
	}
}

// Everything that takes locks goes on at the same time: an order that is not kept deadlocks.
func TestLocksAreTakenInOneOrder(t *testing.T) {
	sys := startSystem(t, 0)
	h := openHub(t, hub.Config{Servers: []string{sys.backbone.ClientURL()}, Timeout: time.Second, Standby: true})
	other := openHub(t, hub.Config{Servers: []string{sys.backbone.ClientURL()}})
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	var rounds [8]atomic.Int64
	for i, do := range []func(){
		func() { // a variable that is published, followed only while somebody listens
			v := h.Scope("l").Variable("v")
			v.Pub(ctx, 1)
			if sub, err := v.Sub(ctx, func(*hub.Message) {}); err == nil {
				sub.Unsubscribe()
			}
		},
		func() {
			for range 20 { // and no more than is received, or the server takes the hub for a slow consumer
				other.Publish(hub.OutMsg{Subject: "l.v", Data: []byte("2")})
			}
			other.Flush(ctx)
			h.Flush(ctx)
		},
		func() { other.Flush(ctx) },
		func() {
			if stop, err := h.Scope("l").Variable("w").Watch(func(any) {}); err == nil {
				h.Scope("l").Variable("w").Pub(ctx, rounds[3].Load())
				stop()
			}
		},
		func() { h.Status(); h.Health() },
		func() { h.Scope("l").Variable("nobody").Req(ctx, 1) },
		func() { h.Flush(ctx) },
		func() {
			if err := h.MoveTo([]string{sys.leaf.ClientURL(), sys.backbone.ClientURL()}[rounds[7].Load()%2]); err != nil {
				t.Log(err) // how it ends does not matter here
			}
		},
	} {
		wg.Go(func() {
			for ctx.Err() == nil {
				do()
				rounds[i].Add(1)
			}
		})
	}
	end := time.Now().Add(3 * time.Second)
	for time.Now().Before(end) {
		var before [len(rounds)]int64
		for i := range rounds {
			before[i] = rounds[i].Load()
		}
		waitFor(t, "each to get on", func() bool {
			for i := range rounds {
				if rounds[i].Load() <= before[i] {
					return false
				}
			}
			return true
		})
	}
	stop()
	wg.Wait()
}
