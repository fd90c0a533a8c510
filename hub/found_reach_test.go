package hub_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
	"github.com/kinopio-hub/kinopio-hub/v3/leaf"
)

// What an answer says of whom to trust counts where the answer counts: a program that trusts no CA of ours comes to a leaf
// with TLS.
func TestAnswersSayWhomToTrust(t *testing.T) {
	for name, key := range map[string]string{"signed": keyOf(t, "studio"), "believed": ""} {
		t.Run(name, func(t *testing.T) {
			backbone := startServer(t, withLeaves)
			l := startRealLeaf(t, bridgeTo(t, backbone, nil), func(c *leaf.Config) { c.NoWebSocketTLS = false })
			h := asking(t, backbone.ClientURL(), func(c *hub.Config) { c.Discovery.NamespaceKey = key })
			awaitLeaf(t, h, l)
		})
	}
}

// News that bring nothing make a hub ask less and less, also where the answer says much.
func TestEmptyNewsAreFollowedLessAndLess(t *testing.T) {
	backbone := startServer(t, withLeaves)
	l := startRealLeaf(t, bridgeTo(t, backbone, nil), func(c *leaf.Config) { c.NoWebSocketTLS = false })
	h := asking(t, backbone.ClientURL(), nil)
	awaitLeaf(t, h, l)
	nc, err := nats.Connect(backbone.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	asked, err := nc.SubscribeSync("_KH.leaf.find.studio.>")
	if err != nil || nc.Flush() != nil {
		t.Fatal(err)
	}
	const told = 100
	for range told {
		if err := nc.Publish("_KH.leaf.news.studio", []byte(`{"event":"here"}`)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Millisecond)
	}
	n, _, err := asked.Pending()
	if err != nil {
		t.Fatal(err)
	}
	// After 0.1, 0.2, 0.4, 0.8 and 1.6 seconds, and some that something else has caused.
	if n > 12 {
		t.Errorf("%d questions in 3 s of news that bring nothing", n)
	}
	t.Logf("%d questions for %d news", n, told)
}
