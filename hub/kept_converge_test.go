package hub_test

import (
	"fmt"
	"io"
	"net"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// gated is a proxy to address that shut takes away, with all its connections, and open gives back.
func gated(t testing.TB, address string) (proxied string, shut, open func()) {
	t.Helper()
	var closed atomic.Bool
	proxied, cut := proxy(t, address, func(to, from net.Conn) {
		if !closed.Load() {
			io.Copy(to, from)
		}
		to.Close()
		from.Close()
	})
	return proxied, func() {
		closed.Store(true)
		cut()
	}, func() { closed.Store(false) }
}

// startDivided is a system whose bridge can be taken away and given back.
func startDivided(t testing.TB) (s system, divide, unite func()) {
	t.Helper()
	backbone := startServer(t, func(o *server.Options) {
		o.LeafNode.Host, o.LeafNode.Port, o.LeafNode.NoAdvertise = "127.0.0.1", -1, true
	})
	address, shut, open := gated(t, fmt.Sprintf("127.0.0.1:%d", leafPort(t, backbone)))
	leaf := startServer(t, func(o *server.Options) {
		o.LeafNode.Remotes = []*server.RemoteLeafOpts{{URLs: []*url.URL{{Scheme: "nats-leaf", Host: address}}}}
		o.LeafNode.ReconnectInterval = 100 * time.Millisecond
	})
	bridged := func(n int) {
		t.Helper()
		waitFor(t, fmt.Sprintf("%d bridges", n), func() bool { return leaf.NumLeafNodes() == n && backbone.NumLeafNodes() == n })
	}
	bridged(1)
	divide = func() {
		shut()
		bridged(0)
	}
	unite = func() {
		open()
		bridged(1)
	}
	return system{backbone: backbone, leaf: leaf}, divide, unite
}

// A throng follows the same names everywhere.
type throng struct {
	hubs  []*hub.Hub
	names []string
}

func (c *throng) variable(h, n int) *hub.Variable {
	return c.hubs[h].Scope(c.names[n][:2]).Variable(c.names[n][3:])
}

func startThrong(t *testing.T, s system, hubs, names int) *throng {
	c := &throng{}
	for n := range names {
		c.names = append(c.names, fmt.Sprintf("s%d.%d", n%4, n))
	}
	for i := range hubs {
		at := s.backbone
		if i%2 == 1 {
			at = s.leaf
		}
		h := openHub(t, hub.Config{Servers: []string{at.ClientURL()}})
		c.hubs = append(c.hubs, h)
		for n := range names {
			c.variable(i, n).Meta()
		}
	}
	for i := range hubs {
		for n := range names {
			if err := c.variable(i, n).Ready(soon(t)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return c
}

// difference is what hubs do not agree on; "" when they do.
func (c *throng) difference() string {
	for n := range c.names {
		first := c.variable(0, n)
		value, meta := first.Value(), first.Meta()
		for h := range c.hubs {
			if v := c.variable(h, n); v.Value() != value || v.Meta() != meta {
				return fmt.Sprintf("%s is %v %+v at hub %d, %v %+v at hub 0", c.names[n], v.Value(), v.Meta(), h, value, meta)
			}
		}
	}
	return ""
}

func (c *throng) agree(t *testing.T) time.Duration {
	t.Helper()
	start := time.Now()
	deadline := start.Add(2 * time.Minute)
	for {
		difference := c.difference()
		if difference == "" {
			return time.Since(start)
		}
		if time.Now().After(deadline) {
			t.Fatal(difference)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func TestTwoPartsOfASystemComeToTheSameValues(t *testing.T) {
	t.Parallel() // it mostly waits
	s, divide, unite := startDivided(t)
	c := startThrong(t, s, 20, 200)
	nc, err := nats.Connect(s.backbone.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	var all, reserved, bytes atomic.Int64
	if _, err := nc.Subscribe(">", func(m *nats.Msg) {
		all.Add(1)
		bytes.Add(int64(m.Size()))
		if len(m.Subject) > 4 && m.Subject[:4] == "_KH." {
			reserved.Add(1)
		}
	}); err != nil || nc.Flush() != nil {
		t.Fatal(err)
	}
	for round := range 2 {
		divide()
		for n := range c.names {
			for side := range 2 {
				for k := range 1 + (n+side+round)%3 {
					v := c.variable((n+k)%10*2+side, n)
					var err error
					if (n+k)%7 == 3 {
						err = v.Delete(soon(t))
					} else {
						err = v.Set(soon(t), fmt.Sprint(round, n, side, k))
					}
					if err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		if c.difference() == "" {
			t.Fatal("the two parts agree without having met")
		}
		if round == 1 {
			time.Sleep(8 * time.Second) // beats of both parts have gone by; in the other round perhaps none has
		}
		before, size := all.Load(), bytes.Load()
		unite()
		t.Logf("round %d: 20 hubs agree on 200 values %v after the bridge was back; %d messages, %d bytes at the backbone", round, c.agree(t).Round(time.Millisecond), all.Load()-before, bytes.Load()-size)
	}
	time.Sleep(16 * time.Second) // what changed last is offered at two beats
	before := reserved.Load()
	time.Sleep(8 * time.Second)
	// At most one beat in 4 s, and two that cross now and then.
	if n := reserved.Load() - before; n < 1 || n > 5 {
		t.Errorf("%d messages on reserved subjects in 8 s at rest: want some, at most 5", n)
	} else {
		t.Logf("at rest: %d messages on reserved subjects in 8 s", n)
	}
}

// A hub whose own connection was broken, with others' and its own sets meanwhile.
func TestWhoWasAwayCatchesUp(t *testing.T) {
	s := startServer(t, nil)
	address, shut, open := gated(t, s.Addr().String())
	away := openHub(t, hub.Config{Servers: []string{"nats://" + address}, MaxRetryDelay: 300 * time.Millisecond})
	stays := openHub(t, hub.Config{Servers: []string{s.ClientURL()}})
	const names = 100
	c := &throng{hubs: []*hub.Hub{away, stays}}
	for n := range names {
		c.names = append(c.names, fmt.Sprintf("s%d.%d", n%4, n))
		for h := range 2 {
			if err := c.variable(h, n).Ready(soon(t)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for round := range 3 {
		shut()
		waitFor(t, "the end of the connection", func() bool { return away.State() != hub.StateConnected })
		for n := range names {
			h := (n + round) % 2
			if n%5 == 4 { // both
				go c.variable(1-h, n).Set(t.Context(), fmt.Sprint("too", round, n))
			}
			if h == 0 {
				go c.variable(h, n).Set(t.Context(), fmt.Sprint(round, n))
			} else if err := c.variable(h, n).Set(soon(t), fmt.Sprint(round, n)); err != nil {
				t.Fatal(err)
			}
		}
		open()
		waitFor(t, "all to be sent", func() bool {
			for n := range names {
				for h := range 2 {
					if m := c.variable(h, n).Meta(); m.Pending || m.Counter == 0 {
						return false
					}
				}
			}
			return true
		})
		t.Logf("round %d: equal after %v", round, c.agree(t).Round(time.Millisecond))
	}
}
