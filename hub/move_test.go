package hub_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// A ledger counts what happened to numbered streams, of which each second message has the
// payload of every other such message: those are told apart by how many came in between.
type ledger struct {
	mu        sync.Mutex
	publisher map[string]*stream
}

type stream struct{ next, plain, messages, lost, repeated, reordered int }

// Each publisher sends "<n>" and then "same", n = 0, 1, 2, …
func (l *ledger) take(publisher, payload string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.publisher[publisher]
	if s == nil {
		s = &stream{}
		l.publisher[publisher] = s
	}
	s.messages++
	if payload == "same" {
		s.plain++
		return
	}
	n, _ := strconv.Atoi(payload)
	switch {
	case n == s.next:
	case n > s.next:
		s.lost += n - s.next
	case n < s.next:
		s.reordered++ // or repeated: both are defects
		return
	}
	// Between two numbers there is exactly one "same".
	if n > 0 {
		if want := n - s.next + 1; s.plain < want {
			s.lost += want - s.plain
		} else if s.plain > want {
			s.repeated += s.plain - want
		}
	}
	s.plain = 0
	s.next = n + 1
}

func (l *ledger) failures() (lines []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, s := range l.publisher {
		if s.lost+s.repeated+s.reordered > 0 || s.messages == 0 {
			lines = append(lines, fmt.Sprintf("%s: %+v", name, *s))
		}
	}
	return lines
}

// publishNumbers sends perSecond messages a second through publish until ctx ends, and returns how many pairs.
func publishNumbers(ctx context.Context, perSecond int, publish func(payload string) error) (int, error) {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	start, sent := time.Now(), 0
	for {
		select {
		case <-ctx.Done():
			return sent, nil
		case <-tick.C:
		}
		for due := int(time.Since(start).Seconds() * float64(perSecond) / 2); sent < due; sent++ {
			if err := publish(strconv.Itoa(sent)); err != nil {
				return sent, err
			}
			if err := publish("same"); err != nil {
				return sent, err
			}
		}
	}
}

// A planned move loses, repeats and reorders nothing: for a hub that listens while two plain
// clients publish, and for a hub that publishes.
func TestPlannedMovesAreExact(t *testing.T) {
	const hubs, plain = true, false // what publishes
	for _, c := range []struct {
		delay    time.Duration
		noEcho   bool
		subjects int
		numbers  bool
		start    func(testing.TB, time.Duration) system
	}{
		{0, false, 8, plain, startSystem}, {10 * time.Millisecond, false, 8, plain, startSystem},
		{30 * time.Millisecond, false, 1, plain, startSystem}, {10 * time.Millisecond, true, 8, plain, startSystem},
		{0, false, 200, plain, startSystem}, {100 * time.Millisecond, false, 8, plain, startSystem},
		{0, true, 8, hubs, startSystem}, {10 * time.Millisecond, false, 8, hubs, startSystem}, {300 * time.Millisecond, false, 8, hubs, startSystem},
		{0, false, 8, hubs, startCluster}, {10 * time.Millisecond, false, 8, hubs, startCluster},
		{0, false, 8, hubs, startGateway}, {10 * time.Millisecond, false, 8, hubs, startGateway},
	} {
		t.Run(fmt.Sprintf("%s/numbers=%v/delay=%v/noEcho=%v/subjects=%d", topology(c.start), c.numbers, c.delay, c.noEcho, c.subjects), func(t *testing.T) {
			t.Parallel()

			sys := c.start(t, c.delay)
			listener := openHub(t, hub.Config{Servers: []string{sys.backbone.ClientURL()}, NoEcho: c.noEcho, Logger: logTo(t)})
			fixed := openHub(t, hub.Config{Servers: []string{sys.backbone.ClientURL()}})
			book := &ledger{publisher: map[string]*stream{}}
			listen := func(h *hub.Hub, who, subject string) {
				sub, err := h.Subscribe(subject, hub.SubOptions{}, func(m *hub.Message) {
					book.take(who+"<-"+m.Subject, string(m.Data))
				})
				if err != nil || sub.Ready(soon(t)) != nil {
					t.Fatal(err)
				}
			}
			for i := range c.subjects {
				listen(listener, "moving", fmt.Sprintf("n.%d.backbone", i))
				listen(listener, "moving", fmt.Sprintf("n.%d.leaf", i))
				if sys.third != nil {
					listen(listener, "moving", fmt.Sprintf("n.%d.third", i))
				}
			}
			listen(fixed, "fixed", "n.0.moving")
			if c.noEcho {
				echo := make(chan struct{}, 1)
				sub, err := listener.Subscribe("n.0.moving", hub.SubOptions{}, func(m *hub.Message) {
					select {
					case echo <- struct{}{}:
						t.Error("a hub with NoEcho hears itself during a move")
					default:
					}
				})
				if err != nil || sub.Ready(soon(t)) != nil {
					t.Fatal(err)
				}
			} else {
				listen(listener, "itself", "n.0.moving")
			}

			awaitInterest(t, sys, listener)

			ctx, stop := context.WithCancel(context.Background())
			var wg sync.WaitGroup
			defer wg.Wait()
			defer stop()
			totals := sync.Map{}
			for name, url := range sys.urls() {
				publish, flush := publisher(t, url, c.numbers)
				subjects := make([]string, c.subjects)
				for i := range subjects {
					subjects[i] = fmt.Sprintf("n.%d.%s", i, name)
				}
				wg.Go(func() {
					n, err := publishNumbers(ctx, rate/c.subjects, func(payload string) error {
						for _, subject := range subjects {
							if err := publish(subject, []byte(payload)); err != nil {
								return err
							}
						}
						return nil
					})
					if err != nil {
						t.Error(err)
					}
					if err := flush(); err != nil {
						t.Error(err)
					}
					for _, subject := range subjects {
						totals.Store("moving<-"+subject, n)
					}
				})
			}
			wg.Go(func() {
				n, err := publishNumbers(ctx, rate/3, func(payload string) error {
					return listener.Send(hub.OutMsg{Subject: "n.0.moving", Data: []byte(payload)}).Wait(ctx)
				})
				if err != nil && ctx.Err() == nil {
					t.Error(err)
				}
				_ = n
			})
			moves, undone := 6, 0
			if n, err := strconv.Atoi(os.Getenv("KINOPIO_MOVES")); err == nil {
				moves = n
			}
			least := time.Now().Add(2 * time.Second) // so that there is something to lose
			for i := 0; i < moves || time.Now().Before(least); i++ {
				to := sys.leaf.ClientURL()
				if i%2 == 1 {
					to = sys.backbone.ClientURL()
				}
				// A move that a busy machine cannot complete in time is undone, and must be
				// exact all the same.
				if err := listener.MoveTo(to); err != nil {
					undone++
					t.Logf("move %d: %v", i, err)
				}
			}
			stop()
			wg.Wait()
			if undone > moves/2 {
				t.Errorf("%d of %d moves were undone", undone, moves)
			}
			if err := listener.Flush(soon(t)); err != nil {
				t.Error(err)
			}
			totals.Range(func(name, n any) bool {
				waitFor(t, fmt.Sprintf("message %d of %s", n, name), func() bool {
					book.mu.Lock()
					defer book.mu.Unlock()
					s := book.publisher[name.(string)]
					return s != nil && s.next >= n.(int)
				})
				return true
			})
			if missing := listener.Status().Missing; missing != 0 {
				t.Errorf("%d messages missing by their numbers", missing)
			}
			if bad := book.failures(); bad != nil {
				t.Errorf("after %d moves:\n%s", moves, strings.Join(bad, "\n"))
			}
		})
	}
}

// logTo shows what a hub says when the test fails.
func logTo(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// publisher is a plain client of the server at url, or a hub, whose messages have numbers.
func publisher(t *testing.T, url string, numbers bool) (publish func(subject string, data []byte) error, flush func() error) {
	t.Helper()
	if numbers {
		h := openHub(t, hub.Config{Servers: []string{url}})
		return func(subject string, data []byte) error {
			return h.Send(hub.OutMsg{Subject: subject, Data: data}).Err()
		}, func() error { return h.Flush(soon(t)) }
	}
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc.Publish, nc.Flush
}

func topology(start func(testing.TB, time.Duration) system) string {
	name := runtime.FuncForPC(reflect.ValueOf(start).Pointer()).Name()
	return strings.ToLower(name[strings.LastIndex(name, ".start")+len(".start"):])
}

// urls are where publishers of a system connect.
func (s system) urls() map[string]string {
	urls := map[string]string{"backbone": s.backbone.ClientURL(), "leaf": s.leaf.ClientURL()}
	if s.third != nil {
		urls["third"] = s.third.ClientURL()
	}
	return urls
}

// awaitInterest returns when both servers know everything that h subscribed to so far.
func awaitInterest(t *testing.T, sys system, h *hub.Hub) {
	t.Helper()
	for _, url := range sys.urls() {
		subject := "ready." + strconv.Itoa(len(url)) + url[len(url)-5:]
		heard := make(chan struct{}, 1000)
		sub, err := h.Subscribe(subject, hub.SubOptions{}, func(*hub.Message) { heard <- struct{}{} })
		if err != nil || sub.Ready(soon(t)) != nil {
			t.Fatal(err)
		}
		nc, err := nats.Connect(url)
		if err != nil {
			t.Fatal(err)
		}
		waitFor(t, "interest to spread", func() bool {
			nc.Publish(subject, nil)
			return len(heard) > 0
		})
		nc.Close()
		sub.Unsubscribe()
	}
}
