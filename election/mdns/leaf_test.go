package mdns

import (
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

// example returns a leaf with every field.
func example() Leaf {
	return Leaf{
		Namespace: "studio", NodeID: "0f3a9c1e-5d2b-4c6f-8a1e-7b9d0c2e4f61", Host: "mac.local", Epoch: 7,
		Lease:         time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC),
		WebSocketPort: 8443, WebSocketProtocol: "wss", DiscoveryProtocol: "https", RTT: 12,
		Port: 8444, Address: netip.MustParseAddr("10.77.0.1"),
	}
}

func TestNamesAreThoseOf210(t *testing.T) {
	for _, tt := range []struct{ namespace, node, instance, target string }{
		{"studio", "node-1", "studio-node-1", "kinopio-node-1"},
		{"My Studio_2!", "ABC.def", "my-studio-2--abc-def", "kinopio-abc-def"},
		{strings.Repeat("n", 60), "0123456789abcdefghij", strings.Repeat("n", 48) + "-0123456789ab", "kinopio-0123456789abcdef"},
		{"größe🍄", "漢字", "gr--e-----", "kinopio---"},
	} {
		if got, want := Instance(tt.namespace, tt.node), tt.instance+"._kinopio-leaf._tcp.local."; got != want {
			t.Errorf("Instance(%q, %q) is %s, want %s", tt.namespace, tt.node, got, want)
		}
		if got, want := Target(tt.node), tt.target+".local."; got != want {
			t.Errorf("Target(%q) is %s, want %s", tt.node, got, want)
		}
	}
}

func TestTextIsThatOf210(t *testing.T) {
	text, err := example().text()
	if err != nil {
		t.Fatal(err)
	}
	got, want := strings.Join(text, " "), "txtvers=1 ns=studio node=0f3a9c1e-5d2b-4c6f-8a1e-7b9d0c2e4f61 host=mac.local epoch=7 lease=2026-01-02T03:04:05.678Z wssp=8443 wsproto=wss discproto=https rtt=12"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	unknown := example()
	unknown.RTT = Unmeasured
	if text, _ := unknown.text(); text[9] != "rtt=" {
		t.Errorf("an unknown RTT is %q, want rtt=", text[9])
	}
}

func TestWhatIsAnnouncedIsHeardAsItWas(t *testing.T) {
	odd := example()
	odd.Namespace, odd.Host, odd.RTT, odd.Lease = `gr\öße "x" \200`, "a=b;c\x00\xff\\", Unmeasured, time.Time{}
	odd.Extra = map[string]string{"hmac": "q/8=\\\"\x01", "ctr": "18446744073709551615", "empty": ""}
	for name, leaf := range map[string]Leaf{"plain": example(), "odd": odd} {
		r, err := newRecords(leaf)
		if err != nil {
			t.Fatal(err)
		}
		packet, err := r.announcement(ttlSeconds)
		if err != nil {
			t.Fatal(err)
		}
		heard, bad := hear(t, &browser{}, packet, time.Now())
		if len(heard) != 1 || len(bad) != 0 {
			t.Fatalf("%s: heard %+v, %v", name, heard, bad)
		}
		if a := heard[0]; !reflect.DeepEqual(a.Leaf, leaf) || a.TTL != TTL || a.Goodbye || a.Instance != Instance(leaf.Namespace, leaf.NodeID) {
			t.Errorf("%s: heard %+v\nwant %+v", name, a, leaf)
		}
	}
}

func TestALeafThatMakesNoSenseIsNotAnnounced(t *testing.T) {
	for want, spoil := range map[string]func(*Leaf){
		"field Namespace is empty":                   func(l *Leaf) { l.Namespace = "" },
		"field NodeID is empty":                      func(l *Leaf) { l.NodeID = "" },
		"field Epoch is -1, want at least 0":         func(l *Leaf) { l.Epoch = -1 },
		"field WebSocketPort is 0":                   func(l *Leaf) { l.WebSocketPort = 0 },
		`field WebSocketProtocol is "tcp", want ws`:  func(l *Leaf) { l.WebSocketProtocol = "tcp" },
		`field DiscoveryProtocol is "", want http`:   func(l *Leaf) { l.DiscoveryProtocol = "" },
		"field RTT is -2, want milliseconds":         func(l *Leaf) { l.RTT = -2 },
		"field Port is 0":                            func(l *Leaf) { l.Port = 0 },
		"field Address is fe80::1%eth0, want":        func(l *Leaf) { l.Address = netip.MustParseAddr("fe80::1%eth0") },
		"field Address is ff02::1, want":             func(l *Leaf) { l.Address = netip.IPv6LinkLocalAllNodes() },
		"field Address is ::, want":                  func(l *Leaf) { l.Address = netip.IPv6Unspecified() },
		"field Address is 0.0.0.0":                   func(l *Leaf) { l.Address = netip.IPv4Unspecified() },
		"field Address is invalid IP":                func(l *Leaf) { l.Address = netip.Addr{} },
		`field Extra has the key "node"`:             func(l *Leaf) { l.Extra = map[string]string{"node": "x"} },
		`field Extra has the key "a=b"`:              func(l *Leaf) { l.Extra = map[string]string{"a=b": "x"} },
		"TXT string host= has 305 bytes":             func(l *Leaf) { l.Host = strings.Repeat("h", 300) },
		"want at most 1400: shorten Host or Extra":   func(l *Leaf) { l.Extra = manyKeys() },
		"TXT string hmac= has 300 bytes, want at mo": func(l *Leaf) { l.Extra = map[string]string{"hmac": strings.Repeat("x", 295)} },
	} {
		leaf := example()
		spoil(&leaf)
		if _, err := newRecords(leaf); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func manyKeys() map[string]string {
	keys := map[string]string{}
	for i := range 8 {
		keys[fmt.Sprintf("key%d", i)] = strings.Repeat("v", 200)
	}
	return keys
}

func TestTextOfOthersIsReadWithCareAndTolerance(t *testing.T) {
	const good = "txtvers=1|ns=studio|node=n1|host=h|epoch=3|lease=|wssp=8443|wsproto=wss|discproto=https|rtt="
	for _, tt := range []struct {
		name, text, wrong string
		extra             map[string]string
	}{
		{"plain", good, "", nil},
		{"unknown keys, also without a value", good + "|New=1|flag||=x", "", map[string]string{"new": "1", "flag": ""}},
		{"a key twice: the first counts", good + "|epoch=9", "", nil},
		{"keys have no case", strings.ReplaceAll(good, "epoch", "EPOCH"), "", nil},
		{"a lease in words", strings.ReplaceAll(good, "lease=", "lease=tomorrow"), "", nil},
		{"no version", strings.ReplaceAll(good, "txtvers=1|", ""), "", nil},
		{"another version", strings.ReplaceAll(good, "txtvers=1", "txtvers=2"), "txtvers", nil},
		{"a bad epoch", strings.ReplaceAll(good, "epoch=3", "epoch=-3"), "epoch", nil},
		{"no epoch", strings.ReplaceAll(good, "epoch=3", "e=3"), "epoch", nil},
		{"a bad port", strings.ReplaceAll(good, "8443", "84430"), "wssp", nil},
		{"a bad rtt", strings.ReplaceAll(good, "rtt=", "rtt=fast"), "rtt", nil},
	} {
		l := Leaf{}
		err := l.readText(strings.Split(tt.text, "|"))
		if tt.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), tt.wrong) {
				t.Errorf("%s: %v, want something about %s", tt.name, err, tt.wrong)
			}
			continue
		}
		if err != nil || l.Epoch != 3 || l.NodeID != "n1" || l.WebSocketPort != 8443 || l.RTT != Unmeasured || !maps.Equal(l.Extra, tt.extra) {
			t.Errorf("%s: %+v, %v", tt.name, l, err)
		}
	}
}

func TestLeasesAreReadInTheFormsThatThereAre(t *testing.T) {
	want := time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)
	for s, want := range map[string]time.Time{
		"2026-01-02T03:04:05.678Z": want, "2026-01-02T04:04:05.678+01:00": want,
		fmt.Sprint(want.UnixMilli()): want, "": {}, "soon": {}, "-5": {}, "99999999999999999999": {},
	} {
		if got := readLease(s); !got.Equal(want) {
			t.Errorf("%q: %v, want %v", s, got, want)
		}
	}
}
