package mdns

import (
	"fmt"

	"github.com/miekg/dns"
)

// Two bits that multicast DNS takes from the class (RFC 6762, sections 5.4 and 10.2): in a
// question it asks for an answer by unicast, in a record it says that there are no others.
const (
	unicastWanted = 1 << 15
	cacheFlush    = 1 << 15
)

// metaService is what browsers ask for to learn what kinds of services there are.
const metaService = "_services._dns-sd._udp.local."

// records are a leaf as it is announced.
type records struct {
	ptr *dns.PTR
	srv *dns.SRV
	txt *dns.TXT
	a   dns.RR // of the address: A, or AAAA
}

// newRecords returns the records of a leaf, or what is wrong with it.
func newRecords(l Leaf) (*records, error) {
	if err := l.check(); err != nil {
		return nil, err
	}
	text, err := l.text()
	if err != nil {
		return nil, err
	}
	for i := range text {
		text[i] = escape(text[i])
	}
	instance, target := Instance(l.Namespace, l.NodeID), Target(l.NodeID)
	header := func(name string, rrtype, flags uint16) dns.RR_Header {
		return dns.RR_Header{Name: name, Rrtype: rrtype, Class: dns.ClassINET | flags, Ttl: ttlSeconds}
	}
	r := &records{
		&dns.PTR{Hdr: header(ServiceType, dns.TypePTR, 0), Ptr: instance},
		&dns.SRV{Hdr: header(instance, dns.TypeSRV, cacheFlush), Port: l.Port, Target: target},
		&dns.TXT{Hdr: header(instance, dns.TypeTXT, cacheFlush), Txt: text},
		&dns.A{Hdr: header(target, dns.TypeA, cacheFlush), A: l.Address.AsSlice()},
	}
	if l.Address.Is6() {
		r.a = &dns.AAAA{Hdr: header(target, dns.TypeAAAA, cacheFlush), AAAA: l.Address.AsSlice()}
	}
	packet, err := r.announcement(ttlSeconds)
	if err == nil && len(packet) > maxPacket {
		err = fmt.Errorf("the announcement has %d bytes, want at most %d: shorten Host or Extra", len(packet), maxPacket)
	}
	return r, err
}

func (r *records) all() []dns.RR { return []dns.RR{r.ptr, r.srv, r.txt, r.a} }

// announcement returns the packet that says everything; with a TTL of 0 it is a goodbye.
func (r *records) announcement(ttl uint32) ([]byte, error) {
	m := response()
	for _, rr := range r.all() {
		rr = dns.Copy(rr)
		rr.Header().Ttl = ttl
		m.Answer = append(m.Answer, rr)
	}
	return m.Pack()
}

// answers returns the records that a question asks for.
func (r *records) answers(q dns.Question) (found []dns.RR) {
	if class := q.Qclass &^ unicastWanted; class != dns.ClassINET && class != dns.ClassANY {
		return nil
	}
	name := dns.CanonicalName(q.Name)
	if name == metaService && (q.Qtype == dns.TypePTR || q.Qtype == dns.TypeANY) {
		return []dns.RR{&dns.PTR{
			Hdr: dns.RR_Header{Name: metaService, Rrtype: dns.TypePTR, Class: dns.ClassINET, Ttl: ttlSeconds},
			Ptr: ServiceType,
		}}
	}
	for _, rr := range r.all() {
		h := rr.Header()
		if h.Name == name && (q.Qtype == h.Rrtype || q.Qtype == dns.TypeANY) {
			found = append(found, rr)
		}
	}
	return found
}

func response() *dns.Msg {
	m := &dns.Msg{Compress: true}
	m.Response, m.Authoritative = true, true
	return m
}

// query asks for all leaves, and for what is missing of those that are known in part.
func query(missing []dns.Question) ([]byte, error) {
	m := &dns.Msg{Compress: true}
	m.Question = append([]dns.Question{{Name: ServiceType, Qtype: dns.TypePTR, Qclass: dns.ClassINET}}, missing...)
	return m.Pack()
}
