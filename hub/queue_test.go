//go:build !js

package hub_test

import (
	"context"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// Hubs that are members of a queue group move in a cluster: each message comes to one member, once, and to
// every other hub once. What nats-server gives plain clients twice then is logged; docs/moves.md tells of it.
func TestMembersOfAQueueGroupMove(t *testing.T) {
	rounds := 4
	if n, err := strconv.Atoi(os.Getenv("KINOPIO_MOVES")); err == nil {
		rounds = n
	}
	sys := startCluster(t, 10*time.Millisecond)
	urls := []string{sys.backbone.ClientURL(), sys.leaf.ClientURL(), sys.third.ClientURL()}
	group := &tape{got: map[string][]int{}}
	var members []*hub.Hub
	for i := range urls {
		h := openHub(t, hub.Config{Servers: []string{urls[i]}})
		if sub, err := h.Subscribe("w.*", hub.SubOptions{Queue: "q"}, group.take); err != nil || sub.Ready(soon(t)) != nil {
			t.Fatal(err)
		}
		members = append(members, h)
	}
	var plain, hubs []*tape
	for _, url := range urls {
		h := openHub(t, hub.Config{Servers: []string{url}})
		hubs = append(hubs, record(t, h, "w.*"))
		awaitInterest(t, sys, h)
		nc, err := nats.Connect(url)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(nc.Close)
		p := &tape{got: map[string][]int{}}
		plain = append(plain, p)
		if _, err := nc.Subscribe("w.*", func(m *nats.Msg) { p.take(&hub.Message{Subject: m.Subject, Data: m.Data}) }); err != nil || nc.Flush() != nil {
			t.Fatal(err)
		}
	}
	publish, flush := publisher(t, urls[0], true)
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	n := 0
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(time.Second / rate)
		defer tick.Stop()
		for ; ctx.Err() == nil; <-tick.C {
			n++
			if err := publish("w.a", []byte(strconv.Itoa(n))); err != nil {
				t.Error(err)
			}
		}
	})
	for i := range rounds {
		for k, h := range members {
			if err := h.MoveTo(urls[(i+k+1)%len(urls)]); err != nil {
				t.Errorf("move %d of member %d: %v", i, k, err)
			}
		}
	}
	stop()
	wg.Wait()
	if err := flush(); err != nil {
		t.Fatal(err)
	}
	for i := range urls {
		waitFor(t, "all messages", func() bool { return hubs[i].count("w.a") >= n && plain[i].count("w.a") >= n })
		hubs[i].exact(t, "a hub", "w.a", n)
	}
	waitFor(t, "all messages at the group", func() bool { return group.count("w.a") >= n })
	again := 0
	for _, p := range append(plain, group) {
		p.mu.Lock()
		lost, twice, _ := defects(p.got["w.a"], n)
		p.mu.Unlock()
		if p != group {
			again += twice
			twice = 0
		}
		if lost+twice > 0 {
			t.Errorf("of %d messages %d lost, %d twice", n, lost, twice)
		}
	}
	t.Logf("%d moves of members, %d messages: plain clients of 3 servers hear %d of them again", rounds*len(members), n, again)
}
