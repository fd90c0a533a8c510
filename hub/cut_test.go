package hub_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// cuttable is the address of a proxy to address whose connections can be cut, and the cut.
func cuttable(t testing.TB, address string) (string, func()) {
	t.Helper()
	proxied, cut := proxy(t, address, func(to, from net.Conn) {
		defer to.Close()
		io.Copy(to, from)
	})
	return "nats://" + proxied, cut
}

// Whichever link is cut, and in whichever step of a move: nothing is repeated or reordered.
// When it is the new one, before it has taken over, nothing is lost, either; between hubs nothing ever is.
func TestCutsWhileMoving(t *testing.T) {
	sys := startSystem(t, 2*time.Millisecond)
	for _, way := range []struct {
		which   string
		numbers bool
	}{{"old", false}, {"new", false}, {"old", true}, {"new", true}} {
		which := way.which
		for _, after := range []time.Duration{5, 60, 150, 240, 300, 420, 470, 520, 700} {
			t.Run(fmt.Sprintf("numbers=%v/%s after %dms", way.numbers, which, after), func(t *testing.T) {
				t.Parallel()
				// No server may be nearer to the hub than to the other server: else what it has
				// heard from the one that it loses may reach the other only after the hub.
				here, cutHere := cuttable(t, delayed(t, sys.backbone.Addr().String(), 3*time.Millisecond))
				there, cutThere := cuttable(t, delayed(t, sys.leaf.Addr().String(), 3*time.Millisecond))
				h := openHub(t, hub.Config{Servers: []string{here}, ReconnectWait: 10 * time.Millisecond})
				made := moves(h)
				subject := "cut." + strconv.FormatBool(way.numbers) + which + strconv.Itoa(int(after))
				var mu sync.Mutex
				last := map[string]int{}
				count, lost, wrong := 0, 0, 0
				sub, err := h.Subscribe(subject+".*", hub.SubOptions{}, func(m *hub.Message) {
					n, _ := strconv.Atoi(string(m.Data))
					mu.Lock()
					defer mu.Unlock()
					count++
					expected := last[m.Subject] + 1
					switch {
					case n > expected:
						lost += n - expected
					case n < expected:
						wrong++
					}
					last[m.Subject] = max(n, expected-1)
				})
				if err != nil || sub.Ready(soon(t)) != nil {
					t.Fatal(err)
				}
				awaitInterest(t, sys, h)
				ctx, stop := context.WithCancel(context.Background())
				var wg sync.WaitGroup
				for name, url := range sys.urls() {
					publish, flush := publisher(t, url, way.numbers)
					wg.Go(func() {
						tick := time.NewTicker(time.Millisecond)
						defer tick.Stop()
						for n := 1; ctx.Err() == nil; n++ {
							publish(subject+"."+name, []byte(strconv.Itoa(n)))
							<-tick.C
						}
						flush()
					})
				}
				cut := map[string]func(){"old": cutHere, "new": cutThere}[which]
				timer := time.AfterFunc(after*time.Millisecond, cut)
				defer timer.Stop()
				moveErr := h.MoveTo(there)
				if err := h.Connected(soon(t)); err != nil {
					t.Fatal(err)
				}
				arrived := func() int { mu.Lock(); defer mu.Unlock(); return count }
				before := arrived()
				waitFor(t, "messages after the move", func() bool { return arrived() > before+200 })
				stop()
				wg.Wait()
				if err := sub.Drain(soon(t)); err != nil {
					t.Fatal(err)
				}
				mu.Lock()
				defer mu.Unlock()
				events := ""
				for len(made) > 0 {
					m := <-made
					events += fmt.Sprintf(" [%s planned=%v took=%v err=%v]", m.Reason, m.Planned, m.Took.Round(time.Millisecond), m.Err)
				}
				t.Logf("move: %v; %d messages, %d lost, %d wrong;%s", moveErr, count, lost, wrong, events)
				if wrong > 0 {
					t.Errorf("%d messages were repeated or out of order", wrong)
				}
				if (way.numbers || which == "new" && moveErr != nil) && lost > 0 {
					t.Errorf("%d messages were lost", lost)
				}
			})
		}
	}
}
