package leaf

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// FuzzQuestion: whoever asks over the bridge, with whatever, is answered in a hub's inbox only, and what is taken of the
// question is short and plain.
func FuzzQuestion(f *testing.F) {
	f.Add([]byte(`{"nonce":"0123456789abcdefghijkl","key":"UABC"}`), "_INBOX.ABCDEFGHIJ.x.1")
	f.Add([]byte(`{"nonce":7}`), "_KH.leaf.news.ABCDEFGHIJ.x.1")
	f.Add([]byte(`{"Nonce":"0123456789abcdefghijkl","nonce":"\u0000"}`), "$JS.ABCDEFGHIJ.x.1")
	f.Fuzz(func(t *testing.T, data []byte, reply string) {
		h := &herald{bucket: bucket{rate: answerRate, burst: answerBurst}}
		var asked struct{ Nonce, Key string }
		if !h.takes(&nats.Msg{Reply: reply, Data: data}, &asked) || !isNonce(asked.Nonce) {
			return
		}
		if len(data) > mostAsked || len(asked.Nonce) > 64 || strings.ContainsAny(asked.Nonce, "\r\n \x00") {
			t.Errorf("%q is a question", data)
		}
		if strings.HasPrefix(reply, "$") || strings.HasPrefix(reply, "_KH.") || strings.Count(reply, ".") < 3 {
			t.Errorf("answered on %q", reply)
		}
	})
}

// FuzzAnsweredAt: nobody without the key signs.
func FuzzAnsweredAt(f *testing.F) {
	key, err := NamespaceKey("a secret of 16 bytes", "studio")
	if err != nil {
		f.Fatal(err)
	}
	f.Add("2026-01-02T03:04:05.000Z", "MFRGGZDF", []byte(`{"nodeId":"a"}`))
	f.Add("", strings.Repeat("A", 103), []byte{})
	f.Fuzz(func(t *testing.T, at, signature string, body []byte) {
		m := nats.NewMsg("x")
		m.Header[headerAt], m.Header[headerSignature], m.Data = []string{at}, []string{signature}, body
		if _, err := AnsweredAt(m, "0123456789abcdefghijkl", key); err == nil {
			t.Error("forged")
		}
		_, err := time.Parse(time.RFC3339, at)
		if got, unsigned := AnsweredAt(m, "", ""); (unsigned == nil) != (err == nil) || unsigned == nil && got.IsZero() && !strings.HasPrefix(at, "0001") {
			t.Errorf("%q is the time %v, %v", at, got, unsigned)
		}
	})
}

// FuzzClientIP: what a backbone says that it sees is an address, or nothing.
func FuzzClientIP(f *testing.F) {
	f.Add([]byte(`INFO {"client_ip":"203.0.113.7"}` + "\r\n"))
	f.Add([]byte(`INFO {"client_ip":"fe80::1%eth0"}`))
	f.Add([]byte(`INFO []`))
	f.Fuzz(func(t *testing.T, line []byte) {
		ip, err := clientIP(line)
		if err != nil {
			return
		}
		if _, err := netip.ParseAddr(ip); err != nil {
			t.Errorf("%q has the address %q", line, ip)
		}
		if place := placeOf(ip); strings.ContainsAny(place, ".*> \t\r\n") || len(place) > 16 {
			t.Errorf("%q is the place %q", ip, place)
		}
	})
}

// FuzzBoundary: where operations end does not depend on how the bytes are cut, and no more than a line is kept.
func FuzzBoundary(f *testing.F) {
	f.Add([]byte("CONNECT {}\r\nPUB a 5\r\nhello\r\nPING\r\n"), 3)
	f.Add([]byte("HPUB a 12 14\r\nNATS/1.0\r\n\r\nhi\r\nSUB a 1\r\n"), 1)
	f.Add([]byte("PUB a 9999999999999999999\r\n"), 7)
	f.Add([]byte("PUB a -5\r\nPUB\r\npub x 0\r\n\r\n"), 2)
	f.Fuzz(func(t *testing.T, said []byte, size int) {
		var whole, parts boundary
		whole.pass(bytes.Clone(said))
		size = max(1, min(size, 4096))
		for at := 0; at < len(said); at += size {
			parts.pass(said[at:min(at+size, len(said))])
			if parts.payload < 0 || len(parts.line) > mostLine+size {
				t.Fatalf("%d bytes of payload to come, %d of a line kept", parts.payload, len(parts.line))
			}
		}
		if whole.between() != parts.between() || !whole.lost && !parts.lost && whole.payload != parts.payload {
			t.Errorf("at once %+v, in parts %+v", whole, parts)
		}
	})
}

// FuzzHost: what a Host header names is judged without panic, and no name of the internet is taken for this machine.
func FuzzHost(f *testing.F) {
	for _, host := range []string{"127.0.0.1:80", "[::1]:80", "[fe80::1%25eth0]", "localhost.", "evil.example", "127.0.0.1.evil.example", "0x7f.1", "[::1", "a.local:1", ""} {
		f.Add(host)
	}
	f.Fuzz(func(t *testing.T, host string) {
		origins := []string{"https://app.example.com"}
		name := strings.ToLower(host)
		if namesLoopback(host) && strings.Contains(name, "evil") {
			t.Errorf("%q is this machine", host)
		}
		if hostOf(host, origins) && strings.Contains(name, ".evil.example") && !strings.Contains(name, "local") && !strings.Contains(name, "%") {
			t.Errorf("%q is one of %v", host, origins)
		}
		origin, err := CleanOrigin(host)
		if err != nil {
			return
		}
		if again, err := CleanOrigin(origin); err != nil || again != origin {
			t.Errorf("%q is %q, and that %q, %v", host, origin, again, err)
		}
		if u, err := url.Parse(origin); err != nil || u.Path != "" || u.User != nil {
			t.Errorf("%q is %q", host, origin)
		}
	})
}

// FuzzTicketRights: permissions that are taken give nothing that no ticket gives.
func FuzzTicketRights(f *testing.F) {
	f.Add(`{"publish":{"allow":["room.>"],"deny":["room.x"]},"subscribe":{"allow":[">"]}}`)
	f.Add(`{"publish":{"allow":["$SYS.>"]}}`)
	f.Add(`{"publish":{"allow":["_KH.leaf.news.*"]}}{}`)
	f.Fuzz(func(t *testing.T, text string) {
		r, err := ParseTicketRights(text)
		if err != nil {
			return
		}
		p, err := r.permissions()
		if err != nil {
			return
		}
		for _, list := range [][]string{p.Publish.Allow, p.Subscribe.Allow} {
			for _, subject := range list {
				if subject == "$SYS" || strings.HasPrefix(subject, "$SYS.") {
					t.Errorf("%s gives %s", text, subject)
				}
			}
		}
		for _, list := range [][]string{p.Publish.Deny, p.Subscribe.Deny} {
			if said, _ := json.Marshal(list); !strings.Contains(string(said), "$SYS") {
				t.Errorf("%s does not deny $SYS", text)
			}
		}
	})
}
