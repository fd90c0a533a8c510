package leaf

import (
	"bytes"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// fronted is a leaf whose WebSockets come through a front, as on systems that tell a process nothing of its sockets, with room
// for so many that are no clients yet.
func fronted(t *testing.T, most int, silence time.Duration) *Leaf {
	t.Helper()
	c := config(t)
	c.front, c.frontSilence, c.NoWebSocketTLS = true, silence, true
	l, _ := startLeaf(t, c)
	f := l.server().front
	if f == nil {
		t.Fatal("there is no front")
	}
	f.ln.turnstile.mu.Lock()
	f.ln.turnstile.most = most
	f.ln.turnstile.mu.Unlock()
	return l
}

// Clients are many more than those that may wait: they stay, and what they say arrives whole.
func TestFrontLetsAllClientsThrough(t *testing.T) {
	l := fronted(t, 8, silencePatience)
	url := l.Status().WSSURL
	inner := connect(t, l.Status().ClientURL)
	big := bytes.Repeat([]byte("0123456789abcdef"), 60_000) // Nearly a whole message.
	var all []*nats.Conn
	for i := range 40 {
		var nc *nats.Conn
		var err error
		for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) { // Places become free when the server knows its clients.
			if nc, err = nats.Connect(url, nats.NoReconnect()); err == nil {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("client %d: %v", i, err)
			}
		}
		t.Cleanup(nc.Close)
		all = append(all, nc)
	}
	sub, err := inner.SubscribeSync("big")
	if err != nil || inner.Flush() != nil {
		t.Fatal(err)
	}
	for i, nc := range all {
		if err := nc.Publish("big", big); err != nil || nc.FlushTimeout(patience) != nil {
			t.Fatalf("client %d has gone: %v", i, err)
		}
		if m, err := sub.NextMsg(patience); err != nil || !bytes.Equal(m.Data, big) {
			t.Fatalf("from client %d: %v", i, err)
		}
	}
	for deadline := time.Now().Add(patience); l.Status().Connections != len(all)+1; time.Sleep(50 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d are connected, want %d", l.Status().Connections, len(all)+1)
		}
	}
	if urls := all[0].DiscoveredServers(); strings.Contains(fmt.Sprint(urls), "127.0.0.1") && !strings.Contains(fmt.Sprint(urls), strings.TrimPrefix(url, "ws://")) {
		t.Errorf("clients are told of %v, and the leaf is at %s", urls, url)
	}
	// What a client has said last arrives, and its end is seen; the leaf ends with clients connected.
	if err := all[0].Publish("big", []byte("last")); err != nil {
		t.Fatal(err)
	}
	all[0].Close()
	if m, err := sub.NextMsg(patience); err != nil || string(m.Data) != "last" {
		t.Errorf("what was said last: %v", err)
	}
}

// Who says nothing is cut soon, and until then has no more than its part.
func TestFrontCutsWhoSaysNothing(t *testing.T) {
	l := fronted(t, 8, 2*time.Second)
	url := l.Status().WSSURL
	for range 30 {
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "ws://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	if nc, err := nats.Connect(url, nats.NoReconnect(), nats.Timeout(time.Second)); err == nil {
		nc.Close()
		t.Error("more than may wait are let in: nothing is tested")
	}
	began := time.Now()
	for {
		nc, err := nats.Connect(url, nats.NoReconnect(), nats.Timeout(time.Second))
		if err == nil {
			nc.Close()
			break
		}
		if time.Since(began) > patience {
			t.Fatalf("nobody is let in for %v: %v", time.Since(began), err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// A front that ends is started again, as any listener of a leaf, at its port.
func TestFrontIsMended(t *testing.T) {
	l := fronted(t, 100, silencePatience)
	url := l.Status().WSSURL
	l.server().front.ln.Close()
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		nc, err := nats.Connect(url, nats.NoReconnect())
		if err == nil {
			nc.Close()
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("not started again: %v", err)
		}
	}
	if now := l.Status(); now.WSSURL != url || now.Restarts == 0 {
		t.Errorf("at %s after %d restarts, was at %s", now.WSSURL, now.Restarts, url)
	}
}

// BenchmarkFront is what a front costs: a round trip of a client by WebSocket, and what one publishes in a second.
func BenchmarkFront(b *testing.B) {
	for _, front := range []bool{false, true} {
		b.Run(fmt.Sprintf("front=%v", front), func(b *testing.B) {
			l, err := Start(b.Context(), Config{DiscoveryNamespace: "test", LANBindAddress: "127.0.0.1", NoWebSocketTLS: true, NoWebTransport: true,
				CacheDir: b.TempDir(), RuntimeDir: b.TempDir(), front: front})
			if err != nil {
				b.Fatal(err)
			}
			defer l.Stop(b.Context())
			nc, err := nats.Connect(l.Status().WSSURL)
			if err != nil {
				b.Fatal(err)
			}
			defer nc.Close()
			b.Run("round trip", func(b *testing.B) {
				for b.Loop() {
					if err := nc.FlushTimeout(patience); err != nil {
						b.Fatal(err)
					}
				}
			})
			b.Run("1 KiB", func(b *testing.B) {
				data := make([]byte, 1<<10)
				b.SetBytes(1 << 10)
				for b.Loop() {
					if err := nc.Publish("x", data); err != nil {
						b.Fatal(err)
					}
				}
				if err := nc.FlushTimeout(patience); err != nil {
					b.Fatal(err)
				}
			})
		})
	}
}
