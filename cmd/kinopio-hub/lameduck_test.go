package main

import (
	"context"
	"fmt"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
	"github.com/kinopio-hub/kinopio-hub/v3/leaf"
)

// A backbone's server that will stop, with a second one there, costs hubs on a leaf nothing: what others
// publish while the leaf changes its bridge comes late, in order and once, both ways.
func TestBackbonesLameDuckCostsHubsOnALeafNothing(t *testing.T) {
	var backbone []*server.Server
	for i := range 2 {
		o := &server.Options{
			Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true, ServerName: fmt.Sprintf("backbone%d-%d", i, time.Now().UnixNano()),
			LameDuckGracePeriod: time.Second, LameDuckDuration: 2 * time.Second,
		}
		o.Cluster.Name, o.Cluster.Host, o.Cluster.Port = "b", "127.0.0.1", -1
		o.LeafNode.Host, o.LeafNode.Port = "127.0.0.1", -1
		for _, other := range backbone {
			o.Routes = append(o.Routes, &url.URL{Scheme: "nats-route", Host: other.ClusterAddr().String()})
		}
		s, err := server.NewServer(o)
		if err != nil {
			t.Fatal(err)
		}
		s.Start()
		defer s.Shutdown()
		if !s.ReadyForConnections(10 * time.Second) {
			t.Fatal("the backbone did not start")
		}
		backbone = append(backbone, s)
	}
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	var servers []string
	for _, s := range backbone {
		v, err := s.Varz(nil)
		if err != nil {
			t.Fatal(err)
		}
		servers = append(servers, fmt.Sprintf("nats://127.0.0.1:%d", v.LeafNode.Port))
	}
	l, err := leaf.Start(ctx, leaf.Config{
		DiscoveryNamespace: "lameduck", BackboneServers: servers, NoWebSocketTLS: true, LANBindAddress: "127.0.0.1", CacheDir: t.TempDir(), RuntimeDir: t.TempDir(),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Stop(ctx)
	bridged := func(want int) {
		t.Helper()
		for ctx.Err() == nil && backbone[0].NumLeafNodes()+backbone[1].NumLeafNodes() != want {
			time.Sleep(10 * time.Millisecond)
		}
	}
	bridged(1)
	duck, other := backbone[0], backbone[1]
	if duck.NumLeafNodes() == 0 {
		duck, other = other, duck
	}
	open := func(url string) *hub.Hub {
		h, err := hub.Open(ctx, hub.Config{Servers: []string{url}})
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Connected(ctx); err != nil {
			t.Fatal(err)
		}
		return h
	}
	here, there := open(l.Status().ClientURL), open(other.ClientURL())
	defer here.Close()
	defer there.Close()
	nc, err := nats.Connect(other.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	var plain atomic.Int64
	type book struct {
		next atomic.Int64
		h    *hub.Hub
	}
	books := map[string]*book{"up": {h: there}, "down": {h: here}}
	for subject, b := range books {
		sub, err := b.h.Subscribe(subject, hub.SubOptions{}, func(m *hub.Message) {
			if want := fmt.Sprint(b.next.Load()); string(m.Data) != want {
				t.Errorf("%s: %s where %s was to come", subject, m.Data, want)
			}
			b.next.Add(1)
		})
		if err != nil || sub.Ready(ctx) != nil {
			t.Fatal(err)
		}
	}
	if _, err := here.Subscribe("plain", hub.SubOptions{}, func(*hub.Message) { plain.Add(1) }); err != nil {
		t.Fatal(err)
	}
	// Interest spreads in order: where these come through, everything is known.
	var ready atomic.Int32
	for subject, h := range map[string]*hub.Hub{"ready.up": there, "ready.down": here} {
		if _, err := h.Subscribe(subject, hub.SubOptions{Max: 1}, func(*hub.Message) { ready.Add(1) }); err != nil {
			t.Fatal(err)
		}
	}
	for ctx.Err() == nil && ready.Load() < 2 {
		here.Publish(hub.OutMsg{Subject: "ready.up"})
		there.Publish(hub.OutMsg{Subject: "ready.down"})
		time.Sleep(10 * time.Millisecond)
	}
	publishing, end := context.WithCancel(ctx)
	var wg sync.WaitGroup
	sent := 0
	wg.Go(func() {
		for ; publishing.Err() == nil; sent++ {
			data := fmt.Append(nil, sent)
			here.Publish(hub.OutMsg{Subject: "up", Data: data})
			there.Publish(hub.OutMsg{Subject: "down", Data: data})
			nc.Publish("plain", data)
			nc.Flush()
			time.Sleep(5 * time.Millisecond)
		}
	})
	go duck.LameDuckShutdown()
	for ctx.Err() == nil && other.NumLeafNodes() == 0 {
		time.Sleep(10 * time.Millisecond)
	}
	after := books["up"].next.Load() + 50 // and on the other server
	for ctx.Err() == nil && books["up"].next.Load() < after {
		time.Sleep(10 * time.Millisecond)
	}
	end()
	wg.Wait()
	for subject, b := range books {
		for ctx.Err() == nil && b.next.Load() < int64(sent) {
			time.Sleep(10 * time.Millisecond)
		}
		if n := b.next.Load(); n != int64(sent) || b.h.Status().Missing != 0 {
			t.Errorf("%s: %d of %d, %d missing", subject, n, sent, b.h.Status().Missing)
		}
	}
	t.Logf("%d of %d messages without numbers came", plain.Load(), sent)
}
