package hub

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestStandbyTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := threeServers()
		h := openFake(t, n, Config{Servers: []string{far, mid, near}, Standby: true})
		heard := 0
		sub, err := h.Subscribe("a", SubOptions{}, func(*Message) { heard++ })
		if err != nil {
			t.Fatal(err)
		}
		h.Connected(context.Background())
		time.Sleep(10 * time.Second)
		if s := h.Status(); s.Server != near || s.Standby != mid {
			t.Fatalf("on %s with standby %s, want %s and the next best, %s", s.Server, s.Standby, near, mid)
		}
		start := time.Now()
		n.cut(near, true)
		h.Publish(OutMsg{Subject: "a"})
		synctest.Wait()
		if s := h.Status(); s.Server != mid {
			t.Fatalf("after the loss on %s, want %s", s.Server, mid)
		}
		if took := time.Since(start); took != 0 {
			t.Errorf("took %v, want nothing: the connection was there", took)
		}
		time.Sleep(n.servers[mid].rtt)
		synctest.Wait()
		if s := h.Status(); s.Server != mid || heard != 1 {
			t.Fatalf("after the loss on %s and %d messages heard, want %s and 1", s.Server, heard, mid)
		}
		time.Sleep(10 * time.Second)
		if s := h.Status(); s.Standby != far {
			t.Errorf("the new standby is %q, want %s", s.Standby, far)
		}
		// A standby that dies is replaced, and nobody notices.
		n.cut(far, true)
		synctest.Wait()
		if s := h.Status(); s.Standby != "" || s.Server != mid {
			t.Errorf("on %s with the dead standby %q", s.Server, s.Standby)
		}
		n.mu.Lock()
		n.servers[near].down = false
		n.mu.Unlock()
		time.Sleep(time.Minute)
		if s := h.Status(); s.Standby != near || s.Reconnects != 1 {
			t.Errorf("the standby is %q after %d reconnections, want %s after 1", s.Standby, s.Reconnects, near)
		}
		sub.Unsubscribe()
		h.Close()
		synctest.Wait()
		n.mu.Lock()
		defer n.mu.Unlock()
		for _, w := range n.wires {
			if !w.gone() {
				t.Errorf("a connection to %s outlives its hub", w.url)
			}
		}
	})
}

// Servers that drop every client at once are not asked without end.
func TestStandbyIsNoHurry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := threeServers()
		openFake(t, n, Config{Servers: []string{mid, near}, Standby: true})
		time.Sleep(time.Minute)
		go func() {
			for range 10_000 {
				time.Sleep(10 * time.Millisecond)
				n.cut(near, false)
				n.cut(mid, false)
			}
		}()
		before := n.dialed()
		time.Sleep(100 * time.Second)
		if dials := n.dialed() - before; dials > 2000 {
			t.Errorf("%d attempts in 100 s", dials)
		}
	})
}
