package mdns

import (
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// FuzzPacket: whatever a packet says, what is heard is whole, and what is answered can be sent.
func FuzzPacket(f *testing.F) {
	announcement, err := exampleRecords(f).announcement(ttlSeconds)
	if err != nil {
		f.Fatal(err)
	}
	goodbye, err := exampleRecords(f).announcement(0)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(announcement)
	f.Add(goodbye)
	f.Add(announcement[:len(announcement)/2])
	for _, m := range []*dns.Msg{
		question("_kinopio-leaf._tcp.local. PTR QU", "_services._dns-sd._udp.local. PTR"),
		message(f, ptr, srv, txt, adr), message(f, strings.Replace(txt, "ns=studio", `ns=\"\\\\\200`, 1), ptr, srv, adr),
	} {
		packet, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packet)
	}
	f.Add([]byte("\x00\x00\x84\x00\x00\x00\xff\xff\x00\x00\xff\xff\xc0\x0c\x00\x0c"))
	r := exampleRecords(f)
	f.Fuzz(func(t *testing.T, packet []byte) {
		m := new(dns.Msg)
		if m.Unpack(packet) != nil {
			return
		}
		var b browser
		now := time.Unix(1e9, 0)
		heard, _ := b.hear(m, now)
		for _, a := range heard {
			if !a.Goodbye && (a.check() != nil || a.TTL <= 0 || a.TTL > maxKept) || a.Goodbye && a.TTL != 0 || !strings.HasSuffix(a.Instance, ServiceType) {
				t.Errorf("heard %+v", a)
			}
		}
		if _, err := query(b.missing(now)); err != nil {
			t.Logf("the follow-up: %v", err) // the caller asks without it
		}
		for _, from := range []uint16{port, 40000} {
			if to := r.answer(m, from); to.unicast != nil {
				if _, err := to.unicast.Pack(); err != nil {
					t.Errorf("an answer that cannot be sent: %v", err)
				}
			}
		}
	})
}

// FuzzText: what was read from a TXT record is read the same when it is announced again.
func FuzzText(f *testing.F) {
	f.Add("txtvers=1\nns=studio\nnode=n1\nhost=h\nepoch=3\nlease=2026-01-02T03:04:05.678Z\nwssp=8443\nwsproto=wss\ndiscproto=https\nrtt=")
	f.Add("ns=\\\\\nnode=\"\nepoch=0\nwssp=1\nrtt=5\nctr=7\nhmac=ab==")
	f.Add("epoch=+3\nwssp=08443\nrtt=00\n=\n=x\nA\na=b")
	f.Fuzz(func(t *testing.T, joined string) {
		var one, two Leaf
		if one.readText(strings.Split(joined, "\n")) != nil {
			return
		}
		text, err := one.text()
		if err != nil {
			return // too long, or with keys that we do not send
		}
		for i := range text {
			if text[i] != unescape(escape(text[i])) {
				t.Fatalf("%q is escaped as %q, which is %q", text[i], escape(text[i]), unescape(escape(text[i])))
			}
		}
		if err := two.readText(text); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		again, err := two.text()
		if err != nil || strings.Join(text, "\n") != strings.Join(again, "\n") {
			t.Errorf("%q became %q, %v", text, again, err)
		}
	})
}
