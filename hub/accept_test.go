package hub_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// sayInfo is a server that says INFO, takes what the hub says, and then does what end says.
func sayInfo(t *testing.T, end func(net.Conn)) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() {
		l.Close()
		all.Wait()
	})
	all.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer conn.Close()
				fmt.Fprint(conn, "INFO {\"max_payload\":1048576,\"headers\":true}\r\n")
				from := bufio.NewReader(conn)
				for range 2 { // CONNECT, PING
					if _, err := from.ReadString('\n'); err != nil {
						return
					}
				}
				if end != nil {
					end(conn)
					return
				}
				for {
					if _, err := from.ReadString('\n'); err != nil {
						return
					}
				}
			})
		}
	})
	return "nats://" + l.Addr().String()
}

func (l *ledger) heard(publisher string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.publisher[publisher]; s != nil {
		return s.messages
	}
	return 0
}

// A hub subscribes on a new server before that has accepted it. When it does not, nothing has happened.
func TestMoveToAServerThatDoesNotAcceptTheHub(t *testing.T) {
	for name, c := range map[string]struct {
		url  func(*testing.T) string
		want string
	}{
		"refused": {func(t *testing.T) string {
			return startServer(t, func(o *server.Options) { o.Authorization = "secret" }).ClientURL()
		}, "Authorization Violation"},
		"gone":   {func(t *testing.T) string { return sayInfo(t, func(net.Conn) {}) }, "EOF"},
		"silent": {func(t *testing.T) string { return sayInfo(t, nil) }, "deadline exceeded"},
		"not NATS": {func(t *testing.T) string {
			return sayInfo(t, func(conn net.Conn) { fmt.Fprint(conn, "HTTP/1.1 400 Bad Request\r\n\r\n") })
		}, "malformed NATS protocol"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sys := startSystem(t, time.Millisecond)
			h := openHub(t, hub.Config{Servers: []string{sys.backbone.ClientURL()}, Discovery: hub.Discovery{SwitchTimeout: time.Second}})
			book := &ledger{publisher: map[string]*stream{}}
			sub, err := h.Subscribe("n", hub.SubOptions{}, func(m *hub.Message) { book.take("n", string(m.Data)) })
			if err != nil || sub.Ready(soon(t)) != nil {
				t.Fatal(err)
			}
			publish, flush := publisher(t, sys.backbone.ClientURL(), true)
			ctx, stop := context.WithCancel(context.Background())
			total, done := 0, make(chan struct{})
			go func() {
				defer close(done)
				total, _ = publishNumbers(ctx, 500, func(payload string) error { return publish("n", []byte(payload)) })
			}()
			url := c.url(t)
			for range 3 {
				err := h.MoveTo(url)
				if !errors.Is(err, hub.ErrMove) || !errors.Is(err, hub.ErrConnect) || !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v, want an error of connecting with %q", err, c.want)
				}
				if s := h.Status(); s.Server != sys.backbone.ClientURL() || s.Phase != "" {
					t.Errorf("the hub is on %s, phase %q: want it where it was", s.Server, s.Phase)
				}
			}
			if err := h.MoveTo(sys.leaf.ClientURL()); err != nil {
				t.Errorf("a move to a server that accepts the hub: %v", err)
			}
			stop()
			<-done
			if err := flush(); err != nil {
				t.Fatal(err)
			}
			waitFor(t, "all messages", func() bool { return book.heard("n") >= 2*total })
			for _, line := range book.failures() {
				t.Error(line)
			}
		})
	}
}

// The old server is lost while the new one has not accepted the hub: it connects anew.
func TestLosingAServerWhileAnotherDoesNotAccept(t *testing.T) {
	s := startServer(t, nil)
	through, cut := cuttable(t, s.Addr().String())
	h := openHub(t, hub.Config{Servers: []string{through}, Discovery: hub.Discovery{SwitchTimeout: time.Second}})
	said := make(chan struct{})
	silent := sayInfo(t, func(conn net.Conn) {
		close(said)
		_, _ = conn.Read(make([]byte, 1<<20))
		_, _ = bufio.NewReader(conn).ReadString(0) // until the hub has hung up
	})
	moved := make(chan error, 1)
	go func() { moved <- h.MoveTo(silent) }()
	<-said
	cut()
	if err := <-moved; !errors.Is(err, hub.ErrMove) {
		t.Errorf("the move: got %v, want that it was not made", err)
	}
	waitFor(t, "the hub to be back", func() bool { return h.State() == hub.StateConnected && h.Status().Reconnects == 1 })
	if got := h.Status().Server; got != through {
		t.Errorf("the hub is on %s, want %s", got, through)
	}
}
