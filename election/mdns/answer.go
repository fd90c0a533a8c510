package mdns

import (
	"github.com/miekg/dns"
)

// port is where multicast DNS lives. Who asks from another port is a plain DNS client.
const port = 5353

// legacyTTL is the most that a plain DNS client is told, in seconds (RFC 6762, section 6.7).
const legacyTTL = 10

// A reply is what a query gets.
type reply struct {
	multicast bool     // everything to the group
	unicast   *dns.Msg // to who asked, if not nil
}

// answer says what to reply to a query that came from a port.
func (r *records) answer(q *dns.Msg, from uint16) (to reply) {
	if r == nil || q.Response || q.Opcode != dns.OpcodeQuery || q.Rcode != dns.RcodeSuccess {
		return to
	}
	var single []dns.RR
	for _, question := range q.Question {
		for _, rr := range r.answers(question) {
			switch {
			case from != port:
				single = appendNew(single, rr)
			case known(q.Answer, rr):
			case question.Qclass&unicastWanted != 0:
				// To the group too, as another program of that host may take the unicast.
				single, to.multicast = appendNew(single, rr), true
			default:
				to.multicast = true
			}
		}
	}
	if len(single) == 0 {
		return to
	}
	to.unicast = response()
	to.unicast.Answer = single
	for _, rr := range r.all() {
		if !contains(single, rr) {
			to.unicast.Extra = append(to.unicast.Extra, rr)
		}
	}
	if from != port {
		to.unicast.Id = q.Id
		to.unicast.Question = q.Question
		to.unicast.Answer, to.unicast.Extra = forLegacy(to.unicast.Answer), forLegacy(to.unicast.Extra)
	}
	return to
}

// forLegacy returns records as plain DNS knows them.
func forLegacy(records []dns.RR) (plain []dns.RR) {
	for _, rr := range records {
		rr = dns.Copy(rr)
		rr.Header().Class &^= cacheFlush
		rr.Header().Ttl = min(rr.Header().Ttl, legacyTTL)
		plain = append(plain, rr)
	}
	return plain
}

// known tells whether who asks has the record, for at least half of its life.
func known(answers []dns.RR, rr dns.RR) bool {
	for _, a := range answers {
		if a.Header().Ttl >= rr.Header().Ttl/2 && same(a, rr) {
			return true
		}
	}
	return false
}

// same compares records without their TTL and what multicast DNS adds to the class.
func same(a, b dns.RR) bool {
	a, b = dns.Copy(a), dns.Copy(b)
	a.Header().Class &^= cacheFlush
	b.Header().Class &^= cacheFlush
	return dns.IsDuplicate(a, b)
}

func contains(records []dns.RR, rr dns.RR) bool {
	for _, r := range records {
		if same(r, rr) {
			return true
		}
	}
	return false
}

func appendNew(records []dns.RR, rr dns.RR) []dns.RR {
	if contains(records, rr) {
		return records
	}
	return append(records, rr)
}
