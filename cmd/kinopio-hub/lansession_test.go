package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// newsTimes is when news came last, by what they tell: here or gone.
type newsTimes struct {
	mu sync.Mutex
	at map[string]time.Time
}

// playFinder is a program that finds leaves through its session with the server in args. It prints each move, and how
// long after the news that caused it the hub decided on it.
func playFinder(ctx context.Context, args []string, in <-chan string, out io.Writer) error {
	nc, err := nats.Connect(args[0])
	if err != nil {
		return err
	}
	defer nc.Close()
	news := newsTimes{at: map[string]time.Time{}}
	if _, err := nc.Subscribe("_KH.leaf.news.test", func(m *nats.Msg) {
		var said struct{ Event, NodeID string }
		if err := json.Unmarshal(m.Data, &said); err != nil {
			fmt.Fprintln(out, "bad news", err)
			return
		}
		news.mu.Lock()
		defer news.mu.Unlock()
		news.at[said.Event] = time.Now()
		fmt.Fprintln(out, "news", said.Event, said.NodeID)
	}); err != nil {
		return err
	}
	if err := nc.Flush(); err != nil {
		return err
	}
	h, err := hub.Open(ctx, hub.Config{Servers: []string{args[0]}, Discovery: hub.Discovery{Enabled: true, Namespace: "test"}})
	if err != nil {
		return err
	}
	defer h.Close()
	h.OnMove(func(m hub.Move) {
		decided, event := time.Now().Add(-m.Took), "gone"
		if m.Via == "leaf" {
			event = "here"
		}
		news.mu.Lock()
		after := decided.Sub(news.at[event])
		news.mu.Unlock()
		fmt.Fprintf(out, "moved via=%s planned=%v reason=%q to=%s after=%d error=%v\n", m.Via, m.Planned, m.Reason, m.To, after.Milliseconds(), m.Err)
	})
	if err := h.Connected(ctx); err != nil {
		return err
	}
	fmt.Fprintln(out, "connected")
	for range in {
	}
	return nil
}

// The leader is ended by SIGTERM: it tells so over its bridge, and the hub is back on the backbone before the leaf is gone. The next
// leader tells that it is there, and the hub goes there, without a manifest and without waiting for its next question.
func TestHubFollowsTheLeaderThroughItsSession(t *testing.T) {
	l := newLAN(t, 3, "--no-websocket-tls")
	base := l.network.Host("backbone")
	server := base.Play("backbone")
	server.Await("ready")
	l.flags = append(l.flags, "--backbone-server", "nats://"+base.Address.String()+":7422")
	l.start(0)
	l.leads([]int{0})
	l.start(1)
	l.agree()
	program := l.hosts[2].Play("finder", "nats://"+base.Address.String()+":4222")
	program.Await("moved via=leaf planned=true", "error=<nil>")
	for round := range 2 {
		leads, _ := l.agree()
		program.Forget()
		p := l.agents[leads]
		l.agents[leads] = nil
		p.Stop()
		program.Await("news gone")
		back := program.Await("moved via=configured planned=true", `reason="leaf leaving"`, "error=<nil>")
		l.leads(l.all())
		there := program.Await("moved via=leaf planned=true", `reason="leaf found"`, "error=<nil>")
		t.Logf("back %s; there %s", field(back, "after"), field(there, "after"))
		var after int
		if _, err := fmt.Sscanf(field(there, "after"), "after=%d", &after); err != nil || after < 0 || after > 10_000 {
			t.Errorf("the hub decided %s ms after the news, want less than 10,000 (its next question of its own is after up to 60 s): %s", field(there, "after"), there)
		}
		if round == 0 {
			l.start(leads)
			l.agree()
		}
	}
	if said := program.Said(); strings.Contains(said, "planned=false reason=\"leaf") {
		t.Errorf("the hub did not move as planned:\n%s", said)
	}
}

// field is the word name=… of a line.
func field(line, name string) string {
	for _, word := range strings.Fields(line) {
		if strings.HasPrefix(word, name+"=") {
			return word
		}
	}
	return ""
}
