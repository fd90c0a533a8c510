package e2e

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"
)

// newPublicGuest is a page from the internet, and a leaf on this machine that it finds through the session. The browser trusts the
// page's certificate and not the leaf's.
func newPublicGuest(t *testing.T) *site {
	t.Helper()
	s := newSite(t, siteOptions{flags: []chromedp.ExecAllocatorOption{chromedp.Flag("disable-quic", false)}})
	v, err := s.remote.server.Varz(nil)
	if err != nil {
		t.Fatal(err)
	}
	p := run(t, nil, artefacts(t).program, "leaf", "start", "--discovery-namespace", "e2e", "--lan-bind-address", "127.0.0.1",
		"--backbone-server", fmt.Sprintf("nats-leaf://127.0.0.1:%d", v.LeafNode.Port), "--cache-dir", t.TempDir(), "--discovery-port", freePort(t), "--json-lines", "--tickets")
	status := awaitLeaf(t, p, "the leaf with its bridge", func(s leafStatus) bool { return s.Phase == "running" && s.BridgeState == "connected" })
	s.leafURL = status.WSSURL
	s.routes.set("/.well-known/kinopio-leader.json", nil)
	return s
}

const throughTheSession = `namespace: "e2e"`

// onLeafByWebTransport waits until the page is on the leaf.
func (s *site) onLeafByWebTransport() {
	s.t.Helper()
	wants(s.t, "the way", s.awaitDiscovery("local"), "by WebTransport", s.leafURL)
	s.works()
}

// A page from the internet asks for nothing by itself, says what it lacks, and needs one permission for both ways to the leaf.
func TestPermissionsForALeafByWebTransport(t *testing.T) {
	t.Run("granted", func(t *testing.T) {
		s := newPublicGuest(t)
		s.permit("loopback-network", "granted")
		s.open(throughTheSession)
		s.onLeafByWebTransport()
	})
	t.Run("denied, then granted", func(t *testing.T) {
		s := newPublicGuest(t)
		s.permit("loopback-network", "denied")
		s.open(throughTheSession)
		wants(t, "denied", s.awaitDiscovery("permission-denied"), s.leafURL)
		s.works()
		s.permit("loopback-network", "granted")
		s.onLeafByWebTransport()
	})
	t.Run("undecided, then granted", func(t *testing.T) {
		s := newPublicGuest(t)
		s.open(throughTheSession)
		wants(t, "prompt", s.awaitDiscovery("permission-needed"), s.leafURL, "requestLocalNetwork")
		s.works()
		if state := eval[string](s.browser, `navigator.permissions.query({ name: "loopback-network" }).then((p) => p.state)`); state != "prompt" {
			t.Errorf("the permission is %s without anybody's click: the browser has asked", state)
		}
		s.permit("loopback-network", "granted")
		s.onLeafByWebTransport()
	})
}
