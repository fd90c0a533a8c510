package election

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"
)

// heardAll waits until the agent has taken everything that was sent before.
func (s *station) heardAll(from *airBus) {
	s.t.Helper()
	before := s.agent.Status().Rejected["json"]
	if err := from.Send([]byte("{")); err != nil {
		s.t.Fatal(err)
	}
	s.await("the end of what was sent", func(now AgentStatus) bool { return now.Rejected["json"] > before })
}

// A liar knows everything that is said on the LAN: the leader's node id, its count and its
// discovery URL. What it makes up may not reach the manifest that this node serves.
func TestForgedHeartbeatIsNeverPublished(t *testing.T) {
	var lan air
	first := enable(t, &lan, named("a"))
	genuine := first.await("a leader", func(s AgentStatus) bool { return s.State == Leading && s.LocalLeaf != nil }).LocalLeaf

	const evil = "wss://127.0.0.2:6666"
	var mu sync.Mutex
	var published []string
	second := enable(t, &lan, func(c *Config) {
		c.NodeID = "b"
		inner := c.OnChange
		c.OnChange = func(s AgentStatus) {
			if s.Leader != nil {
				mu.Lock()
				published = append(published, s.Leader.WSSURL, s.Leader.WebsocketURL)
				mu.Unlock()
			}
			inner(s)
		}
	})
	second.await("the leader a", follows("a"))

	liar := lan.join()
	defer liar.Close()
	for i := range int64(20) {
		h := heartbeat{Manifest: *genuine, SentAt: time.Now().UTC().Format(manifestTime), State: Leading, Sequence: 1<<50 + i}
		h.WSSURL, h.WebsocketURL, h.IsLeader, h.CandidateRole = evil, evil, true, RoleLeader
		h.LeaderEpoch, h.BridgeState = 1+i%3, "connected"
		data, err := h.encode(nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := liar.Send(data); err != nil {
			t.Fatal(err)
		}
		second.heardAll(liar)
		if m := second.agent.Status().Leader; m != nil && (m.WSSURL != genuine.WSSURL || m.WebsocketURL != genuine.WebsocketURL) {
			t.Fatalf("after %d forged heartbeats %s is published, and the leader's leaf is at %s", i+1, m.WSSURL, genuine.WSSURL)
		}
		if epoch := second.agent.Status().LeaderEpoch; epoch != 1 {
			t.Fatalf("after %d forged heartbeats the epoch %d is told, and it is 1 at the leader's leaf", i+1, epoch)
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if all := strings.Join(published, " "); strings.Contains(all, evil) {
		t.Errorf("published: %s", all)
	}
}

// A leader that was seen stays where it was seen for as long as it answers there: whoever
// serves a copy of its manifest elsewhere does not take its place.
func TestLeaderIsNotMovedByALiar(t *testing.T) {
	var lan air
	first := enable(t, &lan, named("a"))
	genuine := first.await("a leader", func(s AgentStatus) bool { return s.State == Leading && s.LocalLeaf != nil }).LocalLeaf
	second := enable(t, &lan, named("b"))
	second.await("the leader a", follows("a"))

	asked := make(chan struct{}, 64)
	var server *httptest.Server
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		m := *genuine
		m.DiscoveryURL, m.WSSURL, m.IsLeader, m.LeaderEpoch = server.URL+manifestPath, "ws://127.0.0.1:6666", true, 9
		_ = json.NewEncoder(w).Encode(m)
		asked <- struct{}{}
	}))
	defer server.Close()
	liar := lan.join()
	defer liar.Close()
	deadline := time.After(patience)
	for i := int64(0); ; i++ { // Until it was looked at.
		h := heartbeat{Manifest: *genuine, SentAt: time.Now().UTC().Format(manifestTime), State: Leading, Sequence: 1<<50 + i}
		h.DiscoveryURL, h.WSSURL, h.IsLeader, h.CandidateRole, h.LeaderEpoch = server.URL+manifestPath, "ws://127.0.0.1:6666", true, RoleLeader, 9
		data, err := h.encode(nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := liar.Send(data); err != nil {
			t.Fatal(err)
		}
		second.heardAll(liar)
		if m := second.agent.Status().Leader; m != nil && m.WSSURL != genuine.WSSURL {
			t.Fatalf("%s is published, and the leader's leaf is at %s", m.WSSURL, genuine.WSSURL)
		}
		select {
		case <-asked:
		case <-deadline:
			t.Fatal("the liar's manifest is never looked at: nothing is tested")
		case <-time.After(20 * time.Millisecond):
			continue
		}
		break
	}
	second.heardAll(liar)
	if m := second.await("the leader a", follows("a")).Leader; m.WSSURL != genuine.WSSURL {
		t.Errorf("%s is published, and the leader's leaf is at %s", m.WSSURL, genuine.WSSURL)
	}
}

func TestManifestSaysOneHostAndNoLessThanTLS(t *testing.T) {
	for name, c := range map[string]struct {
		change func(m *Manifest, at string)
		right  bool
	}{
		"as leaves serve it":           {func(*Manifest, string) {}, true},
		"another host for WebSockets":  {func(m *Manifest, _ string) { m.WSSURL = "wss://127.0.0.2:1" }, false},
		"the other WebSocket field":    {func(m *Manifest, _ string) { m.WebsocketURL = "wss://127.0.0.2:1" }, false},
		"ws beside https":              {func(m *Manifest, _ string) { m.WSSURL, m.WebsocketURL = "ws://127.0.0.1:1", "ws://127.0.0.1:1" }, false},
		"no WebSocket URL":             {func(m *Manifest, _ string) { m.WSSURL, m.WebsocketURL = "", "" }, false},
		"credentials in the URL":       {func(m *Manifest, _ string) { m.WSSURL = "wss://a:b@127.0.0.1:1" }, false},
		"another scheme":               {func(m *Manifest, _ string) { m.WSSURL = "nats://127.0.0.1:1" }, false},
		"another discovery URL's host": {func(m *Manifest, _ string) { m.DiscoveryURL = "https://127.0.0.2:1" + manifestPath }, false},
		"a text that is too long":      {func(m *Manifest, _ string) { m.BridgeState = strings.Repeat("x", maxURL+1) }, false},
		"control characters":           {func(m *Manifest, _ string) { m.AdvertisedHostname = "a\x1b[2J" }, false},
		"an epoch that is none":        {func(m *Manifest, _ string) { m.LeaderEpoch = -1 }, false},
	} {
		t.Run(name, func(t *testing.T) {
			var server *httptest.Server
			server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				m := Manifest{Version: "1", NodeID: "a", DiscoveryNamespace: "test", IsLeader: true, CandidateRole: RoleLeader,
					DiscoveryURL: server.URL + manifestPath, WSSURL: "wss://127.0.0.1:1", WebsocketURL: "wss://127.0.0.1:1"}
				c.change(&m, server.URL)
				_ = json.NewEncoder(w).Encode(m)
			}))
			defer server.Close()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			got, err := newVerifier("test").verify(ctx, &Manifest{NodeID: "a", DiscoveryURL: server.URL + manifestPath}, "")
			if (err == nil) != c.right {
				t.Errorf("%+v, %v", got, err)
			}
		})
	}
}

// A connection is held to the leaf that was seen, not to where somebody says that it is: whoever
// could end that connection could prove the leader dead.
func TestConnectionIsHeldToTheLeafThatWasSeen(t *testing.T) {
	var lan air
	first := enable(t, &lan, named("a"))
	genuine := first.await("a leader", func(s AgentStatus) bool { return s.State == Leading && s.LocalLeaf != nil }).LocalLeaf
	second := enable(t, &lan, func(c *Config) { c.NodeID, c.FastFailover = "b", true })
	second.await("the leader a", follows("a"))

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := "http://" + listener.Addr().String() + manifestPath
	asked, held := make(chan struct{}, 64), make(chan struct{}, 64)
	var serving sync.WaitGroup
	defer serving.Wait()
	defer listener.Close()
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer conn.Close()
				_ = conn.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
				if _, err := conn.Read(make([]byte, 4096)); err != nil {
					held <- struct{}{} // Who wants to read a manifest says so at once.
					return
				}
				m := *genuine
				m.DiscoveryURL, m.IsLeader = at, true
				body, _ := json.Marshal(m)
				fmt.Fprintf(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", len(body), body)
				asked <- struct{}{}
			})
		}
	})
	liar := lan.join()
	defer liar.Close()
	deadline := time.After(patience)
	for i, seen := int64(0), 0; seen < 2; i++ {
		h := heartbeat{Manifest: *genuine, SentAt: time.Now().UTC().Format(manifestTime), State: Leading, Sequence: 1<<50 + i}
		h.DiscoveryURL, h.IsLeader, h.CandidateRole, h.LeaderEpoch, h.BridgeState = at, true, RoleLeader, 1+i%2, "connected"
		data, err := h.encode(nil)
		if err == nil {
			err = liar.Send(data)
		}
		if err != nil {
			t.Fatal(err)
		}
		select {
		case <-asked:
			seen++
		case <-held:
			t.Fatal("the connection is held to the liar")
		case <-deadline:
			t.Fatal("the liar's manifest is never looked at: nothing is tested")
		case <-time.After(50 * time.Millisecond):
		}
	}
}
