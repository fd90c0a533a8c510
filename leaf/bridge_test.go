package leaf

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/kinopio-hub/kinopio-hub/v3/tlsca"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// cross sends one message each way between a client of the leaf and one of the hub.
func cross(t *testing.T, leafConn, hubConn *nats.Conn) {
	t.Helper()
	for _, way := range []struct {
		name     string
		from, to *nats.Conn
	}{{"leaf to backbone", leafConn, hubConn}, {"backbone to leaf", hubConn, leafConn}} {
		sub, err := way.to.Subscribe("cross.here", func(m *nats.Msg) { m.Respond(m.Data) })
		if err != nil {
			t.Fatal(err)
		}
		way.to.Flush()
		// Interest takes a moment to reach the other side; a request without a responder
		// fails at once, so it is asked again rather than waited for.
		ctx, cancel := timeout()
		for {
			reply, err := way.from.RequestWithContext(ctx, "cross.here", []byte("hello"))
			if err == nats.ErrNoResponders {
				continue
			}
			if err != nil || string(reply.Data) != "hello" {
				t.Errorf("%s: %v", way.name, err)
			}
			break
		}
		cancel()
		sub.Unsubscribe()
		way.to.Flush()
	}
}

func TestMessagesCrossTheBridgeBothWays(t *testing.T) {
	hub, port := startHub(t, nil)
	c := config(t)
	c.BackboneServers = []string{"nats://" + at(port)}
	l, seen := startLeaf(t, c)
	seen.awaitBridge(t, BridgeConnected)
	cross(t, connect(t, l.Status().WSSURL, nats.Secure(trusting(t, l))), connect(t, hub.ClientURL()))
	seen.await(t, "a round-trip time", func(s Status) bool { return s.BackboneRTTMs != nil })
}

func TestBridgeFollowsTheBackbone(t *testing.T) {
	port := freePort(t)
	c := config(t)
	c.BackboneServers = []string{at(port)}
	l, seen := startLeaf(t, c) // Starts although nobody is there.
	seen.await(t, "connecting, with the reason", func(s Status) bool {
		return s.BridgeState == BridgeConnecting && strings.Contains(s.LastBridgeError, "refused")
	})

	fixed := func(o *server.Options) { o.LeafNode.Port = port }
	hub, _ := startHub(t, fixed)
	seen.awaitBridge(t, BridgeConnected)
	hub.Shutdown()
	hub.WaitForShutdown()
	s := seen.awaitBridge(t, BridgeDisconnected)
	if s.BackboneRTTMs != nil || s.LastBridgeError == "" {
		t.Errorf("after the loss: %+v", s)
	}
	again, _ := startHub(t, fixed)
	seen.awaitBridge(t, BridgeConnected)
	cross(t, connect(t, l.Status().ClientURL), connect(t, again.ClientURL()))
}

func TestWrongCredentialsAreAnErrorAndStaySecret(t *testing.T) {
	_, port := startHub(t, func(o *server.Options) { o.LeafNode.Username, o.LeafNode.Password = "leaf", "right" })
	c := config(t)
	c.BackboneServers = []string{"nats://leaf:wr0ng-s3cret@" + at(port)}
	l, seen := startLeaf(t, c)
	s := seen.awaitBridge(t, BridgeError)
	if !strings.Contains(s.LastBridgeError, "Authorization") {
		t.Errorf("lastBridgeError: %q", s.LastBridgeError)
	}
	if text := fmt.Sprintf("%+v %+v", s, l.Manifest()); strings.Contains(text, "wr0ng") {
		t.Errorf("a secret is shown: %s", text)
	}
}

func TestCredentialsInTheURLAreUsed(t *testing.T) {
	for name, userinfo := range map[string]string{"password": "leaf:right", "encoded": "leaf:r%69ght"} {
		t.Run(name, func(t *testing.T) {
			_, port := startHub(t, func(o *server.Options) { o.LeafNode.Username, o.LeafNode.Password = "leaf", "right" })
			c := config(t)
			c.BackboneServers = []string{"nats://" + userinfo + "@" + at(port)}
			_, seen := startLeaf(t, c)
			seen.awaitBridge(t, BridgeConnected)
		})
	}
}

func TestWrongPortIsAnError(t *testing.T) {
	hub, _ := startHub(t, nil)
	c := config(t)
	c.BackboneServers = []string{hub.ClientURL()} // Clients', not leafnodes'.
	_, seen := startLeaf(t, c)
	if s := seen.awaitBridge(t, BridgeError); !strings.Contains(s.LastBridgeError, "wrong port") {
		t.Errorf("lastBridgeError: %q", s.LastBridgeError)
	}
}

func TestBridgeOverEveryKindOfURL(t *testing.T) {
	ca, err := tlsca.Open(t.TempDir(), tlsca.Options{})
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue(tlsca.Request{IPs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}})
	if err != nil {
		t.Fatal(err)
	}
	conf := &tls.Config{Certificates: []tls.Certificate{cert.TLS}}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca.RootPEM())

	for scheme, change := range map[string]func(*server.Options){
		"nats":      nil,
		"nats-leaf": nil,
		"tls":       func(o *server.Options) { o.LeafNode.TLSConfig, o.LeafNode.TLSTimeout = conf, 5 },
		"ws":        func(o *server.Options) { o.Websocket.Host, o.Websocket.Port, o.Websocket.NoTLS = "127.0.0.1", -1, true },
		"wss": func(o *server.Options) {
			o.Websocket.Host, o.Websocket.Port, o.Websocket.TLSConfig = "127.0.0.1", -1, conf
		},
	} {
		t.Run(scheme, func(t *testing.T) {
			var opts *server.Options
			hub, port := startHub(t, func(o *server.Options) {
				opts = o
				o.LeafNode.Username, o.LeafNode.Password = "leaf", "r1ght-s3cret"
				if change != nil {
					change(o)
				}
			})
			if strings.HasPrefix(scheme, "ws") {
				port = opts.Websocket.Port
			}
			c := config(t)
			c.BackboneServers = []string{scheme + "://" + at(port)}
			c.BackboneTLS = &tls.Config{RootCAs: pool}
			c.Backbone = BackboneOptions{User: "leaf", Password: "r1ght-s3cret"}
			l, seen := startLeaf(t, c)
			seen.awaitBridge(t, BridgeConnected)
			cross(t, connect(t, l.Status().ClientURL), connect(t, hub.ClientURL()))

			wrong := c
			wrong.Backbone.Password, wrong.RuntimeDir = "wr0ng-s3cret", t.TempDir()
			_, seen = startLeaf(t, wrong)
			if s := seen.awaitBridge(t, BridgeError); !strings.Contains(s.LastBridgeError, "Authorization") {
				t.Errorf("wrong credentials: %q", s.LastBridgeError)
			}

			if scheme == "tls" || scheme == "wss" {
				c.BackboneTLS, c.RuntimeDir = nil, t.TempDir()
				_, seen := startLeaf(t, c)
				if s := seen.awaitBridge(t, BridgeError); !strings.Contains(s.LastBridgeError, "certificate") {
					t.Errorf("untrusted backbone: %q", s.LastBridgeError)
				}
			}
		})
	}
}

func TestBridgeStates(t *testing.T) {
	const (
		refusal     = `127.0.0.1:7422 - lid:5 - Leafnode Error 'Authorization Violation'`
		unreachable = `Error trying to connect as leafnode to remote server "127.0.0.1:7422" (attempt 3): dial tcp: refused`
	)
	b := &bridge{configured: true, secure: true}
	for i, step := range []struct {
		do        func() bool
		want      BridgeState
		lastError string
	}{
		{func() bool { return true }, BridgeConnecting, ""},
		{func() bool { is, _ := b.complaint("Client Error x"); return !is }, BridgeConnecting, ""},
		{func() bool { is, again := b.complaint(unreachable); return is && !again }, BridgeConnecting, `Error trying to connect as leafnode to remote server "127.0.0.1:7422": dial tcp: refused`},
		{func() bool { is, again := b.complaint(strings.Replace(unreachable, "3", "4", 1)); return is && again }, BridgeConnecting, b.lastError},
		{func() bool { is, _ := b.complaint(refusal); return is }, BridgeError, "127.0.0.1:7422: Leafnode Error 'Authorization Violation'"},
		{func() bool {
			b.complaint("127.0.0.1:7422 - lid_ws:5 - Error soliciting websocket connection: connection closed")
			return true
		}, BridgeError, "127.0.0.1:7422: Leafnode Error 'Authorization Violation'"},
		{func() bool { b.links(1); return true }, BridgeConnected, ""},
		{func() bool {
			b.notice("127.0.0.1:7422 - lid:6 - Leafnode connection closed: Stale Connection - Account: $G")
			return true
		}, BridgeConnected, "connection closed: Stale Connection"},
		{func() bool { b.links(0); return true }, BridgeDisconnected, ""},
		{func() bool { b.complaint(refusal); return true }, BridgeError, ""},
		{func() bool { b.complaint(unreachable); return true }, BridgeDisconnected, ""},
		{func() bool {
			b.notice("127.0.0.1:7422 - lid:9 - Leafnode connection closed: Read Error - Account: $G")
			return true
		}, BridgeError, "127.0.0.1:7422: closed without a reason given (Read Error): does the backbone want a client certificate?"},
	} {
		if !step.do() {
			t.Errorf("step %d: misunderstood", i)
		}
		if b.state() != step.want || (step.lastError != "" && b.lastError != step.lastError) {
			t.Errorf("step %d: %s %q, want %s %q", i, b.state(), b.lastError, step.want, step.lastError)
		}
	}
	plain := &bridge{configured: true}
	plain.notice("127.0.0.1:7422 - lid:9 - Leafnode connection closed: Read Error - Account: $G")
	if plain.lastError == "" || strings.Contains(plain.lastError, "certificate") {
		t.Errorf("without TLS a certificate is asked for: %s", plain.lastError)
	}
	if (&bridge{}).state() != BridgeDisconnected {
		t.Error("no backbone is not «disconnected»")
	}
}
