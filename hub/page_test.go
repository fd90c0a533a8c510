package hub_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// fakePage is a page whose browser the test plays.
type fakePage struct {
	address string
	secure  bool

	mu      sync.Mutex
	hidden  bool
	states  map[string]string
	knocks  []string
	answer  chan error // what the next knocks come to
	watcher func(hub.PageEvent)
}

func newPage(address string, state string) *fakePage {
	return &fakePage{
		address: address, secure: strings.HasPrefix(address, "https:"), answer: make(chan error, 10),
		states: map[string]string{"local-network": state, "loopback-network": state},
	}
}

func (p *fakePage) URL() (string, bool) { return p.address, p.secure }

func (p *fakePage) Hidden() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hidden
}

func (p *fakePage) Permission(_ context.Context, name string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.states[name]
}

func (p *fakePage) Prompt(ctx context.Context, address string) error {
	p.mu.Lock()
	p.knocks = append(p.knocks, address)
	p.mu.Unlock()
	select {
	case err := <-p.answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *fakePage) MayPrompt() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.knocks) == 0
}

func (p *fakePage) Watch(fn func(hub.PageEvent)) (stop func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.watcher = fn
	return func() {}
}

func (p *fakePage) fire(e hub.PageEvent, change func()) {
	p.mu.Lock()
	change()
	fn := p.watcher
	p.mu.Unlock()
	fn(e)
}

// decide sets the permission, as a user does.
func (p *fakePage) decide(state string) {
	p.fire(hub.PagePermission, func() { p.states["local-network"], p.states["loopback-network"] = state, state })
}

func (p *fakePage) knocked() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.knocks)
}

// searching opens a hub in a page, beside a leaf whose manifest is served.
func searching(t *testing.T, page hub.Page, change func(*hub.Config)) (*hub.Hub, *manifestServer, system) {
	t.Helper()
	sys := startWebSystem(t)
	manifest := serveManifest(t)
	manifest.leaf(webSocketURL(t, sys.leaf))
	cfg := hub.Config{
		Servers: []string{sys.backbone.ClientURL()},
		Page:    page,
		Discovery: hub.Discovery{
			Enabled: true, ManifestURL: manifest.URL, CacheTTL: 10 * time.Millisecond, SwitchTimeout: 3 * time.Second,
		},
	}
	if change != nil {
		change(&cfg)
	}
	return openHub(t, cfg), manifest, sys
}

func awaitDiscovery(t *testing.T, h *hub.Hub, want hub.DiscoveryState) hub.DiscoveryStatus {
	t.Helper()
	waitFor(t, "discovery to be "+string(want), func() bool { return h.DiscoveryStatus().State == want })
	return h.DiscoveryStatus()
}

func TestUndecidedPermissionWaitsForAClick(t *testing.T) {
	page := newPage("https://app.example.com/", "prompt")
	h, manifest, _ := searching(t, page, nil)
	said := make(chan hub.DiscoveryStatus, 100)
	h.OnDiscovery(func(s hub.DiscoveryStatus) { said <- s })
	if s := awaitDiscovery(t, h, hub.DiscoveryPermissionNeeded); !strings.Contains(s.Detail, manifest.URL) || !strings.Contains(s.Detail, "requestLocalNetwork") {
		t.Errorf("the detail is %q, want where and what to do", s.Detail)
	}
	if n := manifest.asked.Load(); n != 0 || len(page.knocked()) != 0 {
		t.Fatalf("asked %d times and knocked %q before any click", n, page.knocked())
	}
	// The user looks at the question; the connection is not held up.
	asked := make(chan hub.DiscoveryStatus)
	go func() {
		s, _ := h.RequestLocalNetwork(soon(t))
		asked <- s
	}()
	waitFor(t, "a knock", func() bool { return len(page.knocked()) == 1 })
	if err := h.Flush(soon(t)); err != nil || manifest.asked.Load() != 0 {
		t.Errorf("while the question was open: %v, %d looks", err, manifest.asked.Load())
	}
	page.decide("granted")
	if s := <-asked; s.State != hub.DiscoveryLocal {
		t.Errorf("after the grant: %+v, want local", s)
	}
	for _, want := range []hub.DiscoveryState{hub.DiscoveryPermissionNeeded, hub.DiscoveryProbing, hub.DiscoverySwitching, hub.DiscoveryLocal} {
		for s := range said {
			if s.State == want {
				break
			}
			if s.State != hub.DiscoveryPermissionNeeded {
				t.Errorf("was told %+v, want %s", s, want)
			}
		}
	}
}

func TestRefusedPermissionStopsTheSearchUntilItChanges(t *testing.T) {
	page := newPage("https://app.example.com/", "prompt")
	h, manifest, _ := searching(t, page, nil)
	awaitDiscovery(t, h, hub.DiscoveryPermissionNeeded)
	go func() {
		waitFor(t, "a knock", func() bool { return len(page.knocked()) == 1 })
		page.decide("denied")
	}()
	if s, err := h.RequestLocalNetwork(soon(t)); err != nil || s.State != hub.DiscoveryPermissionDenied || !strings.Contains(s.Detail, "iframe") {
		t.Errorf("got %+v, %v, want permission-denied and why that may be", s, err)
	}
	if s, err := h.RequestLocalNetwork(soon(t)); err != nil || s.State != hub.DiscoveryPermissionDenied || len(page.knocked()) != 1 {
		t.Errorf("a second request gave %+v, %v and %d knocks, want no other knock", s, err, len(page.knocked()))
	}
	if n := manifest.asked.Load(); n != 0 {
		t.Errorf("%d looks without permission", n)
	}
	page.decide("granted")
	awaitDiscovery(t, h, hub.DiscoveryLocal)
}

func TestAutoAsksOncePerPage(t *testing.T) {
	page := newPage("https://app.example.com/", "prompt")
	page.answer <- errors.New("put aside")
	h, manifest, _ := searching(t, page, func(c *hub.Config) { c.Discovery.LocalNetwork = hub.LocalNetworkAuto })
	awaitDiscovery(t, h, hub.DiscoveryUnreachable)
	page.fire(hub.PagePermission, func() {}) // another look, without a click
	awaitDiscovery(t, h, hub.DiscoveryPermissionNeeded)
	if len(page.knocked()) != 1 || manifest.asked.Load() != 0 {
		t.Errorf("%d knocks, %d looks, want one knock", len(page.knocked()), manifest.asked.Load())
	}
	page.answer <- nil // it answers, so no permission was needed
	page.answer <- nil
	if s, err := h.RequestLocalNetwork(soon(t)); err != nil || s.State != hub.DiscoveryLocal {
		t.Errorf("got %+v, %v, want local", s, err)
	}
}

func TestNeverReachesForNothing(t *testing.T) {
	page := newPage("https://app.example.com/", "granted")
	h, manifest, _ := searching(t, page, func(c *hub.Config) { c.Discovery.LocalNetwork = hub.LocalNetworkNever })
	if s := awaitDiscovery(t, h, hub.DiscoveryPermissionDenied); !strings.Contains(s.Detail, "never") {
		t.Errorf("the detail is %q, want the option", s.Detail)
	}
	if s, err := h.RequestLocalNetwork(soon(t)); err != nil || s.State != hub.DiscoveryPermissionDenied || len(page.knocked()) != 0 {
		t.Errorf("a request gave %+v, %v and %d knocks", s, err, len(page.knocked()))
	}
	if n := manifest.asked.Load(); n != 0 {
		t.Errorf("%d looks, want none", n)
	}
}

func TestInsecurePageTriesOnceAndSaysWhy(t *testing.T) {
	h, _, _ := searching(t, newPage("http://app.example.com/", "denied"), nil)
	awaitDiscovery(t, h, hub.DiscoveryLocal) // a page from the LAN, whose name does not tell so

	h, _, _ = searching(t, newPage("http://app.example.com/", "denied"), func(c *hub.Config) { c.Discovery.ManifestURL = "http://127.0.0.1:1/m.json" })
	if s := awaitDiscovery(t, h, hub.DiscoveryPermissionDenied); !strings.Contains(s.Detail, "https") {
		t.Errorf("the detail is %q, want that https is needed", s.Detail)
	}
}

func TestHiddenPageDoesNotLook(t *testing.T) {
	page := newPage("http://localhost/", "denied")
	h, manifest, _ := searching(t, page, func(c *hub.Config) { c.Discovery.CacheTTL = 5 * time.Millisecond })
	awaitDiscovery(t, h, hub.DiscoveryLocal)
	page.fire(hub.PageHidden, func() { page.hidden = true })
	if err := h.Flush(soon(t)); err != nil {
		t.Fatal(err)
	}
	n := manifest.asked.Load()
	for range 3 {
		if err := h.Flush(soon(t)); err != nil {
			t.Fatal(err)
		}
	}
	if more := manifest.asked.Load() - n; more > 1 {
		t.Errorf("%d looks while hidden", more)
	}
	n = manifest.asked.Load()
	page.fire(hub.PageShown, func() { page.hidden = false })
	waitFor(t, "a look", func() bool { return manifest.asked.Load() > n })
}

func TestAnotherLeaderIsReachedThroughTheServers(t *testing.T) {
	h, manifest, sys := searching(t, nil, nil)
	made := moves(h)
	second := startLeaf(t, sys.backbone, 0, withWebSocket)
	awaitDiscovery(t, h, hub.DiscoveryLocal)
	manifest.leaf(webSocketURL(t, second))
	var via []string
	for len(via) == 0 || h.Status().Server != webSocketURL(t, second) {
		if m := nextMove(t, made); m.From != "" && m.Reason != "leaf found" || len(via) > 0 {
			if m.Err != nil || !m.Planned {
				t.Fatalf("moved %+v, want planned moves only", m)
			}
			via = append(via, m.Via)
		}
	}
	if !slices.Equal(via, []string{"configured", "leaf"}) {
		t.Errorf("moved by %v, want through a configured server", via)
	}
}

func TestDiscoverySaysWhatIsWrongWithAManifest(t *testing.T) {
	s := startServer(t, nil)
	manifest := serveManifest(t)
	h := openHub(t, hub.Config{
		Servers:   []string{s.ClientURL()},
		Discovery: hub.Discovery{Enabled: true, ManifestURL: manifest.URL, CacheTTL: 5 * time.Millisecond},
	})
	awaitDiscovery(t, h, hub.DiscoveryNoLeader)
	manifest.answer.Store(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Write([]byte("<!doctype html>"))
	}))
	waitFor(t, "the detail", func() bool {
		d := h.DiscoveryStatus().Detail
		return strings.Contains(d, manifest.URL) && strings.Contains(d, "is text/html, want application/json")
	})
	manifest.leaf("ws://127.0.0.1:1")
	if d := awaitDiscovery(t, h, hub.DiscoveryUnreachable).Detail; !strings.Contains(d, "ws://127.0.0.1:1") {
		t.Errorf("the detail is %q, want the leaf", d)
	}
	h.Close()
	if _, err := h.RequestLocalNetwork(soon(t)); !errors.Is(err, hub.ErrDisposed) {
		t.Errorf("a request to a closed hub gave %v", err)
	}
}

func TestRequireBackbone(t *testing.T) {
	sys := startWebSystem(t)
	leaf := webSocketURL(t, sys.leaf)
	for _, c := range []struct {
		require  hub.Backbone
		fallback []string
		bridge   string
		want     hub.DiscoveryState
	}{
		{"", nil, "disconnected", hub.DiscoveryNoLeader},
		{hub.BackboneConfigured, nil, "disconnected", hub.DiscoveryIsolated},
		{hub.BackboneConfigured, []string{"wss://b"}, "connecting", hub.DiscoveryNoLeader},
		{"", []string{"wss://b"}, "connecting", hub.DiscoveryNoLeader},
		{hub.BackboneAlways, nil, "disconnected", hub.DiscoveryNoLeader},
		{hub.BackboneAlways, nil, "connected", hub.DiscoveryLocal},
		{hub.BackboneNever, []string{"wss://b"}, "connecting", hub.DiscoveryIsolated},
	} {
		manifest := serveManifest(t)
		manifest.answer.Store(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			json.NewEncoder(w).Encode(map[string]any{
				"version": "1", "wssUrl": leaf, "isLeader": true, "bridgeState": c.bridge, "fallbackServers": c.fallback,
				"expiresAt": time.Now().Add(time.Minute).UTC().Format(time.RFC3339),
			})
		}))
		h := openHub(t, hub.Config{
			Servers:   []string{sys.backbone.ClientURL()},
			Discovery: hub.Discovery{Enabled: true, ManifestURL: manifest.URL, CacheTTL: 5 * time.Millisecond, RequireBackbone: c.require},
		})
		if s := awaitDiscovery(t, h, c.want); c.want == hub.DiscoveryNoLeader && !strings.Contains(s.Detail, "bridgeState") {
			t.Errorf("%q with %v, %s: detail %q", c.require, c.fallback, c.bridge, s.Detail)
		}
		h.Close()
	}
}

func TestCheckLinkDropsASilentServerAndComesBackAtOnce(t *testing.T) {
	s := startServer(t, func(o *server.Options) { o.PingInterval = time.Minute })
	front, stall := stallable(t, strings.TrimPrefix(s.ClientURL(), "nats://"))
	h := openHub(t, hub.Config{Servers: []string{"nats://" + front}, PingInterval: time.Minute})
	h.CheckLink() // an answer keeps the link
	if err := h.Flush(soon(t)); err != nil || h.Status().Reconnects != 0 {
		t.Fatalf("%v, %d reconnects", err, h.Status().Reconnects)
	}
	stall()
	begin := time.Now()
	h.CheckLink()
	waitFor(t, "another connection", func() bool { return h.Status().Reconnects == 1 })
	if took := time.Since(begin); took > 4*time.Second {
		t.Errorf("took %v, want the 2 s of the check and no backoff", took)
	}
}

// stallable is the address of a proxy whose connections stop carrying anything, without an
// end, when stall is called. Later ones work.
func stallable(t *testing.T, address string) (front string, stall func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var open []net.Conn
	generation := new(atomic.Bool)
	pipe := func(to, from net.Conn, stalled *atomic.Bool) {
		buf := make([]byte, 4096)
		for {
			n, err := from.Read(buf)
			if err != nil {
				if !stalled.Load() {
					to.Close()
				}
				return
			}
			if !stalled.Load() {
				to.Write(buf[:n])
			}
		}
	}
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", address)
			if err != nil {
				in.Close()
				continue
			}
			mu.Lock()
			open = append(open, in, out)
			stalled := generation
			mu.Unlock()
			go pipe(out, in, stalled)
			go pipe(in, out, stalled)
		}
	}()
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		defer mu.Unlock()
		for _, c := range open {
			c.Close()
		}
	})
	return l.Addr().String(), func() {
		mu.Lock()
		defer mu.Unlock()
		generation.Store(true)
		generation = new(atomic.Bool)
	}
}
