//go:build !js

// Leaves run natively only.

package hub_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
	"github.com/kinopio-hub/kinopio-hub/v3/leaf"
)

const secretOfStudio = "the secret of these tests"

func keyOf(t testing.TB, namespace string) string {
	t.Helper()
	key, err := leaf.NamespaceKey(secretOfStudio, namespace)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// withLeaves lets leaf nodes in.
func withLeaves(o *server.Options) { o.LeafNode.Host, o.LeafNode.Port = "127.0.0.1", -1 }

// bridgeTo is where leaves of a backbone connect, with a user if it has some.
func bridgeTo(t testing.TB, backbone *server.Server, user *url.Userinfo) string {
	u := url.URL{Scheme: "nats", Host: fmt.Sprintf("127.0.0.1:%d", leafPort(t, backbone)), User: user}
	return u.String()
}

// startRealLeaf starts a leaf of the namespace studio as the command does, and waits for its bridge.
func startRealLeaf(t testing.TB, bridge string, change func(*leaf.Config)) *leaf.Leaf {
	t.Helper()
	c := leaf.Config{
		DiscoveryNamespace: "studio", LANBindAddress: "127.0.0.1", NoWebSocketTLS: true,
		RuntimeDir: t.TempDir(), CacheDir: t.TempDir(), NamespaceSecret: secretOfStudio,
	}
	if bridge != "" {
		c.BackboneServers = []string{bridge}
	}
	if change != nil {
		change(&c)
	}
	l, err := leaf.Start(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Stop(context.Background()) })
	if bridge != "" {
		waitFor(t, "the bridge", func() bool { return l.Status().BridgeState == leaf.BridgeConnected })
	}
	return l
}

// asking is a hub that finds leaves of studio through its session.
func asking(t testing.TB, backbone string, change func(*hub.Config)) *hub.Hub {
	t.Helper()
	c := hub.Config{
		Servers: []string{backbone}, Logger: logTo(t.(*testing.T)),
		Discovery: hub.Discovery{Enabled: true, Namespace: "studio", NamespaceKey: keyOf(t, "studio")},
	}
	if change != nil {
		change(&c)
	}
	return openHub(t, c)
}

func awaitLeaf(t testing.TB, h *hub.Hub, l *leaf.Leaf) {
	t.Helper()
	want := l.Status().WSSURL
	waitFor(t, "the hub on "+want, func() bool {
		s := h.Status()
		return s.Via == "leaf" && s.Server == want
	})
}

// No manifest, no web server: a hub finds the leaf by asking over its session, whoever came first, hears at once
// of one that comes, and leaves it in time.
func TestLeafIsFoundThroughTheSession(t *testing.T) {
	for name, key := range map[string]string{"signed": keyOf(t, "studio"), "believed": ""} {
		t.Run(name, func(t *testing.T) {
			backbone := startServer(t, withLeaves)
			h := asking(t, backbone.ClientURL(), func(c *hub.Config) { c.Discovery.NamespaceKey = key })
			made := moves(h)
			d := awaitDiscovery(t, h, hub.DiscoveryNoLeader)
			if !strings.Contains(d.Detail, `no leaf answers in the namespace "studio"`) {
				t.Errorf("without a leaf: %q", d.Detail)
			}
			l := startRealLeaf(t, bridgeTo(t, backbone, nil), nil)
			began := time.Now()
			awaitLeaf(t, h, l)
			t.Logf("on the leaf %v after it was seen to have its bridge", time.Since(began))
			awaitDiscovery(t, h, hub.DiscoveryLocal)
			l.Stop(context.Background())
			waitFor(t, "the hub back", func() bool { return h.Status().Via == "configured" })
			for _, want := range []string{"leaf found", "leaf leaving"} {
				if m := nextMove(t, made); m.Reason != want || m.Err != nil || !m.Planned {
					t.Errorf("moved %+v, want %s", m, want)
				}
			}
			next := startRealLeaf(t, bridgeTo(t, backbone, nil), nil)
			awaitLeaf(t, h, next)
		})
	}
}

const answerPatience = 5 * time.Second

func writeSecret(t testing.TB, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// nkeysText is a word of its own.
func nkeysText(testing.TB) string { return strings.ToLower(rand.Text()) }
