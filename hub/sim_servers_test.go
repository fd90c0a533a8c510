//go:build !js

package hub

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/natswire"
)

// The simulated servers do what nats-server does when a member of a queue group leaves a cluster: what was on
// its way to it comes back, goes to another member, and once more to plain subscriptions that it passes.
func TestSimulatedServersReturnWhatIsForAMemberThatHasGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &simWorld{p: &simPlan{}}
		w.n = newSimNet(rand.New(rand.NewPCG(1, 1)))
		go w.n.run()
		defer w.n.stop()
		var servers []*simServer
		for i := range 3 {
			s := w.n.addServer(fmt.Sprint("routed", i))
			for _, other := range servers {
				w.n.join(other, s, true, 10*time.Millisecond, 0, 0)
			}
			servers = append(servers, s)
		}
		client := func(s *simServer, plan simSubPlan) (*simWire, *simListener, wireSub) {
			l := w.listener(s.name, nil, plan)
			e := &simEngine{n: w.n, name: s.name, delay: func(*simServer) (time.Duration, time.Duration) { return time.Millisecond, 0 }}
			w.n.mu.Lock()
			c := e.attach(s, simEar{w, l})
			w.n.mu.Unlock()
			sub, _ := c.Subscribe(plan.subject, plan.queue, nil)
			return c, l, sub
		}
		publisher, _, _ := client(servers[0], simSubPlan{subject: "b"})
		_, plain, _ := client(servers[1], simSubPlan{subject: "a"})
		_, stays, _ := client(servers[1], simSubPlan{subject: "a", queue: "q"})
		leaver, leaves, sub := client(servers[2], simSubPlan{subject: "a", queue: "q"})
		time.Sleep(time.Second)
		for n := range 200 {
			publisher.Publish(natswire.Msg{Subject: "a", Data: fmt.Appendf(nil, "p %d", n)})
			if n == 100 {
				leaver.Unsubscribe(sub)
			}
			time.Sleep(500 * time.Microsecond)
		}
		time.Sleep(time.Second)
		w.n.mu.Lock()
		defer w.n.mu.Unlock()
		w.mu.Lock()
		defer w.mu.Unlock()
		members := map[int]int{}
		for _, l := range []*simListener{stays, leaves} {
			for _, m := range l.heard["p a"] {
				members[m.n]++
			}
		}
		for n := range 200 {
			if members[n] != 1 {
				t.Errorf("%d comes to %d members", n, members[n])
			}
		}
		if len(leaves.heard["p a"]) < 20 || len(leaves.heard["p a"]) > 80 {
			t.Errorf("the one that leaves gets %d of about 100 for two members", len(leaves.heard["p a"]))
		}
		again := len(plain.heard["p a"]) - 200
		if again == 0 || again > len(w.n.returned) {
			t.Errorf("a plain client hears %d again, of %d that came back", again, len(w.n.returned))
		}
		if len(w.failed) > 0 {
			t.Error(w.failed)
		}
	})
}
