//go:build !js

package hub

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// What seeds have shown, made as small as it can be.
func TestSimulatedCases(t *testing.T) {
	const ms = time.Millisecond
	hub := func(server int, subs ...string) simHubPlan {
		h := simHubPlan{servers: []int{server}, delays: []time.Duration{ms, 3 * ms, ms}, selection: Ordered}
		for _, subject := range subs {
			h.subs = append(h.subs, simSubPlan{subject: subject})
		}
		return h
	}
	posts := func(by int, subject string, from, gap time.Duration, count int) (all []simPost) {
		for range count {
			all = append(all, simPost{at: from, hub: by, subject: subject})
			from += gap
		}
		return all
	}
	for name, p := range map[string]*simPlan{
		// What the new link brings until it has lost its subscriptions again has come by the old one.
		"a move that is undone, while a plain client publishes": {
			servers: []string{"backbone", "leaf"}, edges: []simEdge{{a: 0, b: 1, delay: 5 * ms}}, refusing: 1,
			hubs: []simHubPlan{hub(0, "s.0", "s.1")}, clients: []simClientPlan{{server: 0, delay: ms, sub: "s.2"}},
			actions: []simAction{{at: 600 * ms, hub: 0, kind: "move", arg: 1}},
			posts:   posts(-1, "s.0", 400*ms, ms, 400),
		},
		// What a hub had long ago comes again because another one, that has begun with nothing, asks for all.
		"two hubs that ask for different parts": {
			abrupt:  true,
			servers: []string{"backbone", "leaf1", "leaf2"}, edges: []simEdge{{a: 0, b: 1, delay: ms}, {a: 0, b: 2, delay: ms}}, refusing: -1,
			hubs: []simHubPlan{hub(1), hub(2, "s.0"), hub(2, "s.*")},
			posts: append(append(posts(0, "s.0", 400*ms, ms, 30), posts(0, "s.0", 1200*ms, ms, 10)...),
				posts(0, "s.1", 1300*ms, ms, 10)...),
			faults: []simFault{{at: time.Second, kind: "kill", arg: 0, long: 2 * time.Second}, {at: 350 * ms, kind: "silence", arg: 2, long: 3 * time.Second}},
		},
		// The new link has brought only what came after its subscription; the old one has all.
		"a move that is undone, while a stream begins": {
			servers: []string{"backbone", "leaf"}, edges: []simEdge{{a: 0, b: 1, delay: 40 * ms}}, refusing: 0,
			hubs:    []simHubPlan{hub(0), hub(1, "s.1", "s.2")},
			actions: []simAction{{at: 600 * ms, hub: 1, kind: "move", arg: 0}},
			posts:   posts(0, "s.2", 600*ms, ms, 30),
		},
		// What was on its way to the old server, by a longer way, ends a stream; when another message comes the publisher
		// has no memory of it any more.
		"a stream that ends while a hub moves": {
			end:     15 * time.Second,
			servers: []string{"routed0", "routed1", "routed2"}, refusing: -1,
			edges:   []simEdge{{a: 0, b: 1, route: true, delay: ms}, {a: 1, b: 2, route: true, delay: ms}, {a: 0, b: 2, route: true, delay: 400 * ms}},
			hubs:    []simHubPlan{hub(0), hub(2, "s.2")},
			actions: []simAction{{at: 1190 * ms, hub: 1, kind: "move", arg: 1}},
			posts:   append(posts(0, "s.2", 500*ms, ms, 10), posts(0, "s.2", 1150*ms, ms, 30)...),
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p.worst, p.end = 50*ms, max(p.end, 3500*ms)
				w := newSimWorld(p, true)
				w.play()
				if len(w.failed) > 0 {
					t.Log(strings.Join(w.log, "\n"))
					t.Error(w.firstFailures())
				}
			})
		})
	}
}

// What a move takes, and for how long it holds what the hub publishes, is promised in round trips of the slower link, at any
// distance: at most 5 of them and 50 ms, and one; on short ways one and a half. Here all links are equally long.
func TestMovesTakeFiveRoundTrips(t *testing.T) {
	for _, way := range []time.Duration{0, 10 * time.Millisecond, 30 * time.Millisecond, 100 * time.Millisecond, 300 * time.Millisecond} {
		t.Run(way.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &simPlan{
					servers: []string{"backbone", "leaf"}, edges: []simEdge{{a: 0, b: 1, delay: way}}, refusing: -1,
					worst: 3*way + 10*time.Millisecond, end: 30*way + 2*time.Second,
					actions: []simAction{{at: 6*way + 500*time.Millisecond, hub: 0, kind: "move", arg: 1}},
				}
				for range 2 {
					p.hubs = append(p.hubs, simHubPlan{servers: []int{0}, delays: []time.Duration{way, way}, selection: Ordered, subs: []simSubPlan{{subject: "s.0"}, {subject: "s.1"}}})
				}
				for i := range 200 {
					p.posts = append(p.posts, simPost{at: 4*way + 400*time.Millisecond + time.Duration(i)*(way/10+time.Millisecond), hub: i % 2, subject: "s.0"})
				}
				w := newSimWorld(p, true)
				w.play()
				if len(w.failed) > 0 {
					t.Fatal(w.firstFailures())
				}
				made := w.hubs[0].moves
				last := made[len(made)-1]
				if last.Err != nil || !last.Planned || last.From == "" {
					t.Fatalf("got %+v, want a planned move", last)
				}
				trip := 2 * way
				took, held := 5*trip+50*time.Millisecond, max(trip, min(3*way, 150*time.Millisecond))
				t.Logf("took %v, held %v of %v", last.Took, last.Held, trip)
				if last.Took > took || last.Held > held {
					t.Errorf("took %v, held %v: want at most %v and %v", last.Took, last.Held, took, held)
				}
			})
		})
	}
}
