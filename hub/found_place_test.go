//go:build !js

// Leaves run natively only.

package hub_test

import (
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
	"github.com/kinopio-hub/kinopio-hub/v3/leaf"
)

// seenAt is the address of a proxy to a server that believes it (PROXY protocol): clients come from ip.
func seenAt(t testing.TB, s *server.Server, ip string) string {
	t.Helper()
	var mu sync.Mutex
	first := map[net.Conn]bool{}
	address, _ := proxy(t, s.Addr().String(), func(to, from net.Conn) {
		mu.Lock()
		if to.RemoteAddr().String() == s.Addr().String() && !first[to] {
			first[to] = true
			fmt.Fprintf(to, "PROXY TCP4 %s 127.0.0.1 1000 4222\r\n", ip)
		}
		mu.Unlock()
		io.Copy(to, from)
		to.Close()
	})
	return address
}

// Of two sites with one namespace each hub is on its own site's leaf: public addresses pair them, and news of the
// other site move nobody.
func TestHubsAreOnTheLeafOfTheirOwnSite(t *testing.T) {
	backbone := startServer(t, func(o *server.Options) { withLeaves(o); o.ProxyProtocol = true })
	sites := []string{"203.0.113.7", "198.51.100.9"}
	leaves := make([]*leaf.Leaf, 2)
	for i, ip := range sites {
		leaves[i] = startRealLeaf(t, bridgeTo(t, backbone, nil), func(c *leaf.Config) {
			c.PublicAddresses, c.NodeID = []string{ip}, fmt.Sprint("node-", i)
		})
	}
	hubs := make([]*hub.Hub, 6)
	moved := make([]<-chan hub.Move, len(hubs))
	for i := range hubs {
		hubs[i] = asking(t, "nats://"+seenAt(t, backbone, sites[i%2]), nil)
		moved[i] = moves(hubs[i])
	}
	for i, h := range hubs {
		awaitLeaf(t, h, leaves[i%2])
	}
	third := startRealLeaf(t, bridgeTo(t, backbone, nil), func(c *leaf.Config) { c.PublicAddresses = sites[:1] }) // news
	time.Sleep(500 * time.Millisecond)
	for i, h := range hubs {
		if s := h.Status(); s.Server != leaves[i%2].Status().WSSURL {
			t.Errorf("hub %d is on %s", i, s.Server)
		}
		for len(moved[i]) > 0 {
			if m := <-moved[i]; m.Reason != "connect" && m.To != leaves[i%2].Status().WSSURL {
				t.Errorf("hub %d moved: %+v", i, m)
			}
		}
	}
	// The leaf goes: its hubs go to the other one of their site, and nobody of the other site moves.
	leaves[0].Stop(t.Context())
	for i, h := range hubs {
		if i%2 == 0 {
			awaitLeaf(t, h, third)
		} else if s := h.Status(); s.Server != leaves[1].Status().WSSURL {
			t.Errorf("hub %d is on %s", i, s.Server)
		}
	}
}

// One of two leaves in a site cannot be reached: the other one is tried, in the same breath.
func TestCandidatesAreTriedOneAfterTheOther(t *testing.T) {
	backbone := startServer(t, withLeaves)
	for i := range 2 { // at an address that nobody has
		startRealLeaf(t, bridgeTo(t, backbone, nil), func(c *leaf.Config) { c.AdvertisedHostname, c.NodeID = "127.0.0.77", fmt.Sprint("unreachable-", i) })
	}
	good := startRealLeaf(t, bridgeTo(t, backbone, nil), func(c *leaf.Config) { c.NodeID = "good" })
	h := asking(t, backbone.ClientURL(), nil)
	awaitLeaf(t, h, good)
}

// Leaves in two LANs have the same private address, and so the same URL; the proxies of their LANs hide where they are. Which of them is
// here its certificate says: each is tried as what it said of itself, also one that gives tickets.
func TestLeavesOfOneURLAreTwo(t *testing.T) {
	backbone := startServer(t, withLeaves)
	l := startRealLeaf(t, bridgeTo(t, backbone, nil), func(c *leaf.Config) {
		c.NoWebSocketTLS, c.Access.Tickets, c.NodeID = false, true, "here"
	})
	stranger := startRealLeaf(t, "", func(c *leaf.Config) {
		c.NoWebSocketTLS, c.DiscoveryNamespace, c.CacheDir = false, "another", t.TempDir()
	})
	root := stranger.Manifest().RootPEM
	// It is nearer to the backbone, and so is the first to answer.
	asked := answering(t, backbone.ClientURL(), "_KH.leaf.find.studio.any", func(*nats.Msg) *nats.Msg {
		return saying(manifestFor(l.Status().WSSURL, func(m map[string]any) { m["nodeId"], m["rootPem"], m["tickets"] = "elsewhere", root, false }))
	})
	for range 4 { // of equals any is tried first
		h := asking(t, backbone.ClientURL(), func(c *hub.Config) { c.Discovery.NamespaceKey = "" })
		awaitLeaf(t, h, l)
		h.Close()
	}
	if asked.Load() < 4 {
		t.Errorf("the other one was asked %d times", asked.Load())
	}
}

// A leaf behind another public address is tried when only such ones have answered for a while, as it most likely is in vain; not at once when the
// own leaf has gone.
func TestLeavesElsewhereAreTriedLate(t *testing.T) {
	backbone := startServer(t, func(o *server.Options) { withLeaves(o); o.ProxyProtocol = true })
	elsewhere := startRealLeaf(t, bridgeTo(t, backbone, nil), func(c *leaf.Config) { c.PublicAddresses = []string{"198.51.100.9"} })
	began := time.Now()
	h := asking(t, "nats://"+seenAt(t, backbone, "203.0.113.7"), nil)
	awaitLeaf(t, h, elsewhere)
	if took := time.Since(began); took < 3*time.Second {
		t.Errorf("it was tried after %v already", took)
	}
	// One that has no address of the hub's kind is tried at once.
	other := startRealLeaf(t, bridgeTo(t, backbone, nil), func(c *leaf.Config) { c.PublicAddresses = []string{"2001:db8::1"} })
	h = asking(t, "nats://"+seenAt(t, backbone, "203.0.113.7"), nil)
	awaitLeaf(t, h, other)
}

// A leaf learns its public address from the backbone's listener for clients, and tells it.
func TestLeafLearnsItsPublicAddress(t *testing.T) {
	backbone := startServer(t, func(o *server.Options) { withLeaves(o); o.ProxyProtocol = true })
	l := startRealLeaf(t, bridgeTo(t, backbone, nil), func(c *leaf.Config) { c.BackboneClientServer = "nats://" + seenAt(t, backbone, "203.0.113.7") })
	waitFor(t, "the address", func() bool {
		m := l.Manifest()
		return m != nil && slices.Equal(m.PublicAddresses, []string{"203.0.113.7"})
	})
	h := asking(t, "nats://"+seenAt(t, backbone, "203.0.113.7"), nil)
	awaitLeaf(t, h, l)
}

// A leaf that most likely is in another LAN is tried, but no user is asked for it.
func TestLeavesElsewhereAskNoUser(t *testing.T) {
	backbone := startServer(t, func(o *server.Options) { withLeaves(o); o.ProxyProtocol = true })
	startRealLeaf(t, bridgeTo(t, backbone, nil), func(c *leaf.Config) { c.PublicAddresses = []string{"198.51.100.9"} })
	page := newPage("https://app.example.com/", "prompt")
	h := asking(t, "nats://"+seenAt(t, backbone, "203.0.113.7"), func(c *hub.Config) { c.Page = page })
	waitFor(t, "the reason", func() bool {
		d := h.DiscoveryStatus()
		return d.State == hub.DiscoveryNoLeader && strings.Contains(d.Detail, "behind other public addresses")
	})
	if k := page.knocked(); len(k) > 0 {
		t.Errorf("the user was asked about %v", k)
	}
}

// Where the browser wants its user's permission, it is asked for with a click, as for a manifest.
func TestPermissionForALeafThatHasAnswered(t *testing.T) {
	backbone := startServer(t, withLeaves)
	l := startRealLeaf(t, bridgeTo(t, backbone, nil), nil)
	page := newPage("https://app.example.com/", "prompt")
	h := asking(t, backbone.ClientURL(), func(c *hub.Config) { c.Page = page })
	if d := awaitDiscovery(t, h, hub.DiscoveryPermissionNeeded); !strings.Contains(d.Detail, l.Status().WSSURL) {
		t.Errorf("%q", d.Detail)
	}
	if k := page.knocked(); len(k) > 0 {
		t.Errorf("the user was asked about %v without a click", k)
	}
}

// What is in the way is said in words.
func TestStatusSaysWhyNoLeafIsFound(t *testing.T) {
	t.Run("another namespace", func(t *testing.T) {
		backbone := startServer(t, withLeaves)
		startRealLeaf(t, bridgeTo(t, backbone, nil), nil)
		startRealLeaf(t, bridgeTo(t, backbone, nil), func(c *leaf.Config) { c.DiscoveryNamespace = "stage" })
		h := asking(t, backbone.ClientURL(), func(c *hub.Config) { c.Discovery.Namespace, c.Discovery.NamespaceKey = "studoi", "" })
		waitFor(t, "the words", func() bool {
			return strings.Contains(h.DiscoveryStatus().Detail, `no leaf answers in the namespace "studoi"; there are leaves of the namespaces ["stage" "studio"]`)
		})
	})
	t.Run("may not ask", func(t *testing.T) {
		backbone := startServer(t, permitting(&server.Permissions{Publish: &server.SubjectPermission{Deny: []string{"_KH.leaf.>"}}}))
		h := asking(t, as("u", backbone), nil)
		waitFor(t, "the words", func() bool {
			d := h.DiscoveryStatus().Detail
			return strings.Contains(d, `does not let this user publish to "_KH.leaf.find.studio.any"`) && strings.Contains(d, "docs/permissions.md")
		})
	})
	t.Run("may not hear", func(t *testing.T) {
		backbone := startServer(t, permitting(&server.Permissions{Subscribe: &server.SubjectPermission{Deny: []string{"_INBOX.>"}}}))
		h := asking(t, as("u", backbone), nil)
		waitFor(t, "the words", func() bool {
			d := h.DiscoveryStatus().Detail
			return strings.Contains(d, "does not let this user subscribe to") && strings.Contains(d, "_INBOX.")
		})
	})
	t.Run("a ticket is wanted", func(t *testing.T) {
		backbone := startServer(t, withLeaves)
		startRealLeaf(t, bridgeTo(t, backbone, nil), nil)
		h := asking(t, backbone.ClientURL(), func(c *hub.Config) { c.Discovery.Credentials = hub.CredentialsTicket })
		waitFor(t, "the words", func() bool { return strings.Contains(h.DiscoveryStatus().Detail, "the leaf gives no tickets") })
	})
	t.Run("credentials are wanted", func(t *testing.T) {
		backbone := startServer(t, withLeaves)
		startRealLeaf(t, bridgeTo(t, backbone, nil), func(c *leaf.Config) { c.Access.Token = "for-leaves" })
		h := asking(t, backbone.ClientURL(), nil)
		waitFor(t, "the words", func() bool {
			return strings.Contains(h.DiscoveryStatus().Detail, "or start the leaf with --tickets")
		})
	})
	t.Run("a leaf without its bridge", func(t *testing.T) {
		l := startRealLeaf(t, "", nil)
		h := asking(t, l.Status().ClientURL, nil)
		waitFor(t, "the words", func() bool {
			return strings.Contains(h.DiscoveryStatus().Detail, "no connection to its backbone")
		})
	})
}

// Names of all kinds are found.
func TestNamespacesOfAnyName(t *testing.T) {
	for _, name := range []string{"a.b", "Ünï", "*", ">", "a=b", "$x", strings.Repeat("n", 128)} {
		t.Run(name[:min(len(name), 10)], func(t *testing.T) {
			backbone := startServer(t, withLeaves)
			l := startRealLeaf(t, bridgeTo(t, backbone, nil), func(c *leaf.Config) { c.DiscoveryNamespace, c.Access.Tickets = name, true })
			startRealLeaf(t, bridgeTo(t, backbone, nil), func(c *leaf.Config) { c.DiscoveryNamespace = "another" })
			h := asking(t, backbone.ClientURL(), func(c *hub.Config) { c.Discovery.Namespace, c.Discovery.NamespaceKey = name, keyOf(t, name) })
			awaitLeaf(t, h, l)
		})
	}
}
