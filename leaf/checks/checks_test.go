package checks_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/kinopio-hub/kinopio-hub/v3/leaf"
	"github.com/kinopio-hub/kinopio-hub/v3/leaf/checks"
)

const (
	patience = 20 * time.Second
	secret   = "the secret of these tests"
)

func startBackbone(t *testing.T, change func(*server.Options)) *server.Server {
	t.Helper()
	o := &server.Options{Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true}
	o.LeafNode.Host, o.LeafNode.Port = "127.0.0.1", -1
	if change != nil {
		change(o)
	}
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(patience) {
		t.Fatal("the backbone is not ready")
	}
	return s
}

func startLeaf(t *testing.T, backbone *server.Server, namespace, secret, user string) *leaf.Leaf {
	t.Helper()
	v, err := backbone.Varz(nil)
	if err != nil {
		t.Fatal(err)
	}
	l, err := leaf.Start(t.Context(), leaf.Config{
		DiscoveryNamespace: namespace, NodeID: "node-of-" + namespace, NamespaceSecret: secret, LANBindAddress: "127.0.0.1", NoWebSocketTLS: true,
		RuntimeDir: t.TempDir(), CacheDir: t.TempDir(), BackboneServers: []string{fmt.Sprintf("nats://%s127.0.0.1:%d", user, v.LeafNode.Port)},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		l.Stop(ctx)
	})
	for end := time.Now().Add(patience); l.Status().BridgeState != leaf.BridgeConnected; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the leaf has no bridge")
		}
	}
	return l
}

// want makes the checks until they say what they should: name=state, and a part of detail or next. That a leaf answers
// spreads with its interest a moment after its bridge.
func want(t *testing.T, s checks.Session, wanted map[string][2]string) {
	t.Helper()
	var wrong []string
	for end := time.Now().Add(patience); time.Now().Before(end); {
		wrong = nil
		got := map[string]checks.Check{}
		for _, c := range s.Run(t.Context()) {
			got[c.Name] = c
			if c.State == checks.Fault && c.Next == "" {
				t.Errorf("a fault without what to do: %+v", c)
			}
		}
		for name, w := range wanted {
			if c := got[name]; c.Name == "" {
				wrong = append(wrong, fmt.Sprintf("%s was not looked at: %+v", name, got))
			} else if string(c.State) != w[0] || !strings.Contains(c.Detail+" "+c.Next, w[1]) {
				wrong = append(wrong, fmt.Sprintf("%s: %+v, want %s with %q", name, c, w[0], w[1]))
			}
		}
		if len(wrong) == 0 {
			return
		}
	}
	t.Error(strings.Join(wrong, "\n"))
}

func keyOf(t *testing.T, secret string) string {
	t.Helper()
	key, err := leaf.NamespaceKey(secret, "studio")
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestChecksOfASession(t *testing.T) {
	backbone := startBackbone(t, nil)
	s := checks.Session{Server: backbone.ClientURL(), Namespace: "studio", Wait: 300 * time.Millisecond}
	want(t, s, map[string][2]string{
		"session": {"ok", ""}, "permissions": {"ok", ""}, "answers": {"fault", "no leaf answers"}, "signatures": {"skipped", ""}, "expiry": {"skipped", ""}, "webtransport": {"skipped", ""}, "namespaces": {"skipped", ""},
	})
	startLeaf(t, backbone, "stage", "", "")
	want(t, s, map[string][2]string{"answers": {"fault", `["stage"]`}, "namespaces": {"warning", `["stage"]`}})
	startLeaf(t, backbone, "studio", secret, "")
	want(t, s, map[string][2]string{"answers": {"ok", "node-of-studio"}, "signatures": {"warning", "no key"}, "expiry": {"ok", ""}, "webtransport": {"ok", "a certificate of the manifest"}, "namespaces": {"warning", `["stage"]`}})
	s.NamespaceKey = keyOf(t, secret)
	want(t, s, map[string][2]string{"signatures": {"ok", "1 of 1"}})
	s.NamespaceKey = keyOf(t, "another secret of others")
	want(t, s, map[string][2]string{"answers": {"ok", ""}, "signatures": {"fault", "not signed by that key"}})
	s.Namespace = "stage"
	want(t, s, map[string][2]string{"answers": {"ok", ""}, "signatures": {"fault", "the answer is not signed: "}})
	s.Server = "nats://127.0.0.1:1"
	want(t, s, map[string][2]string{"session": {"fault", ""}})
}

// Who answers with something old, or with nothing that a leaf says, is named.
func TestChecksOfWhatNoLeafAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		at, body string
		wanted   map[string][2]string
	}{
		"expired":     {time.Now().UTC().Format(time.RFC3339), `{"wssUrl":"wss://127.0.0.1:1","nodeId":"old","expiresAt":"2020-01-02T15:04:05.000Z"}`, map[string][2]string{"expiry": {"fault", "expires at"}}},
		"clocks":      {time.Now().Add(time.Hour).UTC().Format(time.RFC3339), `{"wssUrl":"wss://127.0.0.1:1","nodeId":"fast","expiresAt":"2999-01-02T15:04:05.000Z"}`, map[string][2]string{"expiry": {"warning", "apart"}}},
		"no time":     {"", `{"wssUrl":"wss://127.0.0.1:1"}`, map[string][2]string{"expiry": {"fault", "no time"}}},
		"no manifest": {time.Now().UTC().Format(time.RFC3339), `hello`, map[string][2]string{"answers": {"fault", "hello"}}},
	} {
		t.Run(name, func(t *testing.T) {
			backbone := startBackbone(t, nil)
			answer(t, backbone, c.at, c.body)
			want(t, checks.Session{Server: backbone.ClientURL(), Namespace: "studio", Wait: 300 * time.Millisecond}, c.wanted)
		})
	}
}

// Where UDP does not come through, hashes are old, or there is no WebTransport at all, that is said in words.
func TestChecksOfWebTransport(t *testing.T) {
	real := startBackbone(t, nil)
	manifest := *startLeaf(t, real, "studio", secret, "").Manifest()
	if len(manifest.WebTransport) != 1 {
		t.Fatalf("the leaf has the ways %+v", manifest.WebTransport)
	}
	hole, err := net.ListenPacket("udp", "127.0.0.1:0") // takes all and answers nothing, as a firewall that drops
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { hole.Close() })
	old := base64.StdEncoding.EncodeToString(make([]byte, 32))
	at := manifest.WebTransport[0]
	for name, c := range map[string]struct {
		ways   []leaf.WebTransport
		wss    string
		wanted [2]string
	}{
		"as it is":   {[]leaf.WebTransport{at}, manifest.WSSURL, [2]string{"ok", at.URL}},
		"old hashes": {[]leaf.WebTransport{{URL: at.URL, CertificateHashes: []string{old}}}, manifest.WSSURL, [2]string{"fault", "hashes are too old"}},
		"no UDP":     {[]leaf.WebTransport{{URL: "https://" + hole.LocalAddr().String() + "/webtransport", CertificateHashes: at.CertificateHashes}}, manifest.WSSURL, [2]string{"fault", "UDP"}},
		"elsewhere":  {[]leaf.WebTransport{{URL: "https://" + hole.LocalAddr().String() + "/webtransport", CertificateHashes: at.CertificateHashes}}, "wss://127.0.0.1:1", [2]string{"skipped", "another LAN"}},
		"no way":     {nil, manifest.WSSURL, [2]string{"warning", "--no-webtransport"}},
		"no URL":     {[]leaf.WebTransport{{URL: "nonsense", CertificateHashes: at.CertificateHashes}}, manifest.WSSURL, [2]string{"fault", "nonsense"}},
	} {
		t.Run(name, func(t *testing.T) {
			said := manifest
			said.WebTransport, said.WSSURL = c.ways, c.wss
			said.ExpiresAt = time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
			body, err := json.Marshal(said)
			if err != nil {
				t.Fatal(err)
			}
			backbone := startBackbone(t, nil)
			answer(t, backbone, time.Now().UTC().Format(time.RFC3339), string(body))
			want(t, checks.Session{Server: backbone.ClientURL(), Namespace: "studio", Wait: time.Second}, map[string][2]string{"webtransport": c.wanted})
		})
	}
}

// answer makes somebody answer for the namespace studio.
func answer(t *testing.T, backbone *server.Server, at, body string) {
	t.Helper()
	nc, err := nats.Connect(backbone.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	if _, err := nc.Subscribe(leaf.FindSubject("studio"), func(m *nats.Msg) {
		out := nats.NewMsg(m.Reply)
		out.Data = []byte(body)
		out.Header["Kleaf-At"] = []string{at}
		nc.PublishMsg(out)
	}); err != nil || nc.Flush() != nil {
		t.Fatal("who answers cannot")
	}
}

func TestChecksOfPermissions(t *testing.T) {
	for name, p := range map[string]*server.Permissions{
		"publish":   {Publish: &server.SubjectPermission{Deny: []string{"_KH.>"}}},
		"subscribe": {Subscribe: &server.SubjectPermission{Deny: []string{"_KH.>"}}},
		"answers":   {Subscribe: &server.SubjectPermission{Deny: []string{"_INBOX.>"}}},
	} {
		t.Run(name, func(t *testing.T) {
			backbone := startBackbone(t, func(o *server.Options) {
				o.Users = []*server.User{{Username: "u", Password: "p", Permissions: p}, {Username: "bridge", Password: "p"}}
			})
			startLeaf(t, backbone, "studio", secret, "bridge:p@")
			want(t, checks.Session{
				Server: backbone.ClientURL(), Options: []nats.Option{nats.UserInfo("u", "p")}, Namespace: "studio", Wait: 300 * time.Millisecond,
			}, map[string][2]string{"permissions": {"fault", "docs/permissions.md"}})
		})
	}
}
