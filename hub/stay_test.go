package hub_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// A bridgeSystem is a backbone, and a leaf whose bridge can be cut and mended.
type bridgeSystem struct {
	system
	up  atomic.Bool
	cut func()
}

func startBridge(t *testing.T) *bridgeSystem {
	c := &bridgeSystem{}
	c.up.Store(true)
	c.backbone = startServer(t, func(o *server.Options) {
		o.LeafNode.Host, o.LeafNode.Port, o.LeafNode.NoAdvertise = "127.0.0.1", -1, true // the way past the proxy
	})
	address, cut := proxy(t, fmt.Sprintf("127.0.0.1:%d", leafPort(t, c.backbone)), func(to, from net.Conn) {
		if c.up.Load() {
			io.Copy(to, from)
		}
		to.Close()
		from.Close()
	})
	c.cut = func() { c.up.Store(false); cut() }
	remote := &url.URL{Scheme: "nats-leaf", Host: address}
	c.leaf = startServer(t, func(o *server.Options) {
		o.LeafNode.Remotes = []*server.RemoteLeafOpts{{URLs: []*url.URL{remote}}}
		o.LeafNode.ReconnectInterval = 100 * time.Millisecond
		withWebSocket(o)
	})
	waitFor(t, "the bridge", func() bool { return c.leaf.NumLeafNodes() == 1 })
	return c
}

// manifestOf says what a leaf of this package says of itself; old says it as kinopio-hub 2.1.0 does.
func (c *bridgeSystem) manifestOf(t *testing.T, m *manifestServer, old bool) {
	address := webSocketURL(t, c.leaf)
	m.answer.Store(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		says := map[string]any{
			"version": "1", "wssUrl": address, "isLeader": true, "fallbackServers": []string{"nats://backbone"},
			"expiresAt": time.Now().Add(time.Minute).UTC().Format(time.RFC3339),
		}
		if !old {
			says["bridgeState"] = map[bool]string{true: "connected", false: "disconnected"}[c.leaf.NumLeafNodes() == 1]
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(says)
	}))
}

// A hub whose leaf loses its backbone does not stay there deaf, whatever was required; and nothing
// that a hub published on the backbone meanwhile is lost.
func TestLeafWithoutItsBackboneIsLeft(t *testing.T) {
	for _, require := range []hub.Backbone{"", hub.BackboneAlways, hub.BackboneConfigured} {
		t.Run(string(require), func(t *testing.T) {
			t.Parallel()
			c := startBridge(t)
			manifest := serveManifest(t)
			c.manifestOf(t, manifest, false)
			h := openHub(t, hub.Config{
				Servers: []string{c.backbone.ClientURL()}, Logger: logTo(t),
				Discovery: hub.Discovery{Enabled: true, ManifestURL: manifest.URL, CacheTTL: time.Second, RequireBackbone: require},
			})
			publisher := openHub(t, hub.Config{Servers: []string{c.backbone.ClientURL()}})
			var got atomic.Int64
			sub, err := h.Subscribe("n", hub.SubOptions{}, func(*hub.Message) { got.Add(1) })
			if err != nil || sub.Ready(soon(t)) != nil {
				t.Fatal(err)
			}
			made := moves(h)
			waitFor(t, "the leaf", func() bool { return h.Status().Via == "leaf" })
			ctx, stop := context.WithCancel(context.Background())
			var wg sync.WaitGroup
			var sent int64
			wg.Go(func() {
				for ; ctx.Err() == nil; sent++ {
					if err := publisher.Send(hub.OutMsg{Subject: "n", Data: fmt.Append(nil, sent)}).Err(); err != nil {
						t.Error(err)
						return
					}
					time.Sleep(20 * time.Millisecond)
				}
			})
			defer wg.Wait()
			defer stop()
			waitFor(t, "messages", func() bool { return got.Load() > 10 })
			c.cut()
			waitFor(t, "the way back", func() bool { return h.Status().Via == "configured" })
			for {
				m := nextMove(t, made)
				if m.Err != nil {
					t.Fatalf("moved %+v", m)
				}
				if m.Via == "configured" {
					if m.Reason != "leaf cut off" || !m.Planned {
						t.Errorf("moved %+v, want a planned move as the leaf is cut off", m)
					}
					break
				}
			}
			if s := h.Status(); s.Isolated {
				t.Errorf("isolated on the configured server")
			}
			// When the leaf has its backbone again, it is good enough again.
			c.up.Store(true)
			waitFor(t, "the leaf again", func() bool { s := h.Status(); return s.Via == "leaf" && !s.Isolated })
			stop()
			wg.Wait()
			waitFor(t, "all messages", func() bool { return got.Load() >= sent })
			if got.Load() != sent || h.Status().Missing != 0 {
				t.Errorf("%d of %d messages, %d missing", got.Load(), sent, h.Status().Missing)
			}
		})
	}
}

// Where there is nowhere to go, and where it does not matter, the hub stays, and says that it is isolated.
func TestLeafWithoutItsBackboneIsSaidToBe(t *testing.T) {
	for name, require := range map[string]hub.Backbone{"nowhere to go": "", "never minds": hub.BackboneNever} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := startBridge(t)
			manifest := serveManifest(t)
			c.manifestOf(t, manifest, false)
			client, err := url.Parse(c.backbone.ClientURL())
			if err != nil {
				t.Fatal(err)
			}
			var closed atomic.Bool
			address, cut := proxy(t, client.Host, func(to, from net.Conn) {
				if !closed.Load() {
					io.Copy(to, from)
				}
				to.Close()
				from.Close()
			})
			h := openHub(t, hub.Config{
				Servers: []string{"nats://" + address}, Logger: logTo(t),
				Discovery: hub.Discovery{Enabled: true, ManifestURL: manifest.URL, CacheTTL: 100 * time.Millisecond, RequireBackbone: require},
			})
			waitFor(t, "the leaf", func() bool { return h.Status().Via == "leaf" })
			var got atomic.Int64
			sub, err := h.Subscribe("n", hub.SubOptions{}, func(*hub.Message) { got.Add(1) })
			if err != nil || sub.Ready(soon(t)) != nil {
				t.Fatal(err)
			}
			publisher := openHub(t, hub.Config{Servers: []string{c.backbone.ClientURL()}})
			heard := func(n int64) func() bool {
				return func() bool {
					publisher.Publish(hub.OutMsg{Subject: "n"})
					return got.Load() >= n
				}
			}
			waitFor(t, "a message", heard(1))
			closed.Store(require == "")
			cut()
			c.cut()
			waitFor(t, "isolation", func() bool { return h.Status().Isolated && h.DiscoveryStatus().State == hub.DiscoveryIsolated })
			if via := h.Status().Via; via != "leaf" {
				t.Errorf("via %s", via)
			}
			// What is published in the silence comes when the leaf has its backbone again.
			waitFor(t, "silence", func() bool { return c.leaf.NumLeafNodes() == 0 })
			before := got.Load()
			for range 5 {
				publisher.Publish(hub.OutMsg{Subject: "n"})
			}
			c.up.Store(true)
			waitFor(t, "the backbone", func() bool { return !h.Status().Isolated && h.DiscoveryStatus().State == hub.DiscoveryLocal })
			waitFor(t, "what was published meanwhile", func() bool { return got.Load() >= before+5 })
		})
	}
}

// A leader of kinopio-hub 2.1.0 says nothing of its backbone: hubs go there if messages come
// through, and not otherwise.
func TestLeaderThatDoesNotSayWhetherItIsBridged(t *testing.T) {
	t.Parallel() // it mostly waits
	c := startBridge(t)
	manifest := serveManifest(t)
	c.manifestOf(t, manifest, true)
	for _, require := range []hub.Backbone{"", hub.BackboneAlways, hub.BackboneConfigured, hub.BackboneNever} {
		h := openHub(t, hub.Config{
			Servers:   []string{c.backbone.ClientURL()},
			Discovery: hub.Discovery{Enabled: true, ManifestURL: manifest.URL, CacheTTL: 5 * time.Millisecond, RequireBackbone: require},
		})
		waitFor(t, "the leaf", func() bool { s := h.Status(); return s.Via == "leaf" && !s.Isolated })
		// What was proven before the hub moved there is proven as long as it is there.
		c.cut()
		if require == hub.BackboneNever {
			waitFor(t, "isolation", func() bool { return h.Status().Isolated })
		} else {
			waitFor(t, "the way back", func() bool { return h.Status().Via == "configured" })
		}
		h.Close()
		c.up.Store(true)
		waitFor(t, "the bridge", func() bool { return c.leaf.NumLeafNodes() == 1 && c.backbone.NumLeafNodes() == 1 })
	}
	alone := startServer(t, withWebSocket)
	c.leaf = alone
	c.manifestOf(t, manifest, true)
	nc, err := nats.Connect(c.backbone.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	h := openHub(t, hub.Config{
		Servers:   []string{c.backbone.ClientURL()},
		Discovery: hub.Discovery{Enabled: true, ManifestURL: manifest.URL, CacheTTL: 5 * time.Millisecond},
	})
	var got atomic.Int64
	sub, err := h.Subscribe("n", hub.SubOptions{}, func(*hub.Message) { got.Add(1) })
	if err != nil || sub.Ready(soon(t)) != nil {
		t.Fatal(err)
	}
	made := moves(h)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for n := int64(0); ; n++ {
		select {
		case m := <-made:
			if m.Reason == "connect" {
				continue
			}
			if m.Err == nil || h.Status().Via != "configured" {
				t.Errorf("moved %+v, want none to a leaf that nothing comes through to", m)
			}
			nc.Flush()
			waitFor(t, "all messages", func() bool { return got.Load() >= n })
			if got.Load() != n {
				t.Errorf("%d of %d messages", got.Load(), n)
			}
			return
		case <-ctx.Done():
			t.Fatal("no move in a minute")
		default:
			if err := nc.Publish("n", fmt.Append(nil, n)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Millisecond)
		}
	}
}
