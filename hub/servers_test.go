package hub_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// startServer runs a real nats-server until the test ends.
func startServer(t testing.TB, change func(*server.Options)) *server.Server {
	t.Helper()
	opts := &server.Options{
		Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true, MaxClosedClients: 10,
		ServerName: "test-" + t.Name() + "-" + fmt.Sprint(time.Now().UnixNano()),
	}
	opts.LameDuckGracePeriod, opts.LameDuckDuration = 10*time.Second, 20*time.Second
	if change != nil {
		change(opts)
	}
	s, err := server.NewServer(opts)
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("nats-server did not start")
	}
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	return s
}

// A system is a backbone and a leaf that is bridged to it, through a proxy that delays, or
// two other servers that a hub may move between; a third one, if any, has publishers as well.
type system struct{ backbone, leaf, third *server.Server }

func startSystem(t testing.TB, delay time.Duration) system {
	t.Helper()
	backbone := startServer(t, func(o *server.Options) {
		o.LeafNode.Host, o.LeafNode.Port = "127.0.0.1", -1
	})
	return system{backbone: backbone, leaf: startLeaf(t, backbone, delay)}
}

func startLeaf(t testing.TB, backbone *server.Server, delay time.Duration, change ...func(*server.Options)) *server.Server {
	t.Helper()
	address := fmt.Sprintf("127.0.0.1:%d", leafPort(t, backbone))
	remote, err := url.Parse("nats-leaf://" + delayed(t, address, delay))
	if err != nil {
		t.Fatal(err)
	}
	leaf := startServer(t, func(o *server.Options) {
		o.LeafNode.Remotes = []*server.RemoteLeafOpts{{URLs: []*url.URL{remote}}}
		for _, f := range change {
			f(o)
		}
	})
	waitFor(t, "the bridge", func() bool { return leaf.NumLeafNodes() == 1 })
	return leaf
}

// waitFor polls what no event tells, within 10 s.
func waitFor(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited a minute for %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// delayed is the address of a TCP proxy to address that delays each direction.
func delayed(t testing.TB, address string, delay time.Duration) string {
	t.Helper()
	if delay == 0 {
		return address
	}
	var always atomic.Bool
	always.Store(true)
	return delayedWhile(t, address, delay, &always)
}

// delayedWhile is delayed, as long as on says so.
func delayedWhile(t testing.TB, address string, delay time.Duration, on *atomic.Bool) string {
	t.Helper()
	proxied, _ := proxy(t, address, func(to, from net.Conn) { copyDelayed(to, from, delay, on) })
	return proxied
}

// proxy is the address of a TCP proxy to address, and what resets its present connections.
// forward copies one direction, until it ends.
func proxy(t testing.TB, address string, forward func(to, from net.Conn)) (proxied string, cut func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	cut = func() {
		mu.Lock()
		defer mu.Unlock()
		for _, c := range open {
			c.(*net.TCPConn).SetLinger(0)
			c.Close()
		}
		open = nil
	}
	wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", address)
			if err != nil {
				in.Close()
				continue
			}
			mu.Lock()
			open = append(open, in, out)
			mu.Unlock()
			wg.Go(func() { forward(out, in) })
			wg.Go(func() { forward(in, out) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		cut()
		wg.Wait()
	})
	return l.Addr().String(), cut
}

// copyDelayed keeps order and bandwidth: each piece leaves its delay after it came.
func copyDelayed(to, from net.Conn, delay time.Duration, on *atomic.Bool) {
	type piece struct {
		data []byte
		due  time.Time
	}
	pieces := make(chan piece, 4096)
	go func() {
		defer close(pieces)
		for {
			buf := make([]byte, 16<<10)
			n, err := from.Read(buf)
			if n > 0 {
				due := time.Now()
				if on.Load() {
					due = due.Add(delay)
				}
				pieces <- piece{buf[:n], due}
			}
			if err != nil {
				return
			}
		}
	}()
	for p := range pieces {
		time.Sleep(time.Until(p.due))
		if _, err := to.Write(p.data); err != nil {
			from.Close()
		}
	}
	to.Close()
	io.Copy(io.Discard, from)
}

// openHub opens a hub that is closed with the test, and waits until it is connected.
func openHub(t testing.TB, cfg hub.Config) *hub.Hub {
	t.Helper()
	h, err := hub.Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	if err := h.Connected(soon(t)); err != nil {
		t.Fatal(err)
	}
	return h
}

// soon is a context for what must not take longer than 10 s.
func soon(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// leafPort is where leaves connect to s.
func leafPort(t testing.TB, s *server.Server) int {
	t.Helper()
	v, err := s.Varz(nil)
	if err != nil {
		t.Fatal(err)
	}
	return v.LeafNode.Port
}

// blackHole is a server that accepts and then says nothing.
func blackHole(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return "nats://" + l.Addr().String()
}

// startCluster runs three servers of one cluster, each route delayed.
func startCluster(t testing.TB, delay time.Duration) system {
	t.Helper()
	return startRouted(t, delay, delay, delay)
}

// startRouted is startCluster with the delays of the routes from the second server to the first one,
// and from the third one to the first and to the second.
func startRouted(t testing.TB, second, third, between time.Duration) system {
	t.Helper()
	delays := [][]time.Duration{nil, {second}, {third, between}}
	var all []*server.Server
	for i := range 3 {
		all = append(all, startServer(t, func(o *server.Options) {
			o.Cluster.Name, o.Cluster.Host, o.Cluster.Port, o.Cluster.NoAdvertise = "c", "127.0.0.1", -1, true
			o.Cluster.Advertise = "127.0.0.1:1" // servers tell each other of servers: such routes would know no delay
			for k, other := range all {
				o.Routes = append(o.Routes, &url.URL{Scheme: "nats-route", Host: delayed(t, other.ClusterAddr().String(), delays[i][k])})
			}
		}))
	}
	for _, s := range all {
		waitFor(t, "the routes", func() bool { return s.NumRoutes() > 0 && routedServers(t, s) == 2 })
	}
	return system{all[0], all[1], all[2]}
}

func routedServers(t testing.TB, s *server.Server) int {
	t.Helper()
	r, err := s.Routez(nil)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, route := range r.Routes {
		names[route.RemoteID] = true
	}
	return len(names)
}

// startGateway runs two clusters of one server each, with a gateway between them.
func startGateway(t testing.TB, delay time.Duration) system {
	t.Helper()
	start := func(name, to, address string) *server.Server {
		return startServer(t, func(o *server.Options) {
			o.Gateway.Name, o.Gateway.Host, o.Gateway.Port = name, "127.0.0.1", -1
			if address != "" {
				o.Gateway.Gateways = []*server.RemoteGatewayOpts{{Name: to, URLs: []*url.URL{{Scheme: "nats", Host: delayed(t, address, delay)}}}}
			}
		})
	}
	a := start("a", "", "")
	b := start("b", "a", a.GatewayAddr().String())
	waitFor(t, "the gateway", func() bool { return a.NumOutboundGateways() == 1 && b.NumOutboundGateways() == 1 })
	return system{backbone: a, leaf: b}
}
