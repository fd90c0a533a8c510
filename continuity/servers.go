package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"

	"github.com/kinopio-hub/kinopio-hub/continuity/wire"
)

// patience bounds each wait for something that must happen.
const patience = time.Minute

var serial atomic.Int64

// A station is a running nats-server.
type station struct {
	*natsserver.Server
	client, websocket, leafnode string // host:port
}

func startStation(change func(*natsserver.Options)) (*station, error) {
	o := &natsserver.Options{
		ServerName: fmt.Sprintf("continuity-%d-%d", time.Now().UnixNano(), serial.Add(1)),
		Host:       "127.0.0.1", Port: natsserver.RANDOM_PORT,
		Websocket:           natsserver.WebsocketOpts{Host: "127.0.0.1", Port: natsserver.RANDOM_PORT, NoTLS: true},
		LameDuckGracePeriod: patience, LameDuckDuration: 2 * patience,
		NoLog: true, NoSigs: true, MaxClosedClients: 10,
	}
	change(o)
	s, err := natsserver.NewServer(o)
	if err != nil {
		return nil, fmt.Errorf("start a nats-server: %w", err)
	}
	s.Start()
	if !s.ReadyForConnections(patience) {
		s.Shutdown()
		return nil, fmt.Errorf("start a nats-server: not ready within %v", patience)
	}
	ports, varz := s.PortsInfo(patience), (*natsserver.Varz)(nil)
	if ports != nil {
		varz, err = s.Varz(nil)
	}
	if ports == nil || err != nil || len(ports.Nats) == 0 || len(ports.WebSocket) == 0 {
		s.Shutdown()
		return nil, fmt.Errorf("start a nats-server: it has no listeners")
	}
	return &station{
		Server: s, client: hostOf(ports.Nats[0]), websocket: hostOf(ports.WebSocket[0]),
		leafnode: net.JoinHostPort("127.0.0.1", strconv.Itoa(varz.LeafNode.Port)),
	}, nil
}

// stop ends the server without a warning.
func (s *station) stop() {
	s.Shutdown()
	s.WaitForShutdown()
}

func hostOf(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	return u.Host
}

// startBackbone starts servers that are one cluster, with routes that take delay. The first
// takes leaves.
func startBackbone(n int, delay time.Duration, clean *cleanup) ([]*station, error) {
	var all []*station
	for i := range n {
		var failed error
		s, err := startStation(func(o *natsserver.Options) {
			if i == 0 {
				o.LeafNode.Host, o.LeafNode.Port = "127.0.0.1", natsserver.RANDOM_PORT
			}
			if n == 1 {
				return
			}
			o.Cluster.Name, o.Cluster.Host, o.Cluster.Port, o.Cluster.NoAdvertise = "continuity", "127.0.0.1", natsserver.RANDOM_PORT, true
			for _, other := range all {
				p, err := wire.New(other.ClusterAddr().String(), delay)
				if err != nil {
					failed = err
					return
				}
				clean.add(p.Close)
				o.Routes = append(o.Routes, &url.URL{Scheme: "nats-route", Host: p.Address()})
			}
		})
		if err == nil {
			clean.add(s.stop)
			err = failed
		}
		if err != nil {
			return nil, err
		}
		all = append(all, s)
	}
	for _, s := range all {
		if err := until("the routes of a cluster", func() bool { return n == 1 || s.NumRoutes() > 0 }); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// A leaf is bridged to a backbone and may be started and ended many times; those who are on
// the LAN reach it by its door, always at the same address.
type leaf struct {
	name    string
	bridge  *wire.Proxy // leaf <-> backbone: far
	door    *wire.Proxy // hub <-> leaf: near
	running *station
}

func newLeaf(name string, backbone *station, delay time.Duration, clean *cleanup) (*leaf, error) {
	bridge, err := wire.New(backbone.leafnode, delay)
	if err != nil {
		return nil, err
	}
	clean.add(bridge.Close)
	door, err := wire.New("127.0.0.1:1", 0)
	if err != nil {
		return nil, err
	}
	clean.add(door.Close)
	l := &leaf{name: name, bridge: bridge, door: door}
	clean.add(l.kill)
	return l, nil
}

func (l *leaf) start() error {
	s, err := startStation(func(o *natsserver.Options) {
		o.LeafNode.ReconnectInterval = 50 * time.Millisecond
		o.LeafNode.Remotes = []*natsserver.RemoteLeafOpts{{URLs: []*url.URL{{Scheme: "nats-leaf", Host: l.bridge.Address()}}}}
	})
	if err != nil {
		return err
	}
	l.running = s
	l.door.Point(s.websocket)
	l.door.Refuse(false)
	return until("the leaf's bridge", func() bool { return s.NumLeafNodes() == 1 })
}

// leave tells the leaf's clients to go elsewhere.
func (l *leaf) leave() { go l.running.LameDuckShutdown() } // ends with kill

// kill ends the leaf at once: all its connections are reset.
func (l *leaf) kill() {
	if l.running == nil {
		return
	}
	l.door.Refuse(true)
	l.door.Cut()
	l.bridge.Cut()
	l.running.stop()
	l.running = nil
}

// A site serves the manifest, and the page with what was built for it.
type site struct {
	*httptest.Server
	leader atomic.Pointer[string] // the leaf's WebSocket URL; nil: no leader
	epoch  atomic.Int64
}

const manifestPath = "/.well-known/kinopio-leader.json"

func newSite(dist string) *site {
	s := &site{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case manifestPath:
			s.manifest(w)
		case "/":
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			fmt.Fprint(w, pageHTML)
		case "/page.js":
			w.Header().Set("Content-Type", "text/javascript")
			fmt.Fprint(w, pageJS)
		case "/kinopio-hub.wasm", "/kinopio-hub.global.js":
			http.ServeFile(w, r, filepath.Join(dist, r.URL.Path))
		default:
			http.NotFound(w, r)
		}
	}))
	return s
}

func (s *site) manifest(w http.ResponseWriter) {
	leader := s.leader.Load()
	w.Header().Set("Cache-Control", "no-store")
	if leader == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{ // whoever asked is gone, then
		"version": "1", "expiresAt": time.Now().Add(time.Hour).UTC().Format("2006-01-02T15:04:05.000Z07:00"),
		"leaderEpoch": s.epoch.Load(), "websocketUrl": *leader, "wssUrl": *leader, "nodeId": *leader,
		"fallbackServers": []string{"nats://backbone.example"}, "bridgeState": "connected", "isLeader": true,
	})
}

// lead makes a leaf the leader; nil: there is none.
func (s *site) lead(l *leaf) {
	if l == nil {
		s.leader.Store(nil)
		return
	}
	address := "ws://" + l.door.Address()
	s.epoch.Add(1)
	s.leader.Store(&address)
}

// until polls what no event tells.
func until(what string, ok func() bool) error {
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("waited %v for %s", patience, what)
		}
	}
	return nil
}

// soon bounds one wait.
func soon(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, patience)
}

// A cleanup has what is to be ended, the last first.
type cleanup struct{ all []func() }

func (c *cleanup) add(f func()) { c.all = append(c.all, f) }

func (c *cleanup) run() {
	for len(c.all) > 0 {
		last := c.all[len(c.all)-1]
		c.all = c.all[:len(c.all)-1]
		last()
	}
}
