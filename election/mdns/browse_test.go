package mdns

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

var now = time.Unix(1e9, 0)

// hear unpacks a packet and gives it to a browser.
func hear(t *testing.T, b *browser, packet []byte, now time.Time) ([]Announcement, []error) {
	t.Helper()
	m := new(dns.Msg)
	if err := m.Unpack(packet); err != nil {
		t.Fatal(err)
	}
	return b.hear(m, now)
}

// message makes a response of records in the form of zone files.
func message(t testing.TB, records ...string) *dns.Msg {
	t.Helper()
	m := response()
	for _, s := range records {
		rr, err := dns.NewRR(s)
		if err != nil {
			t.Fatal(err)
		}
		m.Answer = append(m.Answer, rr)
	}
	return m
}

const (
	ptr = "_kinopio-leaf._tcp.local. 4 IN PTR studio-n1._kinopio-leaf._tcp.local."
	srv = "Studio-N1._kinopio-leaf._tcp.local. 4 IN SRV 0 0 8444 kinopio-n1.local."
	txt = `studio-n1._kinopio-leaf._tcp.local. 4 IN TXT "txtvers=1" "ns=studio" "node=n1" "host=h" "epoch=3" "lease=" "wssp=8443" "wsproto=wss" "discproto=https" "rtt="`
	adr = "kinopio-n1.local. 4 IN A 10.77.0.9"
)

func TestRecordsMayComeInAnyOrderAndInSeveralPackets(t *testing.T) {
	for _, order := range [][]string{{ptr, srv, txt, adr}, {adr, txt, srv, ptr}, {srv, adr, ptr, txt}} {
		var b browser
		if heard, _ := b.hear(message(t, order...), now); len(heard) != 1 || heard[0].Address.String() != "10.77.0.9" || heard[0].Port != 8444 {
			t.Errorf("in one packet: %+v", heard)
		}
	}
	var b browser
	for i, rr := range []string{adr, txt, srv} {
		if heard, bad := b.hear(message(t, rr), now); len(heard)+len(bad) != 0 {
			t.Fatalf("after %d records: %+v, %v", i+1, heard, bad)
		}
	}
	heard, _ := b.hear(message(t, ptr), now.Add(time.Second))
	if len(heard) != 1 || heard[0].NodeID != "n1" || heard[0].TTL != 3*time.Second {
		t.Errorf("complete, a second later: %+v, want n1 for 3 s", heard)
	}
	if heard, _ := b.hear(message(t, ptr), now.Add(5*time.Second)); len(heard) != 0 {
		t.Errorf("%+v of records that hold no longer", heard)
	}
}

func TestWhatIsMissingIsAskedFor(t *testing.T) {
	var b browser
	b.hear(message(t, ptr), now)
	if q := b.missing(now); len(q) != 1 || q[0].Qtype != dns.TypeANY || q[0].Name != "studio-n1._kinopio-leaf._tcp.local." {
		t.Errorf("of a bare name: %v", q)
	}
	b.hear(message(t, srv, txt), now)
	if q := b.missing(now); len(q) != 2 || q[0].Qtype != dns.TypeA || q[1].Qtype != dns.TypeAAAA || q[0].Name != "kinopio-n1.local." {
		t.Errorf("without the address: %v", q)
	}
	b.hear(message(t, adr), now)
	if q := b.missing(now); len(q) != 0 {
		t.Errorf("nothing is missing: %v", q)
	}
}

func TestAddressesOfIPv6AreHeard(t *testing.T) {
	six := "kinopio-n1.local. 4 IN AAAA fd77::9"
	for _, order := range [][]string{{ptr, srv, txt, six}, {six, ptr, srv, txt}} {
		var b browser
		if heard, _ := b.hear(message(t, order...), now); len(heard) != 1 || heard[0].Address.String() != "fd77::9" {
			t.Errorf("%v: %+v", order, heard)
		}
		// Who has one of IPv4, too, is told of by that.
		for _, both := range [][]string{append([]string{adr}, order...), append(order, adr)} {
			b = browser{}
			if heard, _ := b.hear(message(t, both...), now); len(heard) != 1 || !heard[0].Address.Is4() {
				t.Errorf("%v: %+v", both, heard)
			}
		}
	}
}

func TestGoodbyeIsOneAndNamesTheNode(t *testing.T) {
	zero := func(s string) string { return strings.Replace(s, " 4 IN", " 0 IN", 1) }
	for name, packet := range map[string][]string{
		"everything": {zero(ptr), zero(srv), zero(txt), zero(adr)},
		"the PTR":    {zero(ptr)},
		"the SRV":    {zero(srv)},
	} {
		var b browser
		b.hear(message(t, ptr, srv, txt, adr), now)
		heard, _ := b.hear(message(t, packet...), now.Add(time.Second))
		if len(heard) != 1 || !heard[0].Goodbye || heard[0].TTL != 0 || heard[0].NodeID != "n1" {
			t.Errorf("%s: %+v", name, heard)
		}
		if heard, _ = b.hear(message(t, srv), now.Add(time.Second)); len(heard) != 0 {
			t.Errorf("%s: after the goodbye one record makes %+v", name, heard)
		}
	}
	var b browser
	heard, _ := b.hear(message(t, zero(ptr)), now)
	if len(heard) != 1 || !heard[0].Goodbye || heard[0].Instance != "studio-n1._kinopio-leaf._tcp.local." || heard[0].NodeID != "" {
		t.Errorf("of an unknown one: %+v", heard)
	}
}

func TestNonsenseIsToldAndOthersAreHeard(t *testing.T) {
	other := strings.NewReplacer("studio-n1", "studio-n2", "Studio-N1", "studio-n2", "node=n1", "node=n2")
	for name, bad := range map[string]string{
		"a bad epoch":       strings.Replace(txt, "epoch=3", "epoch=x", 1),
		"no node":           strings.Replace(txt, "node=n1", "n=1", 1),
		"a strange wsproto": strings.Replace(txt, "wsproto=wss", "wsproto=tcp", 1),
	} {
		var b browser
		heard, errs := b.hear(message(t, ptr, srv, bad, adr, other.Replace(ptr), other.Replace(srv), other.Replace(txt)), now)
		if len(errs) != 1 || len(heard) != 1 || heard[0].NodeID != "n2" {
			t.Errorf("%s: heard %+v, %v", name, heard, errs)
		}
	}
	for name, m := range map[string]*dns.Msg{
		"a query":             {Question: message(t).Question, Answer: message(t, ptr, srv, txt, adr).Answer},
		"another service":     message(t, strings.ReplaceAll(ptr, "leaf", "tree"), strings.ReplaceAll(txt, "leaf", "tree")),
		"another class":       message(t, strings.Replace(ptr, "IN", "CH", 1)),
		"the service itself":  message(t, "_kinopio-leaf._tcp.local. 4 IN PTR _kinopio-leaf._tcp.local."),
		"a name that is none": message(t, "_kinopio-leaf._tcp.local. 4 IN PTR evil.example."),
	} {
		var b browser
		if heard, errs := b.hear(m, now); len(heard)+len(errs)+len(b.instances) != 0 {
			t.Errorf("%s: %+v, %v, %d remembered", name, heard, errs, len(b.instances))
		}
	}
}

func TestAFloodOfNamesIsForgottenAndSilencesNobody(t *testing.T) {
	var b browser
	for i := range 5000 {
		n := fmt.Sprint("x", i)
		b.hear(message(t, strings.ReplaceAll(strings.Replace(ptr, " 4 ", " 99999999 ", 1), "studio-n1", n), strings.ReplaceAll(adr, "n1", n)), now)
	}
	if len(b.instances) > maxInstances || len(b.hosts) > maxHosts || len(b.missing(now)) > maxFollowUps {
		t.Errorf("%d names and %d hosts are remembered", len(b.instances), len(b.hosts))
	}
	if heard, _ := b.hear(message(t, ptr, srv, txt, adr), now); len(heard) != 1 {
		t.Errorf("the leaf in the flood: %+v", heard)
	}
	b.hear(message(t), now.Add(maxKept+time.Second))
	if len(b.instances)+len(b.hosts) != 0 {
		t.Errorf("%d names and %d hosts are remembered for ever", len(b.instances), len(b.hosts))
	}
}
