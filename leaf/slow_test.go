package leaf

import (
	"context"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// slowly is a proxy that delivers each piece of what it carries after a delay.
func slowly(t *testing.T, to string, delay time.Duration) (address string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	carry := func(from, to net.Conn) {
		type piece struct {
			data []byte
			at   time.Time
		}
		pieces := make(chan piece, 1024)
		all.Go(func() {
			defer close(pieces)
			buffer := make([]byte, 32<<10)
			for {
				n, err := from.Read(buffer)
				if n > 0 {
					pieces <- piece{append([]byte(nil), buffer[:n]...), time.Now().Add(delay)}
				}
				if err != nil {
					return
				}
			}
		})
		all.Go(func() {
			defer to.Close()
			for p := range pieces {
				select {
				case <-ctx.Done():
				case <-time.After(time.Until(p.at)):
					_, _ = to.Write(p.data)
				}
			}
		})
	}
	all.Go(func() {
		for {
			a, err := ln.Accept()
			if err != nil {
				return
			}
			b, err := net.Dial("tcp", to)
			if err != nil {
				a.Close()
				continue
			}
			context.AfterFunc(ctx, func() { a.Close(); b.Close() })
			carry(a, b)
			carry(b, a)
		}
	})
	t.Cleanup(func() { cancel(); ln.Close(); all.Wait() })
	return ln.Addr().String()
}

// A backbone behind a satellite: its first word comes after more than the second that nats-server
// gives one by itself.
func TestSlowBackboneIsBridged(t *testing.T) {
	_, port := startHub(t, func(o *server.Options) { o.LeafNode.AuthTimeout = 20 }) // Its side of the same.
	c := config(t)
	c.BackboneServers = []string{"nats://" + slowly(t, at(port), 1300*time.Millisecond)}
	_, seen := startLeaf(t, c)
	seen.awaitBridge(t, BridgeConnected)
}

// No name server answers. A stop is a stop all the same.
func TestStopDoesNotWaitForANameServer(t *testing.T) {
	asked, release := make(chan struct{}, 64), make(chan struct{})
	unreachable := func(context.Context, string, string) (net.Conn, error) {
		asked <- struct{}{}
		<-release
		return nil, net.ErrClosed
	}
	nameServer.Store(&unreachable)
	var once sync.Once
	free := func() { once.Do(func() { close(release) }) }
	c := config(t)
	c.BackboneServers = []string{"nats://backbone.example.com:7422"}
	l, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer nameServer.Store(nil)
	defer free()
	within(t, asked, "the look-up of the backbone's name")
	giveUp := time.AfterFunc(patience, free)
	defer giveUp.Stop()
	began := time.Now()
	l.Stop(context.Background())
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("the stop took %v", took)
	}
}
