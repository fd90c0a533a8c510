//go:build !js

package hub_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// A tape is what came on each subject: numbers from 1 on, as text.
type tape struct {
	mu  sync.Mutex
	got map[string][]int
}

func (p *tape) take(m *hub.Message) {
	n, _ := strconv.Atoi(string(m.Data))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.got[m.Subject] = append(p.got[m.Subject], n)
}

func (p *tape) count(subject string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.got[subject])
}

// exact fails the test if subject has anything else than 1 to n in order.
func (p *tape) exact(t *testing.T, who, subject string, n int) {
	t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	got := p.got[subject]
	for i := range min(len(got), n) {
		if got[i] != i+1 {
			t.Errorf("%s: message %d of %s is %d: %v", who, i+1, subject, got[i], got[max(0, i-3):min(len(got), i+8)])
			return
		}
	}
	if len(got) != n {
		t.Errorf("%s: %d messages of %s, want %d", who, len(got), subject, n)
	}
}

func record(t *testing.T, h *hub.Hub, subject string) *tape {
	t.Helper()
	p := &tape{got: map[string][]int{}}
	sub, err := h.Subscribe(subject, hub.SubOptions{}, p.take)
	if err != nil || sub.Ready(soon(t)) != nil {
		t.Fatal(err)
	}
	return p
}

func publishCount(t *testing.T, h *hub.Hub, subject string, n int) {
	if err := h.Send(hub.OutMsg{Subject: subject, Data: strconv.AppendInt(nil, int64(n), 10)}).Wait(soon(t)); err != nil {
		t.Errorf("publish %s %d: %v", subject, n, err)
	}
}

// A leaf is killed, with everything that is on its way through it, while hubs on both sides publish
// and listen: between hubs nothing is lost, repeated or reordered, although nobody publishes
// anything any more afterwards that would tell of a gap.
func TestKilledLeafCostsNothingBetweenHubs(t *testing.T) {
	for round := range 6 {
		t.Run(fmt.Sprint(round), func(t *testing.T) {
			t.Parallel()
			sys := startSystem(t, 10*time.Millisecond)
			near, cut := cuttable(t, delayed(t, sys.leaf.Addr().String(), 5*time.Millisecond))
			open := func(servers ...string) *hub.Hub {
				return openHub(t, hub.Config{Servers: servers, Selection: hub.Ordered, ReconnectWait: 10 * time.Millisecond, Logger: logTo(t)})
			}
			here := []*hub.Hub{open(near, sys.backbone.ClientURL()), open(near, sys.backbone.ClientURL())}
			there := open(sys.backbone.ClientURL())
			tapes := map[string]*tape{"leaf": record(t, here[0], "k.*"), "backbone": record(t, there, "k.*")}
			awaitInterest(t, sys, here[0])
			awaitInterest(t, sys, there)
			ctx, stop := context.WithCancel(context.Background())
			defer stop()
			var wg sync.WaitGroup
			sent := map[string]*atomic.Int64{"k.leaf": {}, "k.both": {}, "k.backbone": {}}
			for subject, h := range map[string]*hub.Hub{"k.leaf": here[1], "k.both": here[0], "k.backbone": there} {
				wg.Go(func() {
					tick := time.NewTicker(time.Millisecond)
					defer tick.Stop()
					for n := 1; ctx.Err() == nil; n++ {
						publishCount(t, h, subject, n)
						sent[subject].Store(int64(n))
						<-tick.C
					}
				})
			}
			waitFor(t, "messages", func() bool { return tapes["leaf"].count("k.backbone") > 200 && tapes["backbone"].count("k.leaf") > 200 })
			if round%2 == 0 {
				stop() // the last ones are under way when the leaf goes
				wg.Wait()
			}
			cut()
			sys.leaf.Shutdown()
			if round%2 == 1 {
				time.Sleep(time.Duration(round) * 50 * time.Millisecond) // part of the scenario: publishing goes on
				stop()
				wg.Wait()
			}
			for who, p := range tapes {
				for subject, n := range sent {
					waitFor(t, fmt.Sprintf("what %s hears on %s", who, subject), func() bool { return p.count(subject) >= int(n.Load()) })
				}
			}
			for who, p := range tapes {
				for subject, n := range sent {
					p.exact(t, who, subject, int(n.Load()))
				}
			}
			for _, h := range append(here, there) {
				if missing := h.Status().Missing; missing > 0 {
					t.Errorf("%d messages are said to be missing", missing)
				}
			}
		})
	}
}

// What cannot be had again is known: which numbers of whom, and later messages come in order.
func TestMissingMessagesAreKnown(t *testing.T) {
	sys := startSystem(t, 20*time.Millisecond)
	leaf, cut := cuttable(t, sys.leaf.Addr().String())
	near := "nats://" + delayed(t, strings.TrimPrefix(leaf, "nats://"), 40*time.Millisecond)
	publisher := openHub(t, hub.Config{Servers: []string{near, sys.backbone.ClientURL()}, Selection: hub.Ordered, ReconnectWait: 10 * time.Millisecond, Repair: hub.Repair{Bytes: -1}, Logger: logTo(t)})
	h := openHub(t, hub.Config{Servers: []string{sys.backbone.ClientURL()}, Repair: hub.Repair{Wait: 500 * time.Millisecond}})
	var mu sync.Mutex
	lost := map[int]bool{}
	defer h.OnMissing(func(m hub.Missing) {
		mu.Lock()
		defer mu.Unlock()
		if m.Subject != "m.a" || m.Publisher == "" || m.Count() != m.To-m.From+1 {
			t.Errorf("missing: %+v", m)
		}
		for n := m.From; n <= m.To; n++ {
			if lost[int(n)] {
				t.Errorf("%d is missing twice", n)
			}
			lost[int(n)] = true
		}
	})()
	p := record(t, h, "m.a")
	awaitInterest(t, sys, h)
	n := 0
	send := func(count int) {
		for range count {
			n++
			publishCount(t, publisher, "m.a", n)
		}
	}
	send(100)
	waitFor(t, "the first messages", func() bool { return p.count("m.a") == 100 })
	send(50)
	cut() // they are under way
	waitFor(t, "another connection", func() bool { return publisher.Status().Reconnects == 1 })
	send(100)
	last := n
	waitFor(t, "the last message", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		got := p.got["m.a"]
		return got[len(got)-1] == last
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	waitFor(t, "word of what is missing", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(lost)+len(p.got["m.a"]) >= last
	})
	mu.Lock()
	defer mu.Unlock()
	if len(lost) == 0 || h.Status().Missing != uint64(len(lost)) {
		t.Errorf("%d messages are missing, and %d by the status", len(lost), h.Status().Missing)
	}
	for i, before := 0, 0; i < len(p.got["m.a"]); i++ {
		for want := before + 1; want < p.got["m.a"][i]; want++ {
			if !lost[want] {
				t.Errorf("%d did not come, and nobody says so", want)
			}
		}
		if before = p.got["m.a"][i]; lost[before] {
			t.Errorf("%d came, and is said to be missing", before)
		}
	}
}

// numberOf is a message's number as a plain client sees it: the stream and the count.
func numberOf(t *testing.T, m *nats.Msg) (stream, count string) {
	t.Helper()
	stream, count, ok := strings.Cut(m.Header.Get("Kseq"), ".")
	if !ok {
		t.Fatalf("headers %v: want a number", m.Header)
	}
	return stream, count
}

// Whatever numbers somebody makes up, what the publisher sends arrives.
func TestForgedNumbersSilenceNobody(t *testing.T) {
	s := startServer(t, nil)
	publisher := openHub(t, hub.Config{Servers: []string{s.ClientURL()}})
	h := openHub(t, hub.Config{Servers: []string{s.ClientURL()}})
	p := record(t, h, "f.a")
	liar, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer liar.Close()
	overheard, err := liar.SubscribeSync("f.a")
	if err != nil {
		t.Fatal(err)
	}
	liar.Flush()
	n := 0
	send := func(count int) {
		for range count {
			n++
			publishCount(t, publisher, "f.a", n)
		}
		if err := publisher.Flush(soon(t)); err != nil {
			t.Fatal(err)
		}
	}
	send(20)
	m, err := overheard.NextMsg(time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	stream, _ := numberOf(t, m)
	for _, count := range []string{"L", "M", "N", "O", "zz", "zzzzz", "4fffffffff", "7zzzzzzzzz", "zzzzzzzzzzz", "0", "", "-1", "K", "1"} { // L is 21
		if err := liar.PublishMsg(&nats.Msg{Subject: "f.a", Header: nats.Header{"Kseq": {stream + "." + count}}, Data: []byte("-1")}); err != nil {
			t.Fatal(err)
		}
		liar.Flush()
		send(3)
	}
	waitFor(t, "the last message", func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		seen := 0
		for _, got := range p.got["f.a"] {
			if got > 0 {
				seen++
			}
		}
		return seen >= n
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	seen := map[int]int{}
	for _, got := range p.got["f.a"] {
		seen[got]++
	}
	for i := 1; i <= n; i++ {
		if seen[i] != 1 {
			t.Errorf("message %d came %d times", i, seen[i])
		}
	}
}

// stalling is the address of a proxy that passes nothing on while stalled is true, and loses nothing.
func stalling(t testing.TB, address string, stalled *atomic.Bool) string {
	t.Helper()
	proxied, _ := proxy(t, address, func(to, from net.Conn) {
		defer to.Close()
		b := make([]byte, 32<<10)
		for {
			n, err := from.Read(b)
			for stalled.Load() {
				time.Sleep(time.Millisecond)
			}
			if n > 0 {
				if _, err := to.Write(b[:n]); err != nil {
					return
				}
			}
			if err != nil {
				if err != io.EOF {
					return
				}
				return
			}
		}
	})
	return proxied
}

// The bridge of a third server stands still while a hub moves: what has waited there comes later, whole
// and in order.
func TestBacklogOfAThirdServerSurvivesAMove(t *testing.T) {
	var stalled atomic.Bool
	sys := startSystem(t, 2*time.Millisecond)
	remote, err := url.Parse("nats-leaf://" + stalling(t, fmt.Sprintf("127.0.0.1:%d", leafPort(t, sys.backbone)), &stalled))
	if err != nil {
		t.Fatal(err)
	}
	third := startLeaf(t, sys.backbone, 0, func(o *server.Options) { o.LeafNode.Remotes[0].URLs = []*url.URL{remote} })
	publisher := openHub(t, hub.Config{Servers: []string{third.ClientURL()}})
	h := openHub(t, hub.Config{Servers: []string{sys.backbone.ClientURL()}, Logger: logTo(t)})
	p := record(t, h, "b.a")
	sys.third = third
	awaitInterest(t, sys, h)
	n := 0
	send := func(count int) {
		for range count {
			n++
			publishCount(t, publisher, "b.a", n)
		}
	}
	send(100)
	waitFor(t, "the first messages", func() bool { return p.count("b.a") == 100 })
	stalled.Store(true)
	send(400)
	if err := h.MoveTo(sys.leaf.ClientURL()); err != nil {
		t.Fatal(err)
	}
	send(300)
	stalled.Store(false)
	send(100)
	waitFor(t, "the backlog", func() bool { return p.count("b.a") >= n })
	p.exact(t, "the hub that moved", "b.a", n)
}

// Many receivers miss the same messages: they are sent again once for all, or little more often.
func TestManyReceiversAreAnsweredTogether(t *testing.T) {
	const receivers, lost = 60, 40
	sys := startSystem(t, 0)
	bridge, cutBridge := cuttable(t, delayed(t, fmt.Sprintf("127.0.0.1:%d", leafPort(t, sys.backbone)), 50*time.Millisecond))
	remote, err := url.Parse(strings.Replace(bridge, "nats://", "nats-leaf://", 1))
	if err != nil {
		t.Fatal(err)
	}
	leaf := startLeaf(t, sys.backbone, 0, func(o *server.Options) {
		o.LeafNode.Remotes[0].URLs = []*url.URL{remote}
		o.LeafNode.ReconnectInterval = 20 * time.Millisecond
	})
	publisher := openHub(t, hub.Config{Servers: []string{leaf.ClientURL()}})
	var tapes []*tape
	for range receivers {
		tapes = append(tapes, record(t, openHub(t, hub.Config{Servers: []string{sys.backbone.ClientURL()}}), "m.a"))
	}
	witness, err := nats.Connect(sys.backbone.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer witness.Close()
	again := 0
	var mu sync.Mutex
	if _, err := witness.Subscribe("_KH.again.>", func(m *nats.Msg) {
		mu.Lock()
		defer mu.Unlock()
		if m.Header.Get("Kseq") != "" {
			again++
		}
	}); err != nil {
		t.Fatal(err)
	}
	sys.leaf = leaf
	awaitInterest(t, sys, openHub(t, hub.Config{Servers: []string{sys.backbone.ClientURL()}}))
	n := 0
	send := func(count int) {
		for range count {
			n++
			publishCount(t, publisher, "m.a", n)
		}
		if err := publisher.Flush(soon(t)); err != nil {
			t.Fatal(err)
		}
	}
	all := func() bool {
		for _, p := range tapes {
			if p.count("m.a") < n {
				return false
			}
		}
		return true
	}
	send(10)
	waitFor(t, "the first messages", all)
	send(lost)
	cutBridge() // they are under way
	waitFor(t, "the bridge", func() bool { return leaf.NumLeafNodes() == 0 })
	waitFor(t, "the bridge again", func() bool { return leaf.NumLeafNodes() == 1 })
	waitFor(t, "what was lost", func() bool { // the next messages tell of the gap, when interest has come
		send(1)
		time.Sleep(20 * time.Millisecond)
		return all()
	})
	for i, p := range tapes {
		p.exact(t, fmt.Sprint("receiver ", i), "m.a", n)
	}
	mu.Lock()
	defer mu.Unlock()
	if again == 0 || again > 6*n {
		t.Errorf("%d messages were sent again for %d receivers that missed about %d", again, receivers, lost)
	}
	t.Logf("%d messages were sent again for %d receivers that missed about %d", again, receivers, lost)
}
