package main

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"

	"github.com/kinopio-hub/kinopio-hub/v3/continuity/wire"
)

// startPatience bounds each wait for a server: that is long, as it says nothing about hubs.
const startPatience = 2 * time.Minute

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
		LameDuckGracePeriod: 5 * startPatience, LameDuckDuration: 10 * startPatience,
		NoLog: true, NoSigs: true, MaxClosedClients: 10,
	}
	change(o)
	s, err := natsserver.NewServer(o)
	if err != nil {
		return nil, fmt.Errorf("start a nats-server: %w", err)
	}
	s.Start()
	if !s.ReadyForConnections(startPatience) {
		s.Shutdown()
		return nil, fmt.Errorf("start a nats-server: not ready within %v", startPatience)
	}
	ports, varz := s.PortsInfo(startPatience), (*natsserver.Varz)(nil)
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
		if err := until("the routes of a cluster", startPatience, func() bool { return n == 1 || s.NumRoutes() > 0 }); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// A leaf is bridged to a backbone and may be started and ended many times; those who are on
// the LAN reach it by its doors, always at the same addresses.
type leaf struct {
	name    string
	bridge  *wire.Proxy // leaf <-> backbone
	door    *wire.Proxy // subject <-> leaf
	side    *wire.Proxy // crew <-> leaf
	running *station
}

// newLeaf is not started yet; each of its links takes delay.
func newLeaf(name string, backbone *station, delay time.Duration, clean *cleanup) (*leaf, error) {
	bridge, err := wire.New(backbone.leafnode, delay)
	if err != nil {
		return nil, err
	}
	clean.add(bridge.Close)
	l := &leaf{name: name, bridge: bridge}
	for _, door := range []**wire.Proxy{&l.door, &l.side} {
		if *door, err = wire.New("127.0.0.1:1", delay); err != nil {
			return nil, err
		}
		clean.add((*door).Close)
	}
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
	l.side.Point(s.client)
	l.door.Refuse(false)
	l.side.Refuse(false)
	return until("the leaf's bridge", startPatience, func() bool { return s.NumLeafNodes() == 1 })
}

// leave tells the leaf's clients to go elsewhere.
func (l *leaf) leave() { go l.running.LameDuckShutdown() } // ends with kill

// kill ends the leaf at once: all its connections are reset.
func (l *leaf) kill() {
	if l.running == nil {
		return
	}
	l.door.Refuse(true)
	l.side.Refuse(true)
	l.door.Cut()
	l.side.Cut()
	l.bridge.Cut()
	l.running.stop()
	l.running = nil
}

// until polls what no event tells.
func until(what string, patience time.Duration, ok func() bool) error {
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("waited %v for %s", patience, what)
		}
	}
	return nil
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
