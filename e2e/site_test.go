package e2e

import (
	"crypto/tls"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/nats-io/nats-server/v2/server"
)

// A site is a page that the browser takes to be from the internet, with a server there, and a
// leaf on the LAN, bridged to that server. All run on this machine.
type site struct {
	*browser
	origin    string
	routes    *routes
	remote    remote // its websocket is an address of the internet, too
	leaf      remote
	leafWire  *wire  // in front of the leaf
	leafURL   string // wss://, through leafWire
	authority *authority
}

type siteOptions struct {
	insecure bool       // the page comes by http
	onLAN    bool       // the leaf is leaf.local, on another machine of the LAN; else it is on this one
	stranger *authority // issues the leaf's certificate instead of the trusted one
	flags    []chromedp.ExecAllocatorOption
}

// newSite starts everything. The page is not opened yet.
func newSite(t *testing.T, o siteOptions) *site {
	t.Helper()
	s := &site{routes: &routes{}, authority: newAuthority(t)}
	leafAuthority := s.authority
	if o.stranger != nil {
		leafAuthority = o.stranger
	}
	secure := func(config *tls.Config) func(*server.Options) {
		return func(o *server.Options) { o.Websocket.NoTLS, o.Websocket.TLSConfig = config == nil, config }
	}
	var certificate *tls.Config
	if !o.insecure {
		certificate = s.authority.issue("page.test")
	}
	s.remote = startRemote(t, secure(certificate), func(o *server.Options) {
		o.LeafNode.Host, o.LeafNode.Port = "127.0.0.1", server.RANDOM_PORT
	})
	s.leaf = startLeaf(t, s.remote, secure(leafAuthority.issue("leaf.local")))
	s.leafWire = newWire(t, s.leaf.websocket)
	s.leafURL = "wss://" + s.leafWire.address
	page := serveLab(t, s.routes, certificate)
	scheme, address, _ := strings.Cut(page.URL, "://")
	s.origin = scheme + "://page.test" + address[strings.LastIndex(address, ":"):]
	_, remoteAddress, _ := strings.Cut(s.remote.websocket, "://")
	spaces := []string{address + "=public", remoteAddress + "=public"}
	if o.onLAN {
		spaces = append(spaces, s.leafWire.address+"=local")
		s.leafURL = strings.Replace(s.leafURL, "127.0.0.1", "leaf.local", 1)
	}
	flags := append([]chromedp.ExecAllocatorOption{
		chromedp.Flag("ip-address-space-overrides", strings.Join(spaces, ",")),
		chromedp.Flag("host-resolver-rules", "MAP page.test 127.0.0.1,MAP leaf.local 127.0.0.1"),
	}, o.flags...)
	s.browser = openBrowser(t, s.authority.file, flags...)
	s.lead(s.leafURL)
	return s
}

// startLeaf starts a nats-server that is bridged to another.
func startLeaf(t *testing.T, to remote, change ...func(*server.Options)) remote {
	t.Helper()
	v, err := to.server.Varz(nil)
	if err != nil {
		t.Fatal(err)
	}
	bridge := &url.URL{Scheme: "nats-leaf", Host: fmt.Sprintf("127.0.0.1:%d", v.LeafNode.Port)}
	leaf := startRemote(t, append(change, func(o *server.Options) {
		o.LeafNode.Remotes = []*server.RemoteLeafOpts{{URLs: []*url.URL{bridge}}}
	})...)
	deadline := time.After(patience)
	for leaf.server.NumLeafNodes() == 0 { // no event tells
		select {
		case <-deadline:
			t.Fatal("the leaf is not bridged")
		case <-time.After(5 * time.Millisecond):
		}
	}
	return leaf
}

// lead makes the site's manifest name a leaf.
func (s *site) lead(leaf string) {
	s.routes.set("/.well-known/kinopio-leader.json", manifestOf(time.Now().Add(time.Hour), leaf))
}

// permit sets a permission of the page, "granted", "denied" or "prompt".
func (s *site) permit(name, state string) {
	s.t.Helper()
	s.browser.permit(name, state, s.origin)
}

// open shows the page and makes its hub with discovery, whose further options are given.
func (s *site) open(options string) {
	s.t.Helper()
	s.goTo(s.origin + "/")
	s.begin(s.remote.websocket, options)
}

// begin makes a hub in the page that is open, and a subscription whose messages it counts.
func (b *browser) begin(server, discovery string) {
	b.t.Helper()
	eval[bool](b, fmt.Sprintf(`(async () => {
		window.hub = open({ servers: [%q], reconnectTimeWait: 50, discovery: { enabled: true, cacheTtlMs: 100, localSwitchTimeoutMs: 5000, %s } });
		await hub.connected();
		window.beats = 0;
		await hub.lab.beat.sub(() => beats++);
		return true;
	})()`, server, discovery))
}

// awaitDiscovery waits until the hub's discoveryStatus is the word, and returns its detail.
func (b *browser) awaitDiscovery(word string) string {
	b.t.Helper()
	b.waitFor("discovery is "+word, fmt.Sprintf(`hub.discoveryStatus.state === %q`, word),
		`[hub.discoveryStatus, seen.at(-1), hub.status]`)
	return eval[string](b, `hub.discoveryStatus.detail`)
}

// works fails the test unless the page's session is up and was never disturbed.
func (b *browser) works() {
	b.t.Helper()
	eval[bool](b, `(async () => { window.before = beats; await hub.lab.beat.pub(1); return true; })()`)
	b.waitFor("a message comes back", `beats > before`, `[beats, seen.at(-1), hub.status]`)
	if n := eval[int](b, `hub.status.reconnects`); n != 0 {
		b.t.Errorf("%d reconnects: the session must stay up", n)
	}
}
