package hub_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// Servers may permit nothing of what hubs tell one another, and hardly more subscriptions than the
// program has: moves are exact all the same, with one warning.
func TestMovesWhereServersPermitLittle(t *testing.T) {
	const subjects = 20
	// A password is needed for permissions.
	forbid := func(o *server.Options) {
		o.Users = []*server.User{{Username: "u", Password: "p", Permissions: &server.Permissions{
			Subscribe: &server.SubjectPermission{Allow: []string{">"}, Deny: []string{"_KH.>"}},
		}}, {Username: "bridge", Password: "p"}}
	}
	// The bridge has to carry them all, and some of its own.
	limit := func(o *server.Options) { o.MaxSubs = subjects + 12 }
	for name, c := range map[string]struct{ leaf, backbone func(*server.Options) }{
		"forbidden on both": {forbid, forbid},
		"forbidden there":   {forbid, nil},
		"forbidden here":    {nil, forbid},
		"too many":          {limit, limit},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sys := startSystemWith(t, c.backbone, c.leaf)
			var log warnings
			withUser := func(s *server.Server) string { return strings.Replace(s.ClientURL(), "nats://", "nats://u:p@", 1) }
			h := openHub(t, hub.Config{Servers: []string{withUser(sys.backbone)}, Logger: slog.New(&log)})
			book := &ledger{publisher: map[string]*stream{}}
			for i := range subjects {
				sub, err := h.Subscribe(fmt.Sprintf("n.%d", i), hub.SubOptions{}, func(m *hub.Message) {
					book.number(m.Subject, string(m.Data))
				})
				if err != nil || sub.Ready(soon(t)) != nil {
					t.Fatal(err)
				}
			}
			nc, err := nats.Connect(withUser(sys.leaf))
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			waitFor(t, "interest", func() bool { return sys.leaf.NumSubscriptions() >= subjects })
			ctx, stop := context.WithCancel(context.Background())
			var wg sync.WaitGroup
			total := 0
			wg.Go(func() {
				total, err = publishNumbers(ctx, rate/subjects, func(payload string) error {
					if payload == "same" {
						return nil
					}
					for i := range subjects {
						if err := nc.Publish(fmt.Sprintf("n.%d", i), []byte(payload)); err != nil {
							return err
						}
					}
					return nil
				})
			})
			heard := func(subject string) int {
				book.mu.Lock()
				defer book.mu.Unlock()
				if s := book.publisher[subject]; s != nil {
					return s.next
				}
				return 0
			}
			for i := range 6 {
				before := heard("n.0")
				waitFor(t, "messages between the moves", func() bool { return heard("n.0") > before+10 })
				if err := h.MoveTo(withUser([]*server.Server{sys.leaf, sys.backbone}[i%2])); err != nil {
					t.Errorf("move %d: %v", i, err)
				}
			}
			stop()
			wg.Wait()
			if err != nil {
				t.Error(err)
			}
			for i := range subjects {
				waitFor(t, "the last message", func() bool { return heard(fmt.Sprintf("n.%d", i)) >= total })
			}
			if bad := book.failures(); bad != nil {
				t.Error(strings.Join(bad, "\n"))
			}
			if n := log.about("cannot be asked for"); (n > 0) != (name != "too many") || n > 1 {
				t.Errorf("%d warnings of what is forbidden", n)
			}
		})
	}
}

// startSystemWith is startSystem with other options of the servers.
func startSystemWith(t *testing.T, backbone, leaf func(*server.Options)) system {
	t.Helper()
	b := startServer(t, func(o *server.Options) {
		o.LeafNode.Host, o.LeafNode.Port = "127.0.0.1", -1
		if backbone != nil {
			backbone(o)
		}
	})
	return system{backbone: b, leaf: startLeaf(t, b, 0, func(o *server.Options) {
		o.LeafNode.Remotes[0].URLs[0].User = url.UserPassword("bridge", "p")
		if leaf != nil {
			leaf(o)
		}
	})}
}

// number takes a message of a stream "0", "1", "2", …
func (l *ledger) number(publisher, payload string) {
	l.take(publisher, payload)
	l.mu.Lock()
	l.publisher[publisher].plain = 1 // as if the equal messages had come
	l.mu.Unlock()
}

// warnings is a slog.Handler that remembers what needs attention.
type warnings struct {
	mu   sync.Mutex
	said []string
}

func (w *warnings) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelWarn }
func (w *warnings) WithAttrs([]slog.Attr) slog.Handler           { return w }
func (w *warnings) WithGroup(string) slog.Handler                { return w }
func (w *warnings) Handle(_ context.Context, r slog.Record) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.said = append(w.said, r.Message)
	return nil
}

func (w *warnings) about(text string) (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, said := range w.said {
		if strings.Contains(said, text) {
			n++
		}
	}
	return n
}
