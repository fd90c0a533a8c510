package election

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/kinopio-hub/kinopio-hub/v3/election/mdns"
)

// FuzzAnnouncement: what multicast DNS told becomes a heartbeat that could have come as a datagram, or none.
func FuzzAnnouncement(f *testing.F) {
	f.Add("studio", "node-a", "host.local", "wss", "https", int64(3), 7, uint16(8443), uint16(8080), "10.0.0.7", "12", "eth0", false)
	f.Add("studio", "node-a", "", "ws", "http", int64(-1), -5, uint16(0), uint16(0), "fe80::1", "-1", "br-00", true)
	f.Add("studio", "a b", "[::1]/", "javascript", "file", int64(1<<60), 1<<30, uint16(1), uint16(1), "::", "x", "%25", false)
	f.Fuzz(func(t *testing.T, namespace, node, host, ws, http string, epoch int64, rtt int, wsPort, port uint16, address, seq, netif string, goodbye bool) {
		addr, _ := netip.ParseAddr(address)
		a := &mdns.Announcement{Leaf: mdns.Leaf{
			Namespace: namespace, NodeID: node, Host: host, Epoch: epoch, WebSocketPort: wsPort, WebSocketProtocol: ws,
			DiscoveryProtocol: http, RTT: rtt, Port: port, Address: addr, Extra: map[string]string{"seq": seq},
		}, Goodbye: goodbye, Interface: netif}
		h, err := heartbeatOf(a, "studio", nil)
		if err != nil {
			if _, ok := err.(rejection); !ok {
				t.Fatalf("%v is no rejection", err)
			}
			return
		}
		if h.check() != nil || h.DiscoveryNamespace != "studio" || goodbye && h.IsLeader {
			t.Errorf("%+v", h)
		}
		r := h.record(false)
		NewMachine(Options{NodeID: "b"}, 0).Step(0, &Event{Kind: Heard, Record: &r})
		key, err := newProofKey("0123456789abcdef", "studio")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := heartbeatOf(a, "studio", key); err == nil {
			t.Error("forged")
		}
	})
}

// FuzzLeadersManifest: what is served where a leader is said to be is confirmed only if it speaks of that host alone, and
// then it can be printed and passed on.
func FuzzLeadersManifest(f *testing.F) {
	f.Add([]byte(`{"version":"1","nodeId":"a","discoveryNamespace":"studio","isLeader":true,"wssUrl":"ws://127.0.0.1:1","discoveryUrl":"http://127.0.0.1:1/"}`), 200)
	f.Add([]byte(`{"nodeId":"a","discoveryNamespace":"studio","isLeader":true,"wssUrl":"ws://evil:1","discoveryUrl":"http://127.0.0.1:1/","rootPem":"x","webTransport":[{}]}`), 200)
	f.Add([]byte(`{"nodeId":"\u001b[31m","fallbackServers":["\u202e"],"backboneRttMs":1e999}`), 204)
	f.Add([]byte(`[]`), 99)
	v := newVerifier("studio")
	var body []byte
	var status int
	v.client.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
		w := httptest.NewRecorder()
		w.Body.Write(body)
		answer := w.Result()
		answer.StatusCode, answer.Status = status, string(body[:min(len(body), 40)])
		return answer, nil
	})
	f.Fuzz(func(t *testing.T, said []byte, code int) {
		body, status = said, code
		m, err := v.verify(context.Background(), &Manifest{NodeID: "a", DiscoveryURL: "http://127.0.0.1:1" + manifestPath}, "")
		if err != nil {
			if text := err.Error(); len(text) > mostWhy || strings.ContainsFunc(text, func(r rune) bool { return unprintable(r) && r != '\uFFFD' }) {
				t.Errorf("why not: %q", text)
			}
			return
		}
		if m.check() != nil || m.NodeID != "a" || !m.IsLeader || m.RootPEM != "" || len(m.WebTransport) > 0 {
			t.Errorf("%s is %+v", said, m)
		}
		for _, at := range []string{m.WSSURL, m.WebsocketURL, m.DiscoveryURL} {
			if u, err := url.Parse(at); at != "" && (err != nil || u.Hostname() != "127.0.0.1") {
				t.Errorf("leads to %q", at)
			}
		}
		if data, err := json.Marshal(m); err != nil || len(data) > manifestLimit {
			t.Errorf("%d bytes are passed on, %v", len(data), err)
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (r roundTrip) RoundTrip(q *http.Request) (*http.Response, error) { return r(q) }
