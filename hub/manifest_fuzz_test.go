package hub

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"
)

// Whatever is served as a manifest, a hub is only led to a WebSocket URL with a host.
func FuzzManifestLeadsToWebSocketsOnly(f *testing.F) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, body := range []string{
		`{"version":"1","expiresAt":"2026-01-02T03:04:09.000Z","wssUrl":"wss://10.0.0.7:8443","bridgeState":"connected","isLeader":true}`,
		`{"version":"1","expiresAt":"2026-01-02T03:04:09.000Z","websocketUrl":"ws://[fe80::1]:80","fallbackServers":[]}`,
		`{"version":"1","expiresAt":"2026-01-02T03:04:09.000Z","wssUrl":"javascript:alert(1)"}`,
		`{"version":"1","expiresAt":"2026-01-02T03:04:09.000Z","wssUrl":"wss://user:secret@/","bridgeState":"error"}`,
		`{"version":"1","expiresAt":"2026-01-02T03:04:09.000Z","wssUrl":"wss://10.0.0.7:844://10.03","bridgeState":"connected","isLeader":true}`,
		`{"version":1}`, `[]`, `null`, ``, `{"version":"1","expiresAt":"never"}`,
	} {
		f.Add([]byte(body), "application/json")
	}
	f.Fuzz(func(t *testing.T, body []byte, contentType string) {
		for _, require := range []Backbone{BackboneConfigured, BackboneAlways, BackboneNever} {
			to, err := readManifest(body, contentType, now, require)
			if err != nil {
				if to.url != "" && !errors.Is(err, errNoBackbone) { // Which names what it has found.
					t.Errorf("refused, and yet %q", to.url)
				}
				continue
			}
			u, err := url.Parse(to.url)
			if err != nil || u.Scheme != "ws" && u.Scheme != "wss" || u.Hostname() == "" || strings.Contains(u.Hostname(), ":") && !strings.HasPrefix(u.Host, "[") || u.Port() == "" {
				t.Errorf("leads to %q", to.url)
			}
			if to.alone && require == BackboneAlways {
				t.Errorf("%q has no connection to its backbone", to.url)
			}
		}
	})
}
