package leaf

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const goodNKey = "UCNGL4W5QX66CFX6A6DCBVDH5VOHMI7B2UZZU7TXAUQQSI2JPHULCKBR"

func TestConfigErrorsNameFieldValueAndWhatIsRight(t *testing.T) {
	good := Config{DiscoveryNamespace: "studio", LANBindAddress: "127.0.0.1", NoWebSocketTLS: true}
	if _, err := good.normalize(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		change       func(*Config)
		field, wants string
	}{
		{func(c *Config) { c.DiscoveryNamespace = "" }, "DiscoveryNamespace", "studio"},
		{func(c *Config) { c.DiscoveryNamespace = "a b" }, "DiscoveryNamespace", "a b"},
		{func(c *Config) { c.NodeID = strings.Repeat("x", 65) }, "NodeID", "64"},
		{func(c *Config) { c.LANBindAddress = "studio.local" }, "LANBindAddress", "IP address"},
		{func(c *Config) { c.AdvertisedHostname = "https://studio.local" }, "AdvertisedHostname", "without scheme"},
		{func(c *Config) { c.AdvertisedHostname = "a b" }, "AdvertisedHostname", "a b"},
		{func(c *Config) { c.Ports.WebSocket = 70000 }, "Ports.WebSocket", "65535"},
		{func(c *Config) { c.Ports = Ports{Client: 4222, Monitor: 4222} }, "Ports.Monitor", "Ports.Client"},
		{func(c *Config) { c.TLS.KeyFile = "k.pem" }, "TLS", "both or neither"},
		{func(c *Config) { c.TLS = TLSFiles{"c", "k"} }, "TLS", "NoWebSocketTLS"},
		{func(c *Config) { c.AllowedOrigins = []string{"app.example.com"} }, "AllowedOrigins", "https://app"},
		{func(c *Config) { c.AllowedOrigins = []string{"https://app.example.com/path"} }, "AllowedOrigins", "https://app"},
		{func(c *Config) { c.MaxConnections = -1 }, "MaxConnections", "4096"},
		{func(c *Config) { c.MaxPayload = 1 << 30 }, "MaxPayload", "1 MiB"},
		{func(c *Config) { c.ServeDir = "/none/here" }, "ServeDir", "index.html"},
		{func(c *Config) { c.Access = Access{Token: "t", NKeys: []string{goodNKey}} }, "Access", "exclude"},
		{func(c *Config) { c.Access.NKeys = []string{"SUAMYSECRETSEED"} }, "Access.NKeys", "begins with U"},
		{func(c *Config) { c.Access.Users = []User{{"ada", ""}} }, "Access.Users", "both"},
		{func(c *Config) { c.Access.Users = []User{{"ada", "x"}, {"ada", "y"}} }, "Access.Users", "twice"},
		{func(c *Config) { c.Access.OperatorJWT = "eyJhbGciOiJub25lIn0.e30." }, "Access.OperatorJWT", "nsc"},
		{func(c *Config) { c.BackboneServers = []string{"http://x"} }, "BackboneServers", "nats://"},
		{func(c *Config) { c.BackboneServers = []string{"nats://"} }, "BackboneServers", "no host"},
		{func(c *Config) { c.BackboneServers = []string{"nats://x", "wss://y"} }, "BackboneServers", "one kind"},
		{func(c *Config) { c.BackboneServers = []string{"nats://x:99999"} }, "BackboneServers", "port"},
	} {
		conf := good
		c.change(&conf)
		wantFieldError(t, conf, c.field, c.wants)
	}
}

func wantFieldError(t *testing.T, c Config, field, wants string) {
	t.Helper()
	_, err := c.normalize()
	var ce *ConfigError
	if !errors.As(err, &ce) || ce.Field != field || !strings.Contains(err.Error(), wants) {
		t.Errorf("%s, want %q: got %v", field, wants, err)
	}
}

func TestBackboneURLs(t *testing.T) {
	b, err := parseBackbone([]string{"hub.example", "NATS://u:p@hub2.example:4000", "nats-leaf://hub.example:7422", "nats://token@[::1]"})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(b.shown, " "); got != "nats://hub.example:7422 nats://hub2.example:4000 nats://[::1]:7422" {
		t.Errorf("shown: %s", got)
	}
	for in, want := range map[string]string{"ws://h": "ws://h:80", "wss://h/path?token=x": "wss://h:443/path", "tls://h": "tls://h:7422"} {
		if b, err := parseBackbone([]string{in}); err != nil || b.shown[0] != want {
			t.Errorf("%s: %v %v, want %s", in, b.shown, err, want)
		}
	}
}

func TestBadURLsDoNotTellSecrets(t *testing.T) {
	for _, bad := range []string{"nats://u:p4ss@h:x", "nats://u:p4ss@%", "u:p4ss@h o s t", "http://u:p4ss@h", "nats://u:p4ss@", "nats://u:p4ss\x7f@h"} {
		if _, err := parseBackbone([]string{bad}); err == nil || strings.Contains(err.Error(), "p4ss") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestChooseLANPrefersWhatOthersReach(t *testing.T) {
	a := func(s string) lanAddr { return lanAddr{addr: netip.MustParseAddr(s)} }
	virtual := func(l lanAddr) lanAddr { l.virtual = true; return l }
	idle := func(l lanAddr) lanAddr { l.idle = true; return l }
	routed := func(l lanAddr) lanAddr { l.routed = true; return l }
	for _, c := range []struct {
		want  string
		found []lanAddr
	}{
		{"127.0.0.1", nil},
		{"127.0.0.1", []lanAddr{a("203.0.113.5"), a("2001:db8::1"), virtual(a("fe80::1%docker0")), idle(a("fe80::1%wlan0"))}},
		{"fe80::1%eth0", []lanAddr{a("203.0.113.5"), a("2001:db8::1"), a("fe80::1%eth0"), virtual(a("172.17.0.1"))}},
		{"fd00::7", []lanAddr{a("fe80::1%eth0"), a("fd00::7")}},
		{"192.168.1.7", []lanAddr{virtual(a("172.17.0.1")), a("192.168.1.7")}},
		{"192.168.1.7", []lanAddr{virtual(routed(a("10.8.0.2"))), a("192.168.1.7")}},
		{"10.0.0.5", []lanAddr{a("192.168.1.7"), routed(a("10.0.0.5"))}},
		{"192.168.1.7", []lanAddr{a("169.254.3.3"), a("fd00::7"), a("192.168.1.7")}},
		{"169.254.3.3", []lanAddr{virtual(routed(a("172.17.0.1"))), a("169.254.3.3")}}, // Guests reach nobody's leaf.
		{"172.17.0.1", []lanAddr{a("203.0.113.5"), virtual(a("172.17.0.1"))}},
		{"100.64.0.7", []lanAddr{a("169.254.3.3"), a("100.64.0.7")}},
		{"192.168.1.7", []lanAddr{routed(a("100.64.0.7")), a("192.168.1.7")}},
		{"169.254.3.3", []lanAddr{a("fd00::7"), a("169.254.3.3")}},
		{"fd00::7", []lanAddr{a("203.0.113.5"), a("fd00::7")}},
	} {
		if got := chooseLAN(c.found); got.String() != c.want {
			t.Errorf("%v: %v, want %s", c.found, got, c.want)
		}
	}
	if got := detectLAN(); !got.IsPrivate() && !got.IsLoopback() && !got.IsLinkLocalUnicast() {
		t.Errorf("this machine: %v is public", got)
	}
}

func TestLogFileBeginsAgainWhenFull(t *testing.T) {
	d, err := openRunDir("")
	if err != nil {
		t.Fatal(err)
	}
	defer d.remove()
	d.log.limit = 10
	for range 5 {
		if _, err := d.log.Write([]byte("123456")); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := d.log.file.Stat(); err != nil || info.Size() != 6 {
		t.Errorf("size %v, %v", info.Size(), err)
	}
}

func TestWhatKilledLeavesLeftIsRemovedAndNothingElse(t *testing.T) {
	temp := t.TempDir()
	make := func(name string, files ...string) string {
		dir := filepath.Join(temp, name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if err := os.WriteFile(filepath.Join(dir, file), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	orphan := make(orphanPrefix+"1", lockName, logName, certName, certName+".123")
	kept := []string{make(orphanPrefix+"2", "somebody's"), make("other", lockName)}
	alive, err := openRunDir(make(orphanPrefix + "3"))
	if err != nil {
		t.Fatal(err)
	}
	defer alive.remove()
	removeOrphans(temp, time.Now().Add(-orphanAge))
	if _, err := os.Stat(orphan); err != nil {
		t.Error("a young one was removed")
	}
	removeOrphans(temp, time.Now().Add(time.Second))
	if _, err := os.Stat(orphan); !os.IsNotExist(err) {
		t.Errorf("the orphan is left: %v", err)
	}
	for _, dir := range append(kept, alive.path) {
		if entries, _ := os.ReadDir(dir); len(entries) == 0 {
			t.Errorf("%s was emptied", dir)
		}
	}
}

func FuzzBackboneURLNeverTellsSecrets(f *testing.F) {
	f.Add("nats://", "@h:1")
	f.Add("", "@%zz")
	f.Fuzz(func(t *testing.T, before, after string) {
		const secret = "0s3cr3t0"
		if strings.Contains(before+after, secret) {
			return
		}
		b, err := parseBackbone([]string{before + "u:" + secret + after})
		// Only userinfo is secret: with no @ after it, the text is something else.
		if !strings.Contains(after, "@") {
			return
		}
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("error tells: %v", err)
		}
		for _, s := range b.shown {
			if len(b.secrets) > 0 && strings.Contains(s, secret) {
				t.Errorf("shown: %s", s)
			}
		}
	})
}
