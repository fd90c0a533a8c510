package main

import (
	"crypto/tls"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/election/mdns"
	"github.com/kinopio-hub/kinopio-hub/v3/leaf"
)

// An announcement is somebody's word: nothing is asked at what is not on the LAN, and a name that a public authority signs for gets no credentials.
func TestAnnouncementIsJudgedBeforeItIsFollowed(t *testing.T) {
	for want, c := range map[string]struct {
		secrets bool
		said    mdns.Leaf
	}{
		"no TLS":                       {false, mdns.Leaf{DiscoveryProtocol: "http", Address: netip.MustParseAddr("10.0.0.1")}},
		"8.8.8.8 is not on a LAN":      {false, mdns.Leaf{DiscoveryProtocol: "https", Address: netip.MustParseAddr("8.8.8.8")}},
		"it is shown no credentials":   {true, mdns.Leaf{DiscoveryProtocol: "https", Host: "evil.example.com", Address: netip.MustParseAddr("10.0.0.1")}},
		"its manifest: dial tcp 127.0": {true, mdns.Leaf{DiscoveryProtocol: "https", Host: "leaf.local", Port: 1, Address: netip.MustParseAddr("127.0.0.1")}},
	} {
		f := &lanFinder{namespace: "studio", tls: &tls.Config{}, secrets: c.secrets}
		if _, err := f.ask(t.Context(), c.said); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", c.said, err, want)
		}
	}
}

func TestManifestOnTheLANIsThatOfTheLeader(t *testing.T) {
	now := time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	good := leaf.Manifest{Version: "1", ExpiresAt: now.Add(time.Second).Format(time.RFC3339), WSSURL: "wss://10.0.0.1:8443", DiscoveryNamespace: "studio", IsLeader: true}
	for want, change := range map[string]func(*leaf.Manifest){
		"":                func(*leaf.Manifest) {},
		"version":         func(m *leaf.Manifest) { m.Version = "2" },
		"expiresAt":       func(m *leaf.Manifest) { m.ExpiresAt = "soon" },
		"it expired":      func(m *leaf.Manifest) { m.ExpiresAt = now.Add(-time.Second).Format(time.RFC3339) },
		`it is of "stage`: func(m *leaf.Manifest) { m.DiscoveryNamespace = "stage" },
		"does not lead":   func(m *leaf.Manifest) { m.IsLeader = false },
		"want a wss URL":  func(m *leaf.Manifest) { m.WSSURL = "ws://10.0.0.1:8443" },
		"URL of 10.0.0.1": func(m *leaf.Manifest) { m.WSSURL = "wss://10.0.0.2:8443" },
		"wss://u:p@":      func(m *leaf.Manifest) { m.WSSURL = "wss://u:p@10.0.0.1:8443" },
	} {
		m := good
		change(&m)
		err := (&lanFinder{namespace: "studio"}).check(&m, "10.0.0.1", now)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
