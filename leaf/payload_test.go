package leaf

import (
	"crypto/tls"
	"net/netip"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/kinopio-hub/kinopio-hub/v3/tlsca"
)

func TestLargestPayloadIsNeverAboveTheBackbones(t *testing.T) {
	ca, err := tlsca.Open(t.TempDir(), tlsca.Options{})
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue(tlsca.Request{IPs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}})
	if err != nil {
		t.Fatal(err)
	}
	conf := &tls.Config{Certificates: []tls.Certificate{cert.TLS}}
	for scheme, change := range map[string]func(*server.Options){
		"nats": func(*server.Options) {},
		"tls": func(o *server.Options) {
			o.LeafNode.TLSConfig, o.LeafNode.TLSTimeout, o.LeafNode.TLSHandshakeFirst = conf, 5, true
		},
		"wss": func(o *server.Options) {
			o.Websocket.Host, o.Websocket.Port, o.Websocket.TLSConfig = "127.0.0.1", -1, conf
		},
	} {
		t.Run(scheme, func(t *testing.T) {
			var opts *server.Options
			hub, port := startHub(t, func(o *server.Options) { opts = o; o.MaxPayload = 1000; change(o) })
			c := config(t)
			if scheme == "wss" {
				port = opts.Websocket.Port
			}
			if scheme != "nats" {
				c.Backbone = BackboneOptions{CAFile: ca.RootFile(), TLSFirst: scheme == "tls"}
			}
			c.BackboneServers = []string{scheme + "://" + at(port)}
			l, seen := startLeaf(t, c)
			s := seen.await(t, "the backbone's limit", func(s Status) bool { return s.Access.MaxPayload == 1000 })
			if s.BridgeState != BridgeConnected || s.Restarts != 0 {
				t.Errorf("the bridge was disturbed: %+v", s)
			}
			nc := connect(t, s.WSSURL, nats.Secure(trusting(t, l)))
			if nc.MaxPayload() != 1000 {
				t.Errorf("a client may send %d bytes", nc.MaxPayload())
			}
			cross(t, nc, connect(t, hub.ClientURL()))
		})
	}
}

func TestLargerBackboneChangesNothing(t *testing.T) {
	_, port := startHub(t, func(o *server.Options) { o.MaxPayload = 8 << 20 })
	c := config(t)
	c.BackboneServers, c.MaxPayload = []string{"nats://" + at(port)}, 5000
	l, seen := startLeaf(t, c)
	seen.awaitBridge(t, BridgeConnected)
	l.probes.Wait()
	if got := connect(t, l.Status().ClientURL).MaxPayload(); got != 5000 {
		t.Errorf("max payload %d, want 5000", got)
	}
}

func FuzzInfoLineNeverPanics(f *testing.F) {
	f.Add([]byte(`INFO {"max_payload":1048576}`))
	f.Add([]byte(`INFO {"max_payload":-1}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		if n, err := parseInfo(line); err == nil && n <= 0 {
			t.Errorf("%q: %d", line, n)
		}
	})
}
