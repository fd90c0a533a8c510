package election

import (
	"bytes"
	"encoding/json"
	"net/url"
	"strings"
	"testing"
)

// What kinopio-hub 2.1.0 sends, by its format.
const oldHeartbeat = `{"kind":"kinopio-auto-leaf-heartbeat","protocolVersion":1,"sentAt":"2026-01-02T03:04:05.678Z",` +
	`"version":"1","expiresAt":"2026-01-02T03:04:09.678Z","leaderEpoch":7,"advertisedHostname":"192.168.1.2",` +
	`"websocketUrl":"wss://192.168.1.2:4443","wssUrl":"wss://192.168.1.2:4443","discoveryUrl":"https://192.168.1.2:4444/.well-known/kinopio-leader.json",` +
	`"fallbackServers":["nats://backbone:7422"],"bridgeState":"connected","backboneRttMs":12,"leaseExpiresAt":"2026-01-02T03:04:09.678Z",` +
	`"nodeId":"node-a","discoveryNamespace":"studio","isLeader":true,"candidateRole":"leader"}`

func TestHeartbeatOfAnOlderAgentIsUnderstood(t *testing.T) {
	h, err := parseHeartbeat([]byte(oldHeartbeat), "studio")
	if err != nil {
		t.Fatal(err)
	}
	want := Record{NodeID: "node-a", Leads: true, Role: RoleLeader, Epoch: 7, RTT: 12, Order: 1767323045678,
		About: "wss://192.168.1.2:4443 https://192.168.1.2:4444/.well-known/kinopio-leader.json connected", Source: h}
	if got := h.record(false); got != want {
		t.Errorf("%+v\nwant %+v", got, want)
	}
}

func TestHeartbeatComesBackAsItWasSent(t *testing.T) {
	key, err := newProofKey("0123456789abcdef", "studio")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []*proofKey{nil, key} {
		h, err := parseHeartbeat([]byte(oldHeartbeat), "studio")
		if err != nil {
			t.Fatal(err)
		}
		h.State, h.Sequence, h.Instance = Leading, 42, "abc"
		data, err := h.encode(key)
		if err != nil {
			t.Fatal(err)
		}
		again, err := parseHeartbeat(data, "studio")
		if err != nil {
			t.Fatalf("%v: %s", err, data)
		}
		a, _ := json.Marshal(h)
		b, _ := json.Marshal(again)
		if !bytes.Equal(a, b) {
			t.Errorf("%s\ncame back as %s", a, b)
		}
	}
}

func TestBadHeartbeatIsRejectedWithTheReason(t *testing.T) {
	for _, c := range []struct {
		old, new string
		want     rejection
	}{
		{`{"kind"`, `{"kind`, rejectJSON},
		{`auto-leaf-heartbeat`, `other`, rejectKind},
		{`"protocolVersion":1`, `"protocolVersion":2`, rejectVersion},
		{`"studio"`, `"other"`, rejectNamespace},
		{`"nodeId":"node-a"`, `"nodeId":""`, rejectField},
		{`"nodeId":"node-a"`, `"nodeId":"a b"`, rejectField},
		{`"nodeId":"node-a"`, `"nodeId":"` + strings.Repeat("a", 129) + `"`, rejectField},
		{`"leaderEpoch":7`, `"leaderEpoch":-1`, rejectField},
		{`"leaderEpoch":7`, `"leaderEpoch":9007199254740992`, rejectField},
		{`"leaderEpoch":7`, `"leaderEpoch":1.5`, rejectJSON},
		{`"backboneRttMs":12`, `"backboneRttMs":-1`, rejectField},
		{`"backboneRttMs":12`, `"backboneRttMs":1e300`, rejectField},
		{`"isLeader":true`, `"isLeader":"yes"`, rejectJSON},
		{`"version":"1"`, `"version":"1","more":"` + strings.Repeat("x", maxHeartbeat) + `"`, rejectSize},
	} {
		text := strings.Replace(oldHeartbeat, c.old, c.new, 1)
		if text == oldHeartbeat {
			t.Fatalf("%s is not there", c.old)
		}
		if _, err := parseHeartbeat([]byte(text), "studio"); err != c.want {
			t.Errorf("%s: %v, want %v", c.new, err, c.want)
		}
	}
}

func TestProofIsOfThisSecretNamespaceAndContent(t *testing.T) {
	const secret = "0123456789abcdef"
	key, err := newProofKey(secret, "studio")
	if err != nil {
		t.Fatal(err)
	}
	sealed := key.seal([]byte(oldHeartbeat))
	if !key.sealed(sealed) {
		t.Fatal("the own proof is refused")
	}
	for i := range sealed {
		forged := bytes.Clone(sealed)
		forged[i] ^= 1
		if key.sealed(forged) {
			t.Fatalf("byte %d can be changed", i)
		}
	}
	for _, other := range [][2]string{{secret + "!", "studio"}, {secret, "studio2"}} {
		k, err := newProofKey(other[0], other[1])
		if err != nil {
			t.Fatal(err)
		}
		if k.sealed(sealed) {
			t.Errorf("accepted with %q", other)
		}
	}
	if _, err := newProofKey("short", "studio"); err == nil || strings.Contains(err.Error(), "short") {
		t.Errorf("%v: want an error without the secret", err)
	}
}

func FuzzHeartbeat(f *testing.F) {
	f.Add([]byte(oldHeartbeat))
	f.Add([]byte(`{"kind":"kinopio-auto-leaf-heartbeat","protocolVersion":1,"discoveryNamespace":"studio","nodeId":"a"}`))
	f.Add([]byte(`{"kind":"kinopio-auto-leaf-heartbeat","protocolVersion":1,"discoveryNamespace":"studio","nodeId":"a","wssUrl":"wss://[fe80::1%25eth7]:8443"}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := parseHeartbeat(data, "studio")
		if err != nil {
			if _, ok := err.(rejection); !ok {
				t.Fatalf("%v is no rejection", err)
			}
			return
		}
		before := h.Manifest
		h.inZone("eth0")
		if u, err := url.Parse(before.WSSURL); err == nil {
			if now, err := url.Parse(h.WSSURL); err != nil || bare(now.Hostname()) != bare(u.Hostname()) || now.Port() != u.Port() {
				t.Errorf("%q became %q, %v", before.WSSURL, h.WSSURL, err)
			}
		}
		r := h.record(false)
		if r.NodeID == "" || r.Epoch < 0 || r.Order < 0 || r.RTT < Unmeasured {
			t.Errorf("%+v", r)
		}
		m := NewMachine(Options{NodeID: "b"}, 0)
		m.Step(0, &Event{Kind: Heard, Record: &r})
	})
}

func FuzzProof(f *testing.F) {
	key, err := newProofKey("0123456789abcdef", "studio")
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(oldHeartbeat))
	f.Add(key.seal([]byte(oldHeartbeat))[1:])
	f.Fuzz(func(t *testing.T, data []byte) {
		if key.sealed(data) {
			t.Error("forged")
		}
	})
}
