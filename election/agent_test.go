package election

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 30 * time.Second

// air carries datagrams between the agents of a test.
type air struct {
	mu      sync.Mutex
	members map[*airBus]bool
}

type airBus struct {
	air *air
	in  chan datagram
}

func (a *air) join() *airBus {
	a.mu.Lock()
	defer a.mu.Unlock()
	b := &airBus{a, make(chan datagram, 256)}
	if a.members == nil {
		a.members = map[*airBus]bool{}
	}
	a.members[b] = true
	return b
}

func (b *airBus) Send(data []byte) error {
	b.air.mu.Lock()
	defer b.air.mu.Unlock()
	for m := range b.air.members { // The sender, too.
		select {
		case m.in <- datagram{data: data}:
		default:
		}
	}
	return nil
}

func (b *airBus) Receive() <-chan datagram { return b.in }

func (b *airBus) Problems() []string { return nil }

func (b *airBus) Close() error {
	b.air.mu.Lock()
	defer b.air.mu.Unlock()
	if b.air.members[b] {
		delete(b.air.members, b)
		close(b.in)
	}
	return nil
}

// station is an agent with leaves that serve a manifest and nothing else.
type station struct {
	t       *testing.T
	agent   *Agent
	bus     *airBus
	mu      sync.Mutex
	refuse  error
	bridge  *float64 // What its leaves' bridges measure; nil without one.
	current *manifestLeaf
	changed chan struct{}
}

type manifestLeaf struct {
	s      *station
	server *httptest.Server
	term   Term
	done   chan struct{}
	once   sync.Once
}

func (s *station) Start(_ context.Context, term Term) (Leaf, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.refuse != nil {
		return nil, s.refuse
	}
	l := &manifestLeaf{s: s, term: term, done: make(chan struct{})}
	l.server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(l.Manifest())
	}))
	s.current = l
	return l, nil
}

func (l *manifestLeaf) Manifest() *Manifest {
	l.s.mu.Lock()
	a, bridge := l.s.agent, l.s.bridge
	l.s.mu.Unlock()
	m := &Manifest{Version: "1", NodeID: l.term.NodeID, DiscoveryNamespace: "test", FallbackServers: []string{},
		DiscoveryURL: l.server.URL + manifestPath, WSSURL: "wss://127.0.0.1:1"}
	if bridge != nil {
		m.BridgeState, m.BackboneRTTMs = "connected", bridge
	}
	if a != nil {
		m.LeaderEpoch, _, m.CandidateRole, m.IsLeader = a.Leadership()
	}
	return m
}

func (l *manifestLeaf) Done() <-chan struct{} { return l.done }
func (l *manifestLeaf) Err() error            { return errors.New("killed by a test") }
func (l *manifestLeaf) Stop(context.Context)  { l.once.Do(l.server.Close) }

func enable(t *testing.T, a *air, change func(*Config)) *station {
	t.Helper()
	s := &station{t: t, bus: a.join(), changed: make(chan struct{}, 1)}
	c := Config{DiscoveryNamespace: "test", CacheDir: t.TempDir(), Starter: s, bus: s.bus, OnChange: func(AgentStatus) {
		select {
		case s.changed <- struct{}{}:
		default:
		}
	}}
	if change != nil {
		change(&c)
	}
	agent, err := Enable(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	s.mu.Lock()
	s.agent = agent
	s.mu.Unlock()
	t.Cleanup(func() { agent.Stop(context.Background()) })
	return s
}

func (s *station) await(what string, ok func(AgentStatus) bool) AgentStatus {
	s.t.Helper()
	timeout := time.After(patience)
	for {
		if now := s.agent.Status(); ok(now) {
			return now
		}
		select {
		case <-s.changed:
		case <-time.After(100 * time.Millisecond): // Not all of a status reports its change.
		case <-timeout:
			s.t.Fatalf("waited for %s; status %+v", what, s.agent.Status())
		}
	}
}

func leads(s AgentStatus) bool { return s.State == Leading }

func follows(node string) func(AgentStatus) bool {
	return func(s AgentStatus) bool { return s.State == Following && s.Leader != nil && s.Leader.NodeID == node }
}

func named(node string) func(*Config) { return func(c *Config) { c.NodeID = node } }

func TestAgentsHaveOneLeaderAndTakeOverWhenItLeaves(t *testing.T) {
	var lan air
	first := enable(t, &lan, named("a"))
	first.await("a leader", leads)
	second, third := enable(t, &lan, named("b")), enable(t, &lan, named("c"))
	second.await("the leader a", follows("a"))
	got := third.await("the leader a", follows("a"))
	if got.Leader.DiscoveryURL == "" || got.LeaderEpoch != 1 || got.Role != RoleFollower {
		t.Errorf("%+v", got)
	}
	first.agent.Stop(context.Background())
	second.await("a successor", leads)
	if third.await("the leader b", follows("b")).LeaderEpoch != 2 {
		t.Error("not a new epoch")
	}
	if s := first.agent.Status(); s.State != Stopped || s.LocalLeaf != nil {
		t.Errorf("the agent that left: %+v", s)
	}
}

func TestAgentWhoseLeafDiesOrFailsLetsOthersLead(t *testing.T) {
	var lan air
	first := enable(t, &lan, named("a"))
	first.await("a leader", leads)
	second := enable(t, &lan, named("b"))
	second.await("the leader a", follows("a"))
	first.mu.Lock()
	first.refuse = errors.New("no room")
	close(first.current.done)
	first.mu.Unlock()
	second.await("a successor", leads)
	if s := first.await("the leader b", follows("b")); s.LastError != "leaf has ended: killed by a test" {
		t.Errorf("last error %q", s.LastError)
	}
}

func TestFastFailoverNeedsNoGrace(t *testing.T) {
	var lan air
	first := enable(t, &lan, named("a"))
	first.await("a leader", leads)
	second := enable(t, &lan, func(c *Config) { c.NodeID, c.FastFailover, c.LeaderMissingGrace = "b", true, time.Hour })
	second.await("the leader a", follows("a"))
	// The process of a is gone: nothing is sent any more, and its ports are closed.
	if err := first.bus.Close(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(200 * time.Millisecond) // The connection is being made; nothing tells when it is.
	began := time.Now()
	first.mu.Lock()
	l := first.current
	first.mu.Unlock()
	l.server.CloseClientConnections()
	l.Stop(context.Background())
	second.await("a successor", leads)
	t.Logf("took over after %v", time.Since(began))
}

func TestSecretKeepsOthersOut(t *testing.T) {
	var lan air
	with := func(node, secret string) func(*Config) {
		return func(c *Config) { c.NodeID, c.NamespaceSecret = node, secret }
	}
	stranger := enable(t, &lan, named("a"))
	stranger.await("a leader", leads)
	first := enable(t, &lan, with("b", "a secret of the studio"))
	second := enable(t, &lan, with("c", "a secret of the studio"))
	s := first.await("a leader", leads)
	second.await("the leader b", follows("b"))
	if s = first.await("a rejection", func(s AgentStatus) bool { return s.Rejected["proof"] > 0 }); s.Peers > 1 {
		t.Errorf("%d agents are heard", s.Peers)
	}
}

func TestAgentsOfOneCacheHaveIdentitiesOfTheirOwn(t *testing.T) {
	dir := t.TempDir()
	open := func() *identity {
		id, err := openIdentity(dir, "")
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	a, b := open(), open()
	if a.node == b.node {
		t.Fatalf("both are %s", a.node)
	}
	count, err := a.next()
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []*identity{a, b} {
		if err := id.close(); err != nil {
			t.Fatal(err)
		}
	}
	again := open()
	defer again.close()
	if again.node != a.node {
		t.Errorf("%s after a restart, was %s", again.node, a.node)
	}
	if next, err := again.next(); err != nil || next <= count {
		t.Errorf("count %d after %d, %v", next, count, err)
	}
}

func TestConfigThatCannotBeUsedIsRefused(t *testing.T) {
	s := &station{}
	for _, c := range []struct {
		field  string
		config Config
	}{
		{"DiscoveryNamespace", Config{Starter: s}},
		{"NodeID", Config{DiscoveryNamespace: "test", Starter: s, NodeID: "a b"}},
		{"LeaderMissingGrace", Config{DiscoveryNamespace: "test", Starter: s, LeaderMissingGrace: -1}},
		{"Starter", Config{DiscoveryNamespace: "test"}},
		{"BackboneServers", Config{DiscoveryNamespace: "test", Starter: s, BackboneServers: []string{"nats://"}}},
		{"NamespaceSecret", Config{DiscoveryNamespace: "test", Starter: s, NamespaceSecret: "short"}},
	} {
		_, err := Enable(t.Context(), c.config)
		if e, ok := errors.AsType[*ConfigError](err); !ok || e.Field != c.field {
			t.Errorf("%s: %v", c.field, err)
		}
	}
}
