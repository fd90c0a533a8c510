package hub_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// withWebSocket gives a server a ws listener, as leaves have.
func withWebSocket(o *server.Options) {
	o.Websocket.Host, o.Websocket.Port, o.Websocket.NoTLS = "127.0.0.1", -1, true
}

func webSocketURL(t testing.TB, s *server.Server) string {
	t.Helper()
	v, err := s.Varz(nil)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("ws://127.0.0.1:%d", v.Websocket.Port)
}

// moves collects the moves of h.
func moves(h *hub.Hub) <-chan hub.Move {
	c := make(chan hub.Move, 100)
	h.OnMove(func(m hub.Move) { c <- m })
	return c
}

func nextMove(t *testing.T, c <-chan hub.Move) hub.Move {
	t.Helper()
	for {
		select {
		case m := <-c:
			if m.Reason != "connect" {
				return m
			}
		case <-soon(t).Done():
			t.Fatal("no move in 10 s")
		}
	}
}

// A manifest server whose answer can be changed.
type manifestServer struct {
	*httptest.Server
	answer atomic.Value // http.HandlerFunc
	asked  atomic.Int64
}

func serveManifest(t *testing.T) *manifestServer {
	m := &manifestServer{}
	m.none()
	m.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		m.asked.Add(1)
		m.answer.Load().(http.HandlerFunc)(w, r)
	}))
	t.Cleanup(m.Close)
	return m
}

func (m *manifestServer) none() {
	m.answer.Store(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
}

func (m *manifestServer) html() {
	m.answer.Store(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<!doctype html><p>hello") }))
}

func (m *manifestServer) leaf(url string) {
	m.answer.Store(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		json.NewEncoder(w).Encode(map[string]any{
			"version": "1", "wssUrl": url, "websocketUrl": url, "isLeader": true, "bridgeState": "connected",
			"expiresAt": time.Now().Add(5 * time.Second).UTC().Format("2006-01-02T15:04:05.000Z"),
		})
	}))
}

func startWebSystem(t *testing.T) system {
	backbone := startServer(t, func(o *server.Options) {
		o.LeafNode.Host, o.LeafNode.Port = "127.0.0.1", -1
	})
	return system{backbone: backbone, leaf: startLeaf(t, backbone, 0, withWebSocket)}
}

func TestHubFindsTheLeafAndLeavesItInTime(t *testing.T) {
	sys := startWebSystem(t)
	manifest := serveManifest(t)
	h := openHub(t, hub.Config{
		Servers:   []string{sys.backbone.ClientURL()},
		Discovery: hub.Discovery{Enabled: true, ManifestURL: manifest.URL, CacheTTL: 10 * time.Millisecond},
	})
	made := moves(h)
	manifest.leaf(webSocketURL(t, sys.leaf))
	if m := nextMove(t, made); m.Err != nil || m.Reason != "leaf found" || !m.Planned || m.Via != "leaf" || m.From == "" {
		t.Fatalf("moved %+v, want a planned move to the leaf", m)
	}
	if s := h.Status(); s.Via != "leaf" || s.Server != webSocketURL(t, sys.leaf) {
		t.Errorf("status %+v, want the leaf", s)
	}
	manifest.none()
	go sys.leaf.LameDuckShutdown()
	if m := nextMove(t, made); m.Err != nil || m.Reason != "leaf leaving" || !m.Planned || m.Via != "configured" {
		t.Fatalf("moved %+v, want a planned move to the configured server", m)
	}
}

func TestLostLeafBringsTheHubBackAtOnce(t *testing.T) {
	sys := startWebSystem(t)
	manifest := serveManifest(t)
	h := openHub(t, hub.Config{
		Servers:   []string{sys.backbone.ClientURL()},
		Discovery: hub.Discovery{Enabled: true, ManifestURL: manifest.URL, CacheTTL: 10 * time.Millisecond},
		// The connection to the leaf is younger than this when it is lost.
		ReconnectWait: time.Millisecond,
	})
	var echoes atomic.Int64
	if _, err := h.Scope("a").Variable("b").Sub(soon(t), func(*hub.Message) { echoes.Add(1) }); err != nil {
		t.Fatal(err)
	}
	made := moves(h)
	manifest.leaf(webSocketURL(t, sys.leaf))
	if m := nextMove(t, made); m.Err != nil || m.Via != "leaf" {
		t.Fatalf("moved %+v, want a move to the leaf", m)
	}
	manifest.none()
	sys.leaf.Shutdown()
	if m := nextMove(t, made); m.Err != nil || m.Reason != "leaf lost" || m.Planned || m.Via != "configured" {
		t.Fatalf("moved %+v, want an unplanned move to the configured server", m)
	}
	if err := h.Scope("a").Variable("b").Pub(soon(t), 1); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "the message", func() bool { return echoes.Load() == 1 })
}

func TestUselessManifestsDisturbNobody(t *testing.T) {
	s := startServer(t, nil)
	manifest := serveManifest(t)
	h := openHub(t, hub.Config{
		Servers:   []string{s.ClientURL()},
		Discovery: hub.Discovery{Enabled: true, ManifestURL: manifest.URL, CacheTTL: 5 * time.Millisecond, SwitchTimeout: 200 * time.Millisecond},
	})
	made := moves(h)
	for _, answer := range []func(){manifest.html, func() { manifest.leaf("http://x") }, manifest.none} {
		answer()
		before := manifest.asked.Load()
		waitFor(t, "three looks", func() bool { return manifest.asked.Load() > before+3 })
	}
	manifest.leaf("ws://127.0.0.1:1")
	if m := nextMove(t, made); !errors.Is(m.Err, hub.ErrMove) || m.Reason != "leaf found" {
		t.Errorf("a dead leaf gave %+v, want a failed move", m)
	}
	if s := h.Status(); s.State != hub.StateConnected || s.Via != "configured" || s.Reconnects != 0 {
		t.Errorf("status %+v, want the configured server, undisturbed", s)
	}
}

// Two servers that are not one system: the barrier cannot pass, the move is undone, and the
// old link has lost nothing.
func TestMoveThatCannotCompleteIsUndone(t *testing.T) {
	here, elsewhere := startServer(t, nil), startServer(t, nil)
	h := openHub(t, hub.Config{Servers: []string{here.ClientURL()}, Timeout: 300 * time.Millisecond})
	publisher := openHub(t, hub.Config{Servers: []string{here.ClientURL()}})
	var got []float64
	sub, err := h.Scope("n").Variable("n").Sub(soon(t), func(m *hub.Message) { got = append(got, m.Value().(float64)) })
	if err != nil {
		t.Fatal(err)
	}
	moved := make(chan error, 1)
	go func() { moved <- h.MoveTo(elsewhere.ClientURL()) }()
	n := 0
	for running := true; running; n++ {
		if err := publisher.Scope("n").Variable("n").Pub(soon(t), n); err != nil {
			t.Fatal(err)
		}
		if err := publisher.Flush(soon(t)); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-moved:
			running = false
			if !errors.Is(err, hub.ErrMove) || !strings.Contains(err.Error(), "does not hear") {
				t.Errorf("the move gave %v, want ErrMove that says which server does not hear which", err)
			}
		default:
		}
	}
	if s := h.Status(); s.Server != here.ClientURL() || s.Moves != 0 {
		t.Errorf("status %+v, want the old server", s)
	}
	if err := sub.Drain(soon(t)); err != nil {
		t.Fatal(err)
	}
	if len(got) != n {
		t.Fatalf("got %d of %d messages", len(got), n)
	}
	for i, v := range got {
		if int(v) != i {
			t.Fatalf("message %d is %v", i, v)
		}
	}
}

// Requests go on while both sides move, and each is answered once.
func TestRequestsOutliveMoves(t *testing.T) {
	sys := startSystem(t, 5*time.Millisecond)
	service := openHub(t, hub.Config{Servers: []string{sys.backbone.ClientURL()}})
	client := openHub(t, hub.Config{Servers: []string{sys.leaf.ClientURL()}})
	var served atomic.Int64
	if _, err := service.Scope("s").Variable("f").Serve(soon(t), func(_ context.Context, m *hub.Message) (any, error) {
		served.Add(1)
		return m.Value(), nil
	}); err != nil {
		t.Fatal(err)
	}
	awaitInterest(t, sys, service)
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	var asked atomic.Int64
	for range 8 {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				m, err := client.Scope("s").Variable("f").Req(soon(t), i)
				if err != nil {
					t.Errorf("request %d: %v", i, err)
					return
				}
				if m.Value() != float64(i) {
					t.Errorf("request %d got %v", i, m.Value())
				}
				asked.Add(1)
			}
		})
	}
	for i := range 8 {
		to := []string{sys.leaf.ClientURL(), sys.backbone.ClientURL()}
		if err := service.MoveTo(to[i%2]); err != nil {
			t.Error(err)
		}
		if err := client.MoveTo(to[(i+1)%2]); err != nil {
			t.Error(err)
		}
	}
	stop()
	wg.Wait()
	if asked.Load() != served.Load() || asked.Load() < 50 {
		t.Errorf("%d requests were answered and %d served, want the same, many", asked.Load(), served.Load())
	}
}

// Names come and go while the hub moves.
func TestSubscribingWhileMoving(t *testing.T) {
	sys := startSystem(t, 5*time.Millisecond)
	h := openHub(t, hub.Config{Servers: []string{sys.backbone.ClientURL()}})
	done := make(chan error, 1)
	go func() {
		for i := range 6 {
			if err := h.MoveTo([]string{sys.leaf.ClientURL(), sys.backbone.ClientURL()}[i%2]); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	rounds := 0
	for moving := true; moving; rounds++ {
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
			moving = false
		default:
		}
		got := make(chan struct{}, 2)
		sub, err := h.Scope("x").Variable(fmt.Sprint(rounds)).Sub(soon(t), func(*hub.Message) { got <- struct{}{} })
		if err != nil {
			t.Fatal(err)
		}
		if err := h.Scope("x").Variable(fmt.Sprint(rounds)).Pub(soon(t), rounds); err != nil {
			t.Fatal(err)
		}
		select {
		case <-got:
		case <-soon(t).Done():
			t.Fatalf("round %d: a subscription made during a move got nothing", rounds)
		}
		sub.Unsubscribe()
	}
}

func TestHubOutlivesServerRestarts(t *testing.T) {
	port := 0
	s := startServer(t, nil)
	v, _ := s.Varz(nil)
	port = v.Port
	h := openHub(t, hub.Config{Servers: []string{s.ClientURL()}, ReconnectWait: 20 * time.Millisecond, RetryDelay: 20 * time.Millisecond})
	got := make(chan any, 10)
	if _, err := h.Scope("a").Variable("b").Sub(soon(t), func(m *hub.Message) { got <- m.Value() }); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		s.Shutdown()
		s.WaitForShutdown()
		waitFor(t, "the loss", func() bool { return h.State() == hub.StateConnecting })
		s = startServer(t, func(o *server.Options) { o.Port = port })
		if err := h.Connected(soon(t)); err != nil {
			t.Fatal(err)
		}
		if err := h.Scope("a").Variable("b").Pub(soon(t), i); err != nil {
			t.Fatal(err)
		}
		if v := <-got; v != float64(i) {
			t.Errorf("got %v after restart %d", v, i)
		}
	}
	if s := h.Status(); s.Reconnects != 3 {
		t.Errorf("%d reconnects, want 3", s.Reconnects)
	}
}

func TestBlackHoleDoesNotKeepTheGoodServerAway(t *testing.T) {
	s := startServer(t, nil)
	hole := blackHole(t)
	for _, selection := range []hub.Selection{hub.Ordered, hub.Latency} {
		start := time.Now()
		h := openHub(t, hub.Config{Servers: []string{hole, s.ClientURL()}, Selection: selection})
		if server := h.Status().Server; server != s.ClientURL() {
			t.Errorf("%s: on %s", selection, server)
		}
		if took := time.Since(start); took > 4*time.Second { // the black hole alone takes 5 s
			t.Errorf("%s: took %v", selection, took)
		}
	}
}

// A leaf that stops just when a hub reaches it has told its clients before the hub was one: the hub leaves it all the
// same, while it still runs.
func TestHubLeavesALeafThatStopsWhenItArrives(t *testing.T) {
	sys := startWebSystem(t)
	manifest := serveManifest(t)
	h := openHub(t, hub.Config{
		Servers:   []string{sys.backbone.ClientURL()},
		Discovery: hub.Discovery{Enabled: true, ManifestURL: manifest.URL, CacheTTL: time.Hour, SwitchTimeout: 5 * time.Second},
	})
	made := moves(h)
	url := webSocketURL(t, sys.leaf)
	manifest.leaf(url)
	first := manifest.answer.Load().(http.HandlerFunc)
	manifest.answer.Store(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		manifest.none()
		first(w, r)
	}))
	go h.RequestLocalNetwork(soon(t)) // looks now
	if m := nextMove(t, made); m.Err != nil || m.Reason != "leaf found" {
		t.Fatalf("moved %+v, want a move to the leaf", m)
	}
	if m := nextMove(t, made); m.Err != nil || m.Reason != "leaf leaving" || !m.Planned || m.Via != "configured" {
		t.Fatalf("moved %+v, want a planned move back", m)
	}
}
