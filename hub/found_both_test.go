//go:build !js

// Leaves run natively only.

package hub_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// Both ways at once: what answers over the session comes first, the manifest's URL is for when nothing does, and with the
// namespace's key the manifest names nobody that has not signed.
func TestBothWaysToFindALeaf(t *testing.T) {
	withManifest := func(url, key string) func(*hub.Config) {
		return func(c *hub.Config) {
			c.Discovery.ManifestURL, c.Discovery.NamespaceKey = url, key
			c.Discovery.CacheTTL = 50 * time.Millisecond
		}
	}
	t.Run("the session first, and the manifest when nobody answers", func(t *testing.T) {
		backbone := startServer(t, withLeaves)
		other := webSocketURL(t, startLeaf(t, backbone, 0, withWebSocket))
		manifest := serveManifest(t)
		manifest.leaf(other)
		answers := startRealLeaf(t, bridgeTo(t, backbone, nil), nil)
		h := asking(t, backbone.ClientURL(), withManifest(manifest.URL, ""))
		awaitLeaf(t, h, answers)
		if n := manifest.asked.Load(); n > 0 {
			t.Errorf("the manifest was asked for %d times while a leaf answered", n)
		}
		answers.Stop(context.Background())
		waitFor(t, "the hub on the manifest's leaf", func() bool {
			s := h.Status()
			return s.Via == "leaf" && s.Server == other
		})
	})
	t.Run("with the key the manifest's leaf must have signed", func(t *testing.T) {
		backbone := startServer(t, withLeaves)
		other := webSocketURL(t, startLeaf(t, backbone, 0, withWebSocket))
		manifest := serveManifest(t)
		manifest.leaf(other)
		h := asking(t, backbone.ClientURL(), withManifest(manifest.URL, keyOf(t, "studio")))
		waitFor(t, "the reason", func() bool {
			d := h.DiscoveryStatus().Detail
			return strings.Contains(d, "has not shown the key in discovery.namespaceKey") && strings.Contains(d, "no leaf answers in the namespace")
		})
		if s := h.Status(); s.Via != "configured" {
			t.Errorf("the hub is on %s (%s)", s.Server, s.Via)
		}
		answers := startRealLeaf(t, bridgeTo(t, backbone, nil), nil)
		awaitLeaf(t, h, answers)
	})
	t.Run("neither", func(t *testing.T) {
		backbone := startServer(t, withLeaves)
		manifest := serveManifest(t)
		h := asking(t, backbone.ClientURL(), withManifest(manifest.URL, ""))
		waitFor(t, "the reason", func() bool {
			d := h.DiscoveryStatus()
			return d.State == hub.DiscoveryNoLeader && strings.Contains(d.Detail, `no leaf answers in the namespace "studio"`) && manifest.asked.Load() > 0
		})
	})
}

// What leaves tell is followed at once, also by a hub that looks at a manifest seldom.
func TestNewsAreFollowedBesideAManifest(t *testing.T) {
	backbone := startServer(t, withLeaves)
	manifest := serveManifest(t) // nobody leads there
	h := asking(t, backbone.ClientURL(), func(c *hub.Config) {
		c.Discovery.ManifestURL, c.Discovery.CacheTTL = manifest.URL, 10*time.Minute
	})
	waitFor(t, "a look at the manifest", func() bool { return manifest.asked.Load() > 0 })
	time.Sleep(3 * time.Second) // its next question of its own is after many seconds
	l := startRealLeaf(t, bridgeTo(t, backbone, nil), nil)
	began := time.Now()
	awaitLeaf(t, h, l)
	t.Logf("on the leaf %v after its start", time.Since(began).Round(time.Millisecond))
	l.Stop(context.Background())
	waitFor(t, "the hub on its server", func() bool { return h.Status().Via == "configured" })
}
