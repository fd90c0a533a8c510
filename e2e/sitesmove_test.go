package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/e2e/engine"
	hosts "github.com/kinopio-hub/kinopio-hub/v3/election/lab"
)

// A siteGuest is a page in a site that publishes numbers and follows those of the guest in the other site.
type siteGuest struct {
	*browser
	name  string
	other *siteGuest
	site  *hosts.Site

	leaves map[string]*hosts.Process // by the address of their host
	start  func(address string) *hosts.Process
}

// newSiteGuest makes a site with leaves on so many hosts. The page is opened by open.
func newSiteGuest(s *sites, name string, leaves int, open func(h *hosts.Host) *browser) *siteGuest {
	s.t.Helper()
	g := &siteGuest{name: name, site: s.network.Site(name), leaves: map[string]*hosts.Process{}}
	at, caches := map[string]*hosts.Host{}, map[string]string{}
	for i := range leaves {
		h := g.site.Host(10 + i)
		at[h.Address.String()], caches[h.Address.String()] = h, s.t.TempDir()
	}
	g.start = func(address string) *hosts.Process {
		return startSiteLeaf(s.t, at[address], "--cache-dir", caches[address])
	}
	for address := range at {
		g.leaves[address] = g.start(address)
	}
	g.browser = open(g.site.Host(100))
	return g
}

// leaf is the address of the leaf that the guest is on.
func (g *siteGuest) leaf() string {
	g.t.Helper()
	comesToLeaf(g.browser, "by WebTransport")
	return eval[string](g.browser, `new URL(hub.status.server.replace("wss:", "https:")).hostname`)
}

// follow counts the other's numbers, which begin when a mark of the other has come.
func (g *siteGuest) follow() {
	g.t.Helper()
	eval[bool](g.browser, fmt.Sprintf(`(async () => {
		const c = window.inward = { next: 0, received: 0, lost: 0, repeated: 0 };
		window.marked = false;
		await hub.getScope("numbers").getVariable(%q).sub((n) => {
			if (n < 0) return void (marked = true);
			if (n > c.next) c.lost += n - c.next;
			if (n < c.next) c.repeated++;
			else c.next = n + 1;
			c.received++;
		});
		window.own = hub.getScope("numbers").getVariable(%q);
		window.published = 0;
		window.marking = setInterval(() => own.pub(-1), 50);
		return true;
	})()`, g.other.name, g.name))
}

// publish begins with the guest's own numbers, rate a second.
func (g *siteGuest) publish() {
	g.t.Helper()
	g.other.waitFor("a mark of "+g.name, `marked`, `[hub.status, hub.discoveryStatus]`)
	eval[bool](g.browser, fmt.Sprintf(`(() => {
		clearInterval(marking);
		const begin = performance.now();
		const timer = setInterval(() => {
			for (const due = (performance.now() - begin) * %d / 1000; published < due; published++) own.pub(published);
		}, 5);
		window.stopNumbers = () => clearInterval(timer);
		return true;
	})()`, rate))
}

const inwardNow = `[hub.status, hub.discoveryStatus, seen[0].moves, inward, published]`

// more waits until numbers have come to both.
func (g *siteGuest) more(what string) {
	g.t.Helper()
	for _, to := range []*siteGuest{g, g.other} {
		mark := eval[int](to.other.browser, `published`) + settle
		to.waitFor(what+": numbers from "+to.other.name, fmt.Sprintf(`inward.next > %d`, mark), inwardNow)
	}
}

// exact fails the test unless each number of the other has come once, and in order, when both have stopped.
func (g *siteGuest) exact() {
	g.t.Helper()
	sent := eval[int](g.other.browser, `published`)
	g.waitFor("all that was published", fmt.Sprintf(`inward.next === %d`, sent), inwardNow)
	if c := eval[string](g.browser, `JSON.stringify([inward.received, inward.lost, inward.repeated])`); c != fmt.Sprintf("[%d,0,0]", sent) {
		g.t.Errorf("%s: received, lost, and repeated or out of order: %s, of %d", g.name, c, sent)
	}
	g.t.Logf("%s (%s) got %d numbers from %s; it moved %s", g.name, g.page.Version(), sent, g.other.name,
		eval[string](g.browser, `seen[0].moves.map((m) => m.via + " (" + m.reason + (m.error ? ": " + m.error : "") + ")").join(", ")`))
}

// ends ends the leaf that the guest is on, and returns when the guest is on a leaf again: another one of its site if there is one, else
// the same, which is started again when the guest is back on its server.
func (g *siteGuest) ends(how string, end func(*hosts.Process)) {
	g.t.Helper()
	was := g.leaf()
	begin := time.Now()
	end(g.leaves[was])
	if len(g.leaves) == 1 {
		g.waitFor(g.name+", "+how+": back on the server", `hub.status.via === "configured" && hub.state === "connected"`, inwardNow)
		g.t.Logf("%s, %s: back on the server after %v", g.name, how, time.Since(begin).Round(time.Millisecond))
		g.more(how + ", on the server")
		g.leaves[was] = g.start(was)
	} else {
		g.waitFor(g.name+", "+how+": on the other leaf", fmt.Sprintf(`hub.status.via === "leaf" && hub.state === "connected" && !hub.status.server.includes(%q)`, was), inwardNow)
		g.t.Logf("%s, %s: on the site's other leaf after %v", g.name, how, time.Since(begin).Round(time.Millisecond))
	}
	is := g.leaf()
	g.more(how + ", on " + is)
	if is != was {
		g.leaves[was] = g.start(was)
	}
}

// playTwoSites has guests of two sites exchange numbers, while leaves end under them.
func playTwoSites(t *testing.T, open func(s *sites, h *hosts.Host) *browser) {
	s := newSites(t)
	north := newSiteGuest(s, "north", 2, func(h *hosts.Host) *browser { return open(s, h) })
	south := newSiteGuest(s, "south", 1, func(h *hosts.Host) *browser {
		return s.open(h, hostBrowser{Engine: engine.Chromium}, "granted")
	})
	north.other, south.other = south, north
	for _, g := range []*siteGuest{north, south} {
		if on := g.leaf(); g.leaves[on] == nil || !strings.HasPrefix(on, "192.168.1.1") {
			t.Fatalf("%s is on %s", g.name, on)
		}
		g.follow()
	}
	north.publish()
	south.publish()
	north.more("at first")
	for _, g := range []*siteGuest{north, south} {
		g.ends("planned", (*hosts.Process).Stop)
		g.ends("killed", (*hosts.Process).Kill)
	}
	for _, g := range []*siteGuest{north, south} {
		eval[bool](g.browser, `(stopNumbers(), true)`)
	}
	north.exact()
	south.exact()
}

// Guests in two sites behind NAT, each on a leaf of its own site, exchange 2,000 numbers a second each way. Their leaves end, as planned and
// killed; one site has two: nothing is lost, repeated or out of order.
func TestGuestsOfTwoSitesMoveExactly(t *testing.T) {
	playTwoSites(t, func(s *sites, h *hosts.Host) *browser {
		return s.open(h, hostBrowser{Engine: engine.Chromium}, "granted")
	})
}

// The same with a guest in Firefox whose page comes from its own machine, as Firefox lets only such pages through.
func TestFirefoxOfASiteMovesExactly(t *testing.T) {
	playTwoSites(t, func(s *sites, h *hosts.Host) *browser {
		b := openOn(t, h, hostBrowser{Engine: engine.Firefox, Dist: artefacts(t).dist, RootFiles: []string{s.trust.file}}, "")
		s.hub(b)
		return b
	})
}

// Firefox asks its user about pages from the internet, too, and keeps them from WebTransport to the LAN whatever the answer is, unless a preference
// turns that off: the page stays on its server, and says why.
func TestFirefoxKeepsPagesFromTheInternetFromTheLeaf(t *testing.T) {
	s := newSites(t)
	site := s.network.Site("site")
	startSiteLeaf(t, site.Host(10), "--cache-dir", t.TempDir())
	b := s.open(site.Host(100), hostBrowser{Engine: engine.Firefox}, "granted")
	t.Log(eval[string](b, `navigator.permissions.query({ name: "local-network" }).then((p) => p.state, String)`))
	staysAway(b, "untrusted-or-unreachable", "by WebTransport to https://192.168.1.10:4443")
	allowed := s.open(site.Host(101), hostBrowser{Engine: engine.Firefox, Prefs: map[string]any{"network.lna.enabled": false}}, "granted")
	comesToLeaf(allowed, "by WebTransport")
	allowed.works()
}
