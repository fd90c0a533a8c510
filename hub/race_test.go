package hub

import (
	"context"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// An ordered list means its order: a primary that answers in time wins, however near the others are. One
// that shows no sign of life meanwhile wins when it answers, by a move.
func TestOrderedMeansTheOrder(t *testing.T) {
	for name, primary := range map[string]struct {
		fakeServer
		after time.Duration // it has won at the latest
	}{
		"far":            {fakeServer{rtt: 150 * time.Millisecond}, 0},
		"very far":       {fakeServer{rtt: 700 * time.Millisecond}, 0},
		"late":           {fakeServer{rtt: 20 * time.Millisecond, late: 2 * time.Second}, 5 * time.Second},
		"very late":      {fakeServer{rtt: 20 * time.Millisecond, late: 4 * time.Second}, 7 * time.Second},
		"at the horizon": {fakeServer{rtt: 1500 * time.Millisecond}, 15 * time.Second},
	} {
		for _, selection := range []Selection{Ordered, Random} {
			if selection == Random && primary.after > 0 {
				continue // a random order is no preference
			}
			synctest.Test(t, func(t *testing.T) {
				n := threeServers()
				n.servers[far] = &primary.fakeServer
				cfg, err := Config{Servers: []string{far, near}, Selection: selection}.normalize()
				if err != nil {
					t.Fatal(err)
				}
				h := open(context.Background(), cfg, n)
				defer h.Close()
				h.Connected(context.Background())
				time.Sleep(primary.after)
				if server, first := h.Status().Server, h.rank("")[0].url; server != first {
					t.Errorf("%s, a primary that is %s: on %s, want %s", selection, name, server, first)
				}
			})
		}
	}
}

// A server that says nothing keeps the hub from the others for a step of connecting, and the next
// time only for its head start.
func TestSilentServerIsWaitedForOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := threeServers()
		n.servers[mid].silent = true
		start := time.Now()
		h := openFake(t, n, Config{Servers: []string{mid, near}, Selection: Ordered})
		h.Connected(context.Background())
		if took, server := time.Since(start), h.Status().Server; server != near || took > stepPatience(h.cfg.ReconnectTimeout)+100*time.Millisecond {
			t.Errorf("took %v to %s", took, server)
		}
		time.Sleep(time.Minute)
		start = time.Now()
		n.cut(near, false)
		synctest.Wait()
		h.Connected(context.Background())
		if took, server := time.Since(start), h.Status().Server; server != near || took > stagger+100*time.Millisecond {
			t.Errorf("the second time it took %v to %s", took, server)
		}
	})
}

// A hub on a later server of an ordered list goes back to the first one when that is there, by a
// planned move; a random or leaf's place is no reason to move.
func TestHubReturnsToItsPrimary(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := threeServers()
		n.servers[far].down = true
		h := openFake(t, n, Config{Servers: []string{far, near}, Selection: Ordered, Logger: logToT(t)})
		moves := make(chan Move, 100)
		h.OnMove(func(m Move) { moves <- m })
		for range 3 {
			if h.Connected(context.Background()); h.Status().Server != near {
				t.Fatalf("on %s, want the backup", h.Status().Server)
			}
			time.Sleep(10 * time.Minute)
			n.mu.Lock()
			n.servers[far].down = false
			n.mu.Unlock()
			time.Sleep(h.cfg.MaxRetryDelay + 20*time.Second)
			if server := h.Status().Server; server != far {
				t.Fatalf("%v after the primary is back: on %s", h.cfg.MaxRetryDelay, server)
			}
			time.Sleep(time.Minute)
			n.cut(far, true)
			synctest.Wait()
		}
		var planned int
		for len(moves) > 0 {
			m := <-moves
			if m.Err != nil {
				t.Errorf("a move failed: %+v", m)
			}
			if m.Planned && m.To == far && m.Reason == "earlier in the list" {
				planned++
			}
		}
		if planned != 3 {
			t.Errorf("%d planned moves to the primary, want 3", planned)
		}
	})
}

// A primary that takes hubs and drops them is not returned to again and again.
func TestPrimaryThatDropsTheHubIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := threeServers()
		h := openFake(t, n, Config{Servers: []string{mid, near}, Selection: Ordered})
		h.OnStateChange(func(State) {})
		begin, times := time.Now(), 0
		for time.Since(begin) < time.Hour {
			if h.Status().Server == mid {
				times++
				n.cut(mid, true)
				synctest.Wait()
				h.Connected(context.Background())
				n.mu.Lock()
				n.servers[mid].down = false
				n.mu.Unlock()
			}
			time.Sleep(100 * time.Millisecond)
		}
		if times < 100 || times > 400 { // on average every 15 s and what a move takes
			t.Errorf("on the primary %d times in an hour", times)
		}
	})
}

// One order for a hub's life, and each order as likely as the others.
func TestRandomOrderIsUnbiasedAndKept(t *testing.T) {
	first := map[string]int{}
	for range 300 {
		synctest.Test(t, func(t *testing.T) {
			n := threeServers()
			h := openFake(t, n, Config{Servers: []string{near, mid, far}, Selection: Random})
			h.Connected(context.Background())
			first[h.Status().Server]++
			kept := h.rank("")
			if h.Status().Server != kept[0].url {
				t.Errorf("on %s, the order is %v", h.Status().Server, kept)
			}
			for range 20 {
				if again := h.rank(""); !slices.Equal(kept, again) {
					t.Fatalf("the order changed from %v to %v", kept, again)
				}
			}
		})
	}
	for _, url := range []string{near, mid, far} {
		if first[url] < 60 || first[url] > 140 { // 100 on average, 8 the standard deviation
			t.Errorf("%s was the first of 300 random orders %d times", url, first[url])
		}
	}
}

// What counts is how long messages are under way, not how long connecting took.
func TestLatencyModeComparesRoundTrips(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &fakeNet{servers: map[string]*fakeServer{
			near: {rtt: 4 * time.Millisecond, late: 400 * time.Millisecond}, far: {rtt: 120 * time.Millisecond},
		}}
		if took, server := connectionTime(t, n, Config{Servers: []string{far, near}}); server != near {
			t.Errorf("on %s after %v, want the nearer", server, took)
		}
	})
	synctest.Test(t, func(t *testing.T) { // too late for the first choice
		n := &fakeNet{servers: map[string]*fakeServer{
			near: {rtt: 4 * time.Millisecond, late: 3 * time.Second}, far: {rtt: 120 * time.Millisecond},
		}}
		h := openFake(t, n, Config{Servers: []string{far, near}, Logger: logToT(t)})
		start := time.Now()
		h.Connected(context.Background())
		if took := time.Since(start); took > 1500*time.Millisecond {
			t.Errorf("connected after %v: a server that does not answer keeps the hub waiting", took)
		}
		time.Sleep(20 * time.Second)
		if server := h.Status().Server; server != near {
			t.Errorf("still on %s", server)
		}
	})
}

// logToT shows what a hub says when the test fails.
func logToT(t *testing.T) Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}
