//go:build !js

package hub_test

import (
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// Who wants messages as they arrive has them at once, beside one on the same subject who wants them in order, and
// what is missing is missing once.
func TestOrderOfArrival(t *testing.T) {
	s := startServer(t, nil)
	h := openHub(t, hub.Config{Servers: []string{s.ClientURL()}, Repair: hub.Repair{Wait: 300 * time.Millisecond}})
	var mu sync.Mutex
	heard := map[string]string{}
	told := ""
	hear := func(name string) func(*hub.Message) {
		return func(m *hub.Message) {
			mu.Lock()
			defer mu.Unlock()
			heard[name] += string(m.Data)
		}
	}
	for name, opts := range map[string]hub.SubOptions{"order": {}, "arrival": {Arrival: true}, "inline": hub.Inline(hub.SubOptions{Arrival: true}, nil)} {
		if _, err := h.Subscribe("o.a", opts, hear(name)); err != nil {
			t.Fatal(err)
		}
	}
	defer h.OnMissing(func(m hub.Missing) {
		mu.Lock()
		defer mu.Unlock()
		told += fmt.Sprintf("%d-%d;", m.From, m.To)
	})()
	if err := h.Flush(soon(t)); err != nil {
		t.Fatal(err)
	}
	peer, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	for _, n := range strings.Split("1 2 5 6 4 4 3 9", " ") {
		if err := peer.PublishMsg(&nats.Msg{Subject: "o.a", Header: nats.Header{"Kseq": {"00000a01." + n}}, Data: []byte(n)}); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, "what is missing", func() bool { return h.Status().Missing == 2 })
	waitFor(t, "the last message", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return strings.HasSuffix(heard["order"], "9") && told != ""
	})
	mu.Lock()
	defer mu.Unlock()
	want := map[string]string{"order": "1234569", "arrival": "1256439", "inline": "1256439"}
	if !maps.Equal(heard, want) || told != "7-8;" {
		t.Errorf("got %v and missing %s, want %v and missing 7-8;", heard, told, want)
	}
}

// What comes once more on purpose arrives: from a stream of JetStream, through a bridge that copies
// headers to another subject, from a recording.
func TestWhatIsRepeatedOnPurposeArrives(t *testing.T) {
	s := startServer(t, func(o *server.Options) { o.JetStream, o.StoreDir = true, t.TempDir() })
	publisher := openHub(t, hub.Config{Servers: []string{s.ClientURL()}})
	h := openHub(t, hub.Config{Servers: []string{s.ClientURL()}})
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := nc.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.AddStream(&nats.StreamConfig{Name: "S", Subjects: []string{"r.*"}}); err != nil {
		t.Fatal(err)
	}
	var recorded []*nats.Msg
	overheard, err := nc.SubscribeSync("r.*")
	if err != nil {
		t.Fatal(err)
	}
	nc.Flush()
	p := record(t, h, "r.*")
	bridged := record(t, h, "bridged")
	const count = 100
	for n := 1; n <= count; n++ {
		publishCount(t, publisher, "r.a", n)
		publishCount(t, publisher, "r.b", n)
	}
	for range 2 * count {
		m, err := overheard.NextMsg(time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		recorded = append(recorded, m)
		if err := nc.PublishMsg(&nats.Msg{Subject: "bridged", Header: m.Header, Data: m.Data}); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, "the bridge", func() bool { return bridged.count("bridged") == 2*count && p.count("r.a")+p.count("r.b") == 2*count })
	for consumer := range 2 {
		replay := record(t, h, "deliver")
		if _, err := js.AddConsumer("S", &nats.ConsumerConfig{Name: fmt.Sprint("c", consumer), DeliverSubject: "deliver", DeliverPolicy: nats.DeliverAllPolicy, AckPolicy: nats.AckNonePolicy}); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "the stream", func() bool { return replay.count("r.a") == count && replay.count("r.b") == count })
		replay.exact(t, "replay", "r.a", count)
		if err := js.DeleteConsumer("S", fmt.Sprint("c", consumer)); err != nil {
			t.Fatal(err)
		}
	}
	before := p.count("r.a")
	time.Sleep(1100 * time.Millisecond) // a copy comes sooner, a recording is played later
	for _, m := range recorded {
		if m.Subject == "r.a" {
			if err := nc.PublishMsg(&nats.Msg{Subject: "r.a", Header: m.Header, Data: m.Data}); err != nil {
				t.Fatal(err)
			}
		}
	}
	waitFor(t, "the recording", func() bool { return p.count("r.a") >= before+count })
	publishCount(t, publisher, "r.a", count+1)
	waitFor(t, "the next message", func() bool { return p.count("r.a") >= before+count+1 })
	if got := p.count("r.a"); got != before+count+1 {
		t.Errorf("%d messages, want %d", got, before+count+1)
	}
}
