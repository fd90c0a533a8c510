package e2e

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/e2e/engine"
	hosts "github.com/kinopio-hub/kinopio-hub/v3/election/lab"
)

// internetAddress is the host of sites on their internet: a backbone, and an app that comes by https.
const internetAddress = "203.0.113.1"

// sites is an internet with an app and a backbone, and sites behind NAT whose leaves have one namespace.
type sites struct {
	t       *testing.T
	network *hosts.Network
	trust   *authority // of the internet's certificate; it is nothing to a leaf
}

func newSites(t *testing.T) *sites {
	t.Helper()
	built := artefacts(t)
	s := &sites{t: t, network: hosts.New(t), trust: newAuthority(t)}
	cert, key := s.trust.issueFiles(internetAddress)
	s.network.Public("internet", 1).Play("backbone", cert, key, built.dist).Await("ready")
	return s
}

// startSiteLeaf starts a leaf on a host, with its bridge.
func startSiteLeaf(t *testing.T, h *hosts.Host, flags ...string) *hosts.Process {
	t.Helper()
	leaf := h.Start("leaf", h.Command(context.Background(), artefacts(t).program, append([]string{"leaf", "start", "--discovery-namespace", "studio", "--node-id", h.Name, "--tickets", "--json-lines",
		"--parent-pipe", "--websocket-port", "4443", "--backbone-server", "nats-leaf://" + internetAddress + ":7422", "--runtime-dir", t.TempDir()}, flags...)...))
	leaf.Await(`"phase":"running"`, `"bridgeState":"connected"`)
	return leaf
}

// open opens the app at the internet in a browser that trusts the internet's certificate, and with local its user's permission for the local
// network in that state (Chromium), and makes a hub there, which is connected.
func (s *sites) open(h *hosts.Host, order hostBrowser, local string) *browser {
	s.t.Helper()
	order.RootFiles = []string{s.trust.file}
	b := openOn(s.t, h, order, "https://"+internetAddress+"/")
	if local != "" {
		b.permit("local-network", local, "https://"+internetAddress)
	}
	s.hub(b)
	return b
}

// hub makes one with nothing but its server and a namespace.
func (s *sites) hub(b *browser) {
	s.t.Helper()
	eval[bool](b, fmt.Sprintf(`(async () => {
		window.hub = open({ servers: ["wss://%s:8080"], discovery: { enabled: true, namespace: "studio" } });
		await hub.connected();
		window.beats = 0;
		await hub.lab.beat.sub(() => beats++);
		return true;
	})()`, internetAddress))
}

// comesToLeaf waits until the hub is on a leaf, by the way that is said.
func comesToLeaf(b *browser, way string) {
	b.t.Helper()
	took := b.waitFor("on the leaf", `hub.status.via === "leaf" && hub.state === "connected" && hub.discoveryStatus.state === "local"`, `[hub.status, hub.discoveryStatus, seen[0]]`)
	wants(b.t, fmt.Sprintf("%s, on the leaf after a wait of %v", b.page.Version(), took.Round(time.Millisecond)), eval[string](b, `hub.discoveryStatus.detail`), way)
}

// staysAway waits until the hub says why it is not on a leaf, and fails the test unless it is still on its server.
func staysAway(b *browser, state string, says ...string) {
	b.t.Helper()
	b.waitFor("it says why it stays", fmt.Sprintf(`hub.discoveryStatus.state === %q && %s`, state, containsAll(`hub.discoveryStatus.detail`, says)), `[hub.status, hub.discoveryStatus, seen[0]]`)
	b.t.Logf("%s stays: %s", b.page.Version(), eval[string](b, `hub.discoveryStatus.detail`))
	if via := eval[string](b, `hub.status.via`); via != "configured" {
		b.t.Errorf("the hub is on %q", via)
	}
	b.works()
}

// containsAll is an expression: a text has all the parts.
func containsAll(text string, parts []string) string {
	all := []string{"true"}
	for _, p := range parts {
		all = append(all, fmt.Sprintf("%s.includes(%q)", text, p))
	}
	return strings.Join(all, " && ")
}

// An app from the internet, in a browser behind NAT with a fresh profile, comes to the leaf of its own site by WebTransport if its user lets
// it, and asks nobody unasked. Both sites' leaves have the same address, and nothing else in common.
func TestBrowsersBehindNATComeToTheirOwnLeaf(t *testing.T) {
	s := newSites(t)
	chromium := hostBrowser{Engine: engine.Chromium}
	for _, name := range []string{"north", "south"} {
		site := s.network.Site(name)
		startSiteLeaf(t, site.Host(10), "--cache-dir", t.TempDir())
		b := s.open(site.Host(100), chromium, "granted")
		comesToLeaf(b, "wss://192.168.1.10:4443 by WebTransport")
		b.works()
	}
}

// What the user of a page from the internet has said of the local network decides, and is asked for by a click only.
func TestPermissionsForALeafOnTheLAN(t *testing.T) {
	s := newSites(t)
	site := s.network.Site("site")
	startSiteLeaf(t, site.Host(10), "--cache-dir", t.TempDir())
	chromium := hostBrowser{Engine: engine.Chromium}
	b := s.open(site.Host(100), chromium, "")
	staysAway(b, "permission-needed", "192.168.1.10", "requestLocalNetwork")
	if state := eval[string](b, `navigator.permissions.query({ name: "local-network" }).then((p) => p.state)`); state != "prompt" {
		t.Errorf("the permission is %s without anybody's click: the browser has asked", state)
	}
	b.permit("local-network", "denied", "https://"+internetAddress)
	staysAway(b, "permission-denied", "192.168.1.10", "denied")
	b.permit("local-network", "granted", "https://"+internetAddress)
	comesToLeaf(b, "by WebTransport")
	b.works()
}

// Where a firewall drops UDP a guest that trusts no CA stays on its server and says why; one that trusts the leaf's CA comes by
// WebSocket, and says why not by WebTransport.
func TestWhereUDPIsDroppedGuestsOfASiteStayOrComeByWebSocket(t *testing.T) {
	s := newSites(t)
	site := s.network.Site("site")
	cache := t.TempDir()
	startSiteLeaf(t, site.Host(10), "--cache-dir", cache)
	rootFile := filepath.Join(cache, "kinopio-hub", "leaf-ca", "root-ca.pem")
	guest := site.Host(100)
	guest.DropUDP()
	// The page is of the guest's own machine: which CAs are trusted is what is left.
	for _, c := range []struct {
		name  string
		roots []string
		play  func(*browser)
	}{
		{"no CA", []string{s.trust.file}, func(b *browser) {
			staysAway(b, "untrusted-or-unreachable", "by WebTransport to https://192.168.1.10:4443", "UDP", "by WebSocket")
		}},
		{"the leaf's CA", []string{s.trust.file, rootFile}, func(b *browser) { comesToLeaf(b, "by WebSocket, as WebTransport to https://192.168.1.10:4443") }},
	} {
		t.Log(c.name)
		b := openOn(t, guest, hostBrowser{Engine: engine.Chromium, Dist: artefacts(t).dist, RootFiles: c.roots}, "")
		s.hub(b)
		c.play(b)
		b.works()
	}
}
