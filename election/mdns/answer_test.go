package mdns

import (
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func exampleRecords(t testing.TB) *records {
	t.Helper()
	r, err := newRecords(example())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// question makes a query of names and types such as "_x._tcp.local. PTR"; QU asks for unicast.
func question(questions ...string) *dns.Msg {
	m := new(dns.Msg)
	m.Id = 4711
	for _, s := range questions {
		f := strings.Fields(s)
		q := dns.Question{Name: f[0], Qtype: dns.StringToType[f[1]], Qclass: dns.ClassINET}
		if len(f) > 2 && f[2] == "QU" {
			q.Qclass |= unicastWanted
		}
		m.Question = append(m.Question, q)
	}
	return m
}

func TestQuestionsAboutTheLeafAreAnswered(t *testing.T) {
	const name = "studio-0f3a9c1e-5d2._kinopio-leaf._tcp.local."
	r := exampleRecords(t)
	for _, tt := range []struct {
		question string
		want     string // types, in order
	}{
		{"_kinopio-leaf._tcp.local. PTR", "PTR"},
		{"_Kinopio-Leaf._TCP.Local. PTR", "PTR"},
		{"_kinopio-leaf._tcp.local. ANY", "PTR"},
		{"_services._dns-sd._udp.local. PTR", "PTR"},
		{name + " SRV", "SRV"},
		{name + " TXT", "TXT"},
		{name + " ANY", "SRV TXT"},
		{"kinopio-0f3a9c1e-5d2b-4c.local. A", "A"},
		{"kinopio-0f3a9c1e-5d2b-4c.local. AAAA", ""},
		{"studio-other._kinopio-leaf._tcp.local. SRV", ""},
		{"_http._tcp.local. PTR", ""},
		{"_kinopio-leaf._tcp.local. SRV", ""},
	} {
		var got []string
		for _, rr := range r.answers(question(tt.question).Question[0]) {
			got = append(got, dns.TypeToString[rr.Header().Rrtype])
		}
		if strings.Join(got, " ") != tt.want {
			t.Errorf("%s: %q, want %q", tt.question, got, tt.want)
		}
	}
}

func TestWhoAsksIsAnsweredWhereItListens(t *testing.T) {
	const service = "_kinopio-leaf._tcp.local. PTR"
	r := exampleRecords(t)
	if to := r.answer(question(service), port); !to.multicast || to.unicast != nil {
		t.Errorf("a question to all: %+v, want the group only", to)
	}
	to := r.answer(question(service+" QU"), port)
	if !to.multicast || to.unicast == nil || to.unicast.Id != 0 || len(to.unicast.Question) != 0 || len(to.unicast.Answer) != 1 || len(to.unicast.Extra) != 3 {
		t.Errorf("a question for unicast: %+v", to)
	}
	plain := r.answer(question(service, service), 40000)
	if plain.multicast || plain.unicast == nil || plain.unicast.Id != 4711 || len(plain.unicast.Question) != 2 || len(plain.unicast.Answer) != 1 {
		t.Fatalf("a plain DNS client: %+v", plain)
	}
	for _, rr := range append(plain.unicast.Answer, plain.unicast.Extra...) {
		if rr.Header().Class != dns.ClassINET || rr.Header().Ttl > legacyTTL {
			t.Errorf("a plain DNS client is told %s", rr)
		}
	}
	if to := (*records)(nil).answer(question(service), port); to.multicast || to.unicast != nil {
		t.Errorf("without a leaf: %+v", to)
	}
	answer := question(service)
	answer.Response = true
	if to := r.answer(answer, port); to.multicast || to.unicast != nil {
		t.Errorf("a response is answered: %+v", to)
	}
}

func TestKnownAnswersAreNotRepeated(t *testing.T) {
	r := exampleRecords(t)
	for ttl, want := range map[uint32]bool{4: false, 2: false, 1: true, 0: true} {
		q := question("_kinopio-leaf._tcp.local. PTR")
		rr := dns.Copy(r.ptr)
		rr.Header().Ttl = ttl
		q.Answer = []dns.RR{rr}
		if to := r.answer(q, port); to.multicast != want {
			t.Errorf("known for %d s: answered %v, want %v", ttl, to.multicast, want)
		}
	}
	q := question("_kinopio-leaf._tcp.local. PTR")
	q.Answer = message(t, "_kinopio-leaf._tcp.local. 4 IN PTR studio-other._kinopio-leaf._tcp.local.").Answer
	if to := r.answer(q, port); !to.multicast {
		t.Error("another leaf is known, and this one not answered")
	}
}
