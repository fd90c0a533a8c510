package leaf

import (
	"crypto/tls"
	"crypto/x509"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/kinopio-hub/kinopio-hub/v3/tlsca"
)

func TestEveryWayToLogInToTheBackbone(t *testing.T) {
	r, stranger := newRealm(t), newRealm(t)
	operated := func(o *server.Options) {
		operator, err := jwt.DecodeOperatorClaims(r.operator)
		if err != nil {
			t.Fatal(err)
		}
		account, _ := jwt.DecodeAccountClaims(r.account)
		resolver := &server.MemAccResolver{}
		resolver.Store(account.Subject, r.account)
		o.TrustedOperators, o.AccountResolver = []*jwt.OperatorClaims{operator}, resolver
	}
	for name, c := range map[string]struct {
		hub         func(*server.Options)
		right, bad  BackboneOptions
		hubSession  nats.Option
		wantsReason string
	}{
		"user and password": {func(o *server.Options) { o.LeafNode.Username, o.LeafNode.Password = "leaf", "r1ght-s3cret" },
			BackboneOptions{User: "leaf", Password: "r1ght-s3cret"}, BackboneOptions{User: "leaf", Password: "wr0ng-s3cret"}, nil, "Authorization"},
		"token": {func(o *server.Options) { o.Authorization = "t0ken-s3cret" },
			BackboneOptions{Token: "t0ken-s3cret"}, BackboneOptions{Token: "wr0ng-s3cret"}, nats.Token("t0ken-s3cret"), "Authorization"},
		"credentials file": {operated, BackboneOptions{CredentialsFile: r.creds}, BackboneOptions{CredentialsFile: stranger.creds},
			nats.UserCredentials(r.creds), "Authorization"},
	} {
		t.Run(name, func(t *testing.T) {
			hub, port := startHub(t, c.hub)
			conf := config(t)
			conf.BackboneServers, conf.Backbone = []string{"nats://" + at(port)}, c.right
			l, seen := startLeaf(t, conf)
			seen.awaitBridge(t, BridgeConnected)
			session := []nats.Option{}
			if c.hubSession != nil {
				session = append(session, c.hubSession)
			}
			cross(t, connect(t, l.Status().ClientURL), connect(t, hub.ClientURL(), session...))

			conf.Backbone, conf.RuntimeDir = c.bad, t.TempDir()
			wrong, seen := startLeaf(t, conf)
			s := seen.awaitBridge(t, BridgeError)
			if !strings.Contains(s.LastBridgeError, c.wantsReason) {
				t.Errorf("wrong credentials: %q", s.LastBridgeError)
			}
			log, _ := os.ReadFile(wrong.Status().LogFile)
			if strings.Contains(string(log)+s.LastBridgeError, "s3cret") {
				t.Errorf("a secret is in the log: %s", log)
			}
		})
	}
}

func TestBackboneWithItsOwnCAAndClientCertificates(t *testing.T) {
	dir := t.TempDir()
	ca, err := tlsca.Open(filepath.Join(dir, "ca"), tlsca.Options{})
	if err != nil {
		t.Fatal(err)
	}
	other, err := tlsca.Open(filepath.Join(dir, "other"), tlsca.Options{})
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue(tlsca.Request{IPs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}})
	if err != nil {
		t.Fatal(err)
	}
	files := TLSFiles{CertFile: filepath.Join(dir, "client.pem"), KeyFile: filepath.Join(dir, "client.key")}
	provide(t, ca, files)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca.RootPEM())
	plain := &tls.Config{Certificates: []tls.Certificate{cert.TLS}}
	// tlsca issues for servers only, so the usage is not asked for: that the key is the right one, is.
	mutual := &tls.Config{Certificates: []tls.Certificate{cert.TLS}, ClientAuth: tls.RequireAnyClientCert}

	overTLS := func(conf *tls.Config, first bool) func(*server.Options) {
		return func(o *server.Options) {
			o.LeafNode.TLSConfig, o.LeafNode.TLSTimeout, o.LeafNode.TLSHandshakeFirst = conf, 5, first
		}
	}
	overWS := func(o *server.Options) {
		o.Websocket.Host, o.Websocket.Port, o.Websocket.TLSConfig = "127.0.0.1", -1, plain
	}
	for name, c := range map[string]struct {
		scheme     string
		hub        func(*server.Options)
		right, bad BackboneOptions
	}{
		"own CA": {"tls", overTLS(plain, false), BackboneOptions{CAFile: ca.RootFile()}, BackboneOptions{CAFile: other.RootFile()}},
		"client certificate": {"tls", overTLS(mutual, false),
			BackboneOptions{CAFile: ca.RootFile(), CertFile: files.CertFile, KeyFile: files.KeyFile}, BackboneOptions{CAFile: ca.RootFile()}},
		"TLS first": {"tls", overTLS(plain, true), BackboneOptions{CAFile: ca.RootFile(), TLSFirst: true},
			BackboneOptions{CAFile: other.RootFile(), TLSFirst: true}},
		"own CA over wss": {"wss", overWS, BackboneOptions{CAFile: ca.RootFile()}, BackboneOptions{CAFile: other.RootFile()}},
	} {
		t.Run(name, func(t *testing.T) {
			var opts *server.Options
			hub, port := startHub(t, func(o *server.Options) { opts = o; c.hub(o) })
			if c.scheme == "wss" {
				port = opts.Websocket.Port
			}
			conf := config(t)
			conf.BackboneServers, conf.Backbone = []string{c.scheme + "://" + at(port)}, c.right
			l, seen := startLeaf(t, conf)
			seen.awaitBridge(t, BridgeConnected)
			cross(t, connect(t, l.Status().ClientURL), connect(t, hub.ClientURL()))

			conf.Backbone, conf.RuntimeDir = c.bad, t.TempDir()
			_, seen = startLeaf(t, conf)
			if s := seen.awaitBridge(t, BridgeError); s.LastBridgeError == "" {
				t.Error("no reason")
			}
		})
	}
}

func TestCompressionOfTheBridge(t *testing.T) {
	for mode, want := range map[string]string{"": "s2_auto", "s2_best": "s2_best", "off": "off"} {
		hub, port := startHub(t, func(o *server.Options) { o.LeafNode.Compression.Mode = server.CompressionAccept })
		c := config(t)
		c.BackboneServers, c.Backbone.Compression = []string{"nats://" + at(port)}, mode
		l, seen := startLeaf(t, c)
		seen.awaitBridge(t, BridgeConnected)
		cross(t, connect(t, l.Status().ClientURL), connect(t, hub.ClientURL()))
		z, err := l.server().Leafz(nil)
		if err != nil || len(z.Leafs) != 1 {
			t.Fatalf("%v %v", z, err)
		}
		// s2_auto shows what it has come to.
		if got := z.Leafs[0].Compression; got != want && !(want == "s2_auto" && strings.HasPrefix(got, "s2_")) {
			t.Errorf("%q: compression %q, want %q", mode, got, want)
		}
	}
}

func TestJetStreamOfTheBackboneIsUsedByClientsOfTheLeaf(t *testing.T) {
	_, port := startHub(t, func(o *server.Options) {
		o.JetStream, o.StoreDir, o.JetStreamDomain = true, t.TempDir(), "hub"
	})
	for domain, works := range map[string]bool{"hub": true, "": false} {
		c := config(t)
		c.BackboneServers, c.Backbone.JetStreamDomain = []string{"nats://" + at(port)}, domain
		l, seen := startLeaf(t, c)
		seen.awaitBridge(t, BridgeConnected)
		js, err := connect(t, l.Status().ClientURL).JetStream()
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := timeout()
		for { // Interest takes a moment to come over the bridge.
			_, err = js.AccountInfo(nats.Context(ctx))
			if err == nil || !works || ctx.Err() != nil {
				break
			}
		}
		cancel()
		if (err == nil) != works {
			t.Errorf("domain %q: %v, want it to work: %v", domain, err, works)
		}
	}
}

func TestBackboneOptionsThatDoNotFitAreClearErrors(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty")
	os.WriteFile(empty, []byte("nothing here"), 0o600)
	for _, c := range []struct {
		url          string
		options      BackboneOptions
		field, wants string
	}{
		{"", BackboneOptions{Token: "x"}, "BackboneServers", "empty"},
		{"nats://h", BackboneOptions{Token: "x", User: "a", Password: "b"}, "Backbone", "several"},
		{"nats://h", BackboneOptions{User: "a"}, "Backbone.User", "both"},
		{"nats://h", BackboneOptions{CAFile: "ca.pem"}, "Backbone.CAFile", "tls://"},
		{"nats://h", BackboneOptions{TLSFirst: true}, "Backbone.TLSFirst", "tls://"},
		{"wss://h", BackboneOptions{TLSFirst: true}, "Backbone.TLSFirst", "tls://"},
		{"tls://h", BackboneOptions{CertFile: "c.pem"}, "Backbone.CertFile", "both or neither"},
		{"tls://h", BackboneOptions{CertFile: empty, KeyFile: empty}, "Backbone.CertFile", "cannot be used"},
		{"tls://h", BackboneOptions{CAFile: empty}, "Backbone.CAFile", "BEGIN CERTIFICATE"},
		{"tls://h", BackboneOptions{CAFile: filepath.Join(dir, "none")}, "Backbone.CAFile", "no such"},
		{"nats://h", BackboneOptions{Compression: "zip"}, "Backbone.Compression", "s2_auto"},
		{"nats://h", BackboneOptions{JetStreamDomain: "a.b"}, "Backbone.JetStreamDomain", "without dots"},
		{"nats://h", BackboneOptions{CredentialsFile: empty}, "Backbone.CredentialsFile", "JWT"},
		{"nats://h", BackboneOptions{CredentialsFile: filepath.Join(dir, "none")}, "Backbone.CredentialsFile", "no such"},
	} {
		conf := Config{DiscoveryNamespace: "test", LANBindAddress: "127.0.0.1", NoWebSocketTLS: true, Backbone: c.options}
		if c.url != "" {
			conf.BackboneServers = []string{c.url}
		}
		wantFieldError(t, conf, c.field, c.wants)
	}
}

func FuzzCredentialsFileNeverPanics(f *testing.F) {
	f.Add([]byte("-----BEGIN NATS USER JWT-----\nx.y.z\n------END NATS USER JWT------\n"))
	f.Add([]byte("-----BEGIN USER NKEY SEED-----\nSUAx\n------END USER NKEY SEED------\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := parseCredentials(data); err != nil && strings.Contains(err.Error(), "SUA") {
			t.Errorf("tells a seed: %v", err)
		}
	})
}
