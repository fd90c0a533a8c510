package leaf

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// A leaf has more rights than those who ask it: it answers where hubs wait for answers, and nowhere else.
func TestLeafPublishesInInboxesOnly(t *testing.T) {
	c := config(t)
	c.NoWebSocketTLS = true
	l, _ := startLeaf(t, c)
	nc := connect(t, l.Status().ClientURL)
	came := make(chan string, 100)
	if _, err := nc.Subscribe(">", func(m *nats.Msg) {
		if strings.Contains(string(m.Data), "wssUrl") {
			came <- m.Subject
		}
	}); err != nil {
		t.Fatal(err)
	}
	find := reserved + "find." + word(c.DiscoveryNamespace) + ".any"
	question := []byte(`{"nonce":"0123456789abcdefghijkl"}`)
	for _, reply := range []string{"robot.stop", "a.b.c", "_INBOX.x", "_KH.sync", "_KH.ABCDEFGHIJ.x.1", "_KH.leaf.news.ABCDEFGHIJ.x.1", "$JS.ABCDEFGHIJ.x.1", "_INBOX.abcdefghij.x.1", "_INBOX.ABCDEFGHIJ1.x.1"} {
		if err := nc.PublishRequest(find, reply, question); err != nil {
			t.Fatal(err)
		}
	}
	for _, bad := range []string{"", "{}", `{"nonce":7}`, `{"nonce":"short"}`, `{"nonce":"0123456789abcdef\n0123"}`, strings.Repeat("x", mostAsked+1)} {
		if err := nc.PublishRequest(find, "_INBOX.ABCDEFGHIJ.bad.1", []byte(bad)); err != nil {
			t.Fatal(err)
		}
	}
	for _, good := range []string{"_INBOX.ABCDEFGHIJ.x.1", "own.prefix.ABCDEFGH23.x.1"} {
		if err := nc.PublishRequest(find, good, question); err != nil {
			t.Fatal(err)
		}
		select {
		case got := <-came:
			if got != good {
				t.Errorf("answered on %s, want %s only", got, good)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("no answer on %s", good)
		}
	}
}

func TestNamespaceKeyIsOfNameAndSecret(t *testing.T) {
	keys := map[string]bool{}
	for _, c := range [][2]string{{"a secret of 16 bytes", "studio"}, {"a secret of 16 bytes", "stage"}, {"another secret of theirs", "studio"}} {
		key, err := NamespaceKey(c[0], c[1])
		if again, _ := NamespaceKey(c[0], c[1]); err != nil || again != key || keys[key] || !nkeys.IsValidPublicServerKey(key) {
			t.Errorf("%v: %s, %v", c, key, err)
		}
		keys[key] = true
	}
	for _, c := range [][2]string{{"", "studio"}, {"short", "studio"}, {"a secret of 16 bytes", ""}} {
		if _, err := NamespaceKey(c[0], c[1]); err == nil || strings.Contains(err.Error(), "short") {
			t.Errorf("%v: %v", c, err)
		}
	}
}

func TestPlacesAreThoseOfLANs(t *testing.T) {
	for address, want := range map[string]string{
		"203.0.113.7": "203-0-113-7", "::ffff:203.0.113.7": "203-0-113-7", "2001:db8:0:1:ffff::9": "20010db800000001", "2001:db8:0:1::1": "20010db800000001",
		"192.168.1.1": "", "127.0.0.1": "", "100.64.1.1": "", "fd00::1": "", "fe80::1%eth0": "", "::": "", "x": "", "": "", "224.0.0.1": "",
	} {
		if got := placeOf(address); got != want {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
}

func TestTicketsThatWaitAreBounded(t *testing.T) {
	b, now := &ticketBook{}, time.Now()
	for i := range mostTickets {
		if err := b.issue(word(string(rune(i+256))), now); err != nil {
			t.Fatal(err)
		}
	}
	if b.issue("one more", now) == nil {
		t.Error("there is no end to them")
	}
	if err := b.issue("later", now.Add(ticketLife)); err != nil || len(b.keys) != 1 {
		t.Errorf("%v, %d tickets", err, len(b.keys))
	}
	if b.keys["old"] = now.Add(-time.Second); b.use("old") || b.use("unknown") || !b.use("later") || b.use("later") {
		t.Error("a ticket is good when it should not be, or is not")
	}
}

// A leaf whose users bring JWTs is found all the same.
func TestLeafWithAnOperatorAnswers(t *testing.T) {
	r := newRealm(t)
	c := config(t)
	c.NoWebSocketTLS = true
	c.Access = Access{OperatorJWT: r.operator, AccountJWTs: []string{r.account}}
	l, _ := startLeaf(t, c)
	nc := connect(t, l.Status().ClientURL, nats.UserCredentials(r.creds))
	sub, err := nc.SubscribeSync("_INBOX.ABCDEFGHIJ.x.1")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.PublishRequest(reserved+"find."+word(c.DiscoveryNamespace)+".any", sub.Subject, []byte(`{"nonce":"0123456789abcdefghijkl"}`)); err != nil {
		t.Fatal(err)
	}
	m, err := sub.NextMsg(10 * time.Second)
	if err != nil {
		t.Fatal(err)
	}
	var manifest Manifest
	if err := json.Unmarshal(m.Data, &manifest); err != nil || manifest.WSSURL != l.Status().WSSURL {
		t.Errorf("%s: %v", m.Data, err)
	}
	c.Access.Tickets = true
	if err := c.Check(); err == nil || !strings.Contains(err.Error(), "not with an operator") {
		t.Errorf("tickets with an operator: %v", err)
	}
}
