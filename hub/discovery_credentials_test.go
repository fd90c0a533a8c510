package hub_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// nosy lets everybody in and keeps what it is shown.
type nosy struct {
	mu    sync.Mutex
	shown []string
}

func (n *nosy) Check(c server.ClientAuthentication) bool {
	o := c.GetOpts()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.shown = append(n.shown, strings.Join([]string{o.Token, o.Username, o.Password, o.Nkey, o.JWT, o.Sig}, ""))
	return true
}

func (n *nosy) last() (string, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.shown) == 0 {
		return "", false
	}
	return n.shown[len(n.shown)-1], true
}

// Whoever serves a manifest names a leaf. What is good for the configured servers is not for it.
func TestLeafIsShownNoMoreThanItShallBe(t *testing.T) {
	const secret = "a-token-of-the-backbone"
	ask := func(context.Context, string) (hub.Auth, error) { return hub.Auth{Token: secret}, nil }
	for name, c := range map[string]struct {
		change func(*hub.Config)
		want   string
	}{
		"by default":                {func(c *hub.Config) { c.Auth.Token = secret }, ""},
		"by default, of a function": {func(c *hub.Config) { c.Authenticator = ask }, ""},
		"none":                      {func(c *hub.Config) { c.Auth.Token, c.Discovery.Credentials = secret, hub.CredentialsNone }, ""},
		"same":                      {func(c *hub.Config) { c.Auth.Token, c.Discovery.Credentials = secret, hub.CredentialsSame }, secret},
		"same, of a function":       {func(c *hub.Config) { c.Authenticator, c.Discovery.Credentials = ask, hub.CredentialsSame }, secret},
		"its own":                   {func(c *hub.Config) { c.Auth.Token, c.Discovery.Auth = secret, hub.Auth{Token: "for-leaves"} }, "for-leaves"},
	} {
		t.Run(name, func(t *testing.T) {
			backbone := startServer(t, func(o *server.Options) { o.Authorization = secret })
			spy := &nosy{}
			leaf := startServer(t, func(o *server.Options) {
				withWebSocket(o)
				o.CustomClientAuthentication = spy
			})
			manifest := serveManifest(t)
			cfg := hub.Config{
				Servers:   []string{backbone.ClientURL()},
				Discovery: hub.Discovery{Enabled: true, ManifestURL: manifest.URL, CacheTTL: 10 * time.Millisecond, RequireBackbone: hub.BackboneNever},
			}
			c.change(&cfg)
			openHub(t, cfg)
			manifest.leaf(webSocketURL(t, leaf))
			waitFor(t, "the hub at the leaf", func() bool { _, came := spy.last(); return came })
			if got, _ := spy.last(); got != c.want {
				t.Errorf("the leaf was shown %q, want %q", got, c.want)
			}
		})
	}
}

func TestLeafThatWantsCredentialsSaysSo(t *testing.T) {
	backbone := startServer(t, nil)
	leaf := startServer(t, func(o *server.Options) {
		withWebSocket(o)
		o.Authorization = "for-leaves"
	})
	manifest := serveManifest(t)
	h := openHub(t, hub.Config{
		Servers:   []string{backbone.ClientURL()},
		Discovery: hub.Discovery{Enabled: true, ManifestURL: manifest.URL, CacheTTL: 10 * time.Millisecond},
	})
	manifest.leaf(webSocketURL(t, leaf))
	if d := awaitDiscovery(t, h, hub.DiscoveryUnreachable).Detail; !strings.Contains(d, `discovery.credentials is "none"`) {
		t.Errorf("%q", d)
	}
}

func TestCredentialsForLeavesThatContradictThemselves(t *testing.T) {
	for _, d := range []hub.Discovery{
		{Credentials: "all"},
		{Credentials: hub.CredentialsOwn},
		{Credentials: hub.CredentialsSame, Auth: hub.Auth{Token: "x"}},
		{Credentials: hub.CredentialsNone, Auth: hub.Auth{Token: "x"}},
		{Auth: hub.Auth{Token: "x", User: "y"}},
	} {
		h, err := hub.Open(t.Context(), hub.Config{Servers: []string{"nats://127.0.0.1:1"}, ManualConnect: true, Discovery: d})
		if !errors.Is(err, hub.ErrInvalidConfig) {
			t.Errorf("%+v: %v", d, err)
		}
		if h != nil {
			h.Close()
		}
	}
}
