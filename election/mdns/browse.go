package mdns

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// Bounds of what is remembered. Announcements that come in one packet, as leaves send them,
// need no memory: a flood of names that fills it does not silence them.
const (
	maxInstances = 256
	maxHosts     = 256
	maxKept      = 2 * time.Minute // whatever others say for how long their records hold
	maxFollowUps = 4               // questions a query
	maxTouched   = 64              // instances a packet
)

// An Announcement is what was heard of a leaf.
type Announcement struct {
	Leaf // of a goodbye only what is known
	// Instance is the full name, lower-case, such as studio-0f3a._kinopio-leaf._tcp.local.
	Instance string
	// TTL is how long this holds from now on. It is 0 in a goodbye.
	TTL time.Duration
	// Goodbye: the leaf says that it goes.
	Goodbye bool
	// From is the address that it was sent from, Interface where it arrived.
	From      netip.AddrPort
	Interface string
}

// browser puts records together. It belongs to one goroutine.
type browser struct {
	instances map[string]*instance
	hosts     map[string]host // by SRV target
}

// instance is what is known of one name.
type instance struct {
	srv, txt       dns.RR
	srvEnd, txtEnd time.Time
	ptrEnd, end    time.Time // end: of anything
}

type host struct {
	address netip.Addr
	end     time.Time
}

// hear returns what a response says, and an error for each leaf that it says badly.
func (b *browser) hear(m *dns.Msg, now time.Time) (heard []Announcement, bad []error) {
	if !m.Response || m.Opcode != dns.OpcodeQuery || m.Rcode != dns.RcodeSuccess {
		return nil, nil
	}
	if b.instances == nil {
		b.instances, b.hosts = map[string]*instance{}, map[string]host{}
	}
	b.forget(now)
	var (
		touched []string
		goodbye = map[string]bool{}
		passing = map[string]*instance{} // for which there is no room
		nearby  = map[string]host{}
	)
	at := func(name string) *instance {
		i := b.instances[name]
		if i == nil {
			i = passing[name]
		}
		if i == nil {
			i = &instance{}
			if len(b.instances) < maxInstances {
				b.instances[name] = i
			} else {
				passing[name] = i
			}
		}
		return i
	}
	for _, rr := range slices.Concat(m.Answer, m.Extra) {
		h := rr.Header()
		if h.Class&^cacheFlush != dns.ClassINET {
			continue
		}
		end := now.Add(min(time.Duration(h.Ttl)*time.Second, maxKept))
		name := dns.CanonicalName(h.Name)
		if ip, ok := addressIn(rr); ok {
			// Who has both is told of by that of IPv4.
			if ip.IsValid() && h.Ttl > 0 && !(ip.Is6() && nearby[name].address.Is4()) {
				nearby[name] = host{ip, end}
				if _, known := b.hosts[name]; known || len(b.hosts) < maxHosts {
					b.hosts[name] = nearby[name]
				}
			}
			continue
		}
		if ptr, ok := rr.(*dns.PTR); ok && name == ServiceType {
			name = dns.CanonicalName(ptr.Ptr)
		} else if ok {
			continue
		}
		if !strings.HasSuffix(name, "."+ServiceType) {
			continue
		}
		switch rr.(type) {
		case *dns.PTR, *dns.SRV, *dns.TXT:
		default:
			continue
		}
		if !slices.Contains(touched, name) {
			if len(touched) == maxTouched {
				continue
			}
			touched = append(touched, name)
		}
		i := at(name)
		i.end = later(i.end, end)
		switch rr := rr.(type) {
		case *dns.PTR:
			i.ptrEnd = end
			goodbye[name] = goodbye[name] || h.Ttl == 0
		case *dns.SRV:
			i.srv, i.srvEnd = rr, end
			goodbye[name] = goodbye[name] || h.Ttl == 0
		case *dns.TXT:
			i.txt, i.txtEnd = rr, end
		}
	}
	for _, name := range touched {
		i := at(name)
		a, ready, err := b.complete(name, i, nearby, now, goodbye[name])
		switch {
		case goodbye[name]:
			delete(b.instances, name)
			heard = append(heard, a)
		case err != nil:
			bad = append(bad, err)
		case ready:
			heard = append(heard, a)
		}
	}
	return heard, bad
}

// addressIn is that of a record which has one; it is not valid if the record is damaged.
func addressIn(rr dns.RR) (ip netip.Addr, ok bool) {
	switch rr := rr.(type) {
	case *dns.A:
		ip, _ = netip.AddrFromSlice(rr.A)
		return ip.Unmap(), true
	case *dns.AAAA:
		ip, _ = netip.AddrFromSlice(rr.AAAA)
		if ip.Is4In6() {
			ip = netip.Addr{}
		}
		return ip, true
	}
	return ip, false
}

// complete puts together what is known of a name; ready is whether that is all.
func (b *browser) complete(name string, i *instance, nearby map[string]host, now time.Time, goodbye bool) (a Announcement, ready bool, err error) {
	a = Announcement{Instance: name, Goodbye: goodbye, Leaf: Leaf{RTT: Unmeasured}}
	srv, _ := i.srv.(*dns.SRV)
	txt, _ := i.txt.(*dns.TXT)
	if txt != nil {
		text := make([]string, len(txt.Txt))
		for k, s := range txt.Txt {
			text[k] = unescape(s)
		}
		err = a.readText(text)
	}
	var h host
	if srv != nil {
		a.Port = srv.Port
		target := dns.CanonicalName(srv.Target)
		h = nearby[target]
		if !h.address.IsValid() {
			h = b.hosts[target]
		}
		a.Address = h.address
	}
	if goodbye || err != nil {
		return a, true, instanceError(name, err)
	}
	end := earliest(i.ptrEnd, i.srvEnd, i.txtEnd, h.end)
	if !end.After(now) {
		return a, false, nil
	}
	a.TTL = end.Sub(now)
	return a, true, instanceError(name, a.check())
}

// missing returns questions for what instances lack that are known in part.
func (b *browser) missing(now time.Time) (questions []dns.Question) {
	b.forget(now)
	for name, i := range b.instances {
		if len(questions) >= maxFollowUps {
			break
		}
		ask := func(name string, qtype uint16) {
			questions = append(questions, dns.Question{Name: name, Qtype: qtype, Qclass: dns.ClassINET})
		}
		srv, _ := i.srv.(*dns.SRV)
		switch {
		case !i.ptrEnd.After(now): // which the query for all brings
		case srv == nil || !i.srvEnd.After(now) || !i.txtEnd.After(now):
			ask(name, dns.TypeANY)
		case !b.hosts[dns.CanonicalName(srv.Target)].end.After(now):
			ask(dns.CanonicalName(srv.Target), dns.TypeA)
			ask(dns.CanonicalName(srv.Target), dns.TypeAAAA)
		}
	}
	return questions
}

// forget drops what holds no longer.
func (b *browser) forget(now time.Time) {
	maps.DeleteFunc(b.instances, func(_ string, i *instance) bool { return !i.end.After(now) })
	maps.DeleteFunc(b.hosts, func(_ string, h host) bool { return !h.end.After(now) })
}

func instanceError(name string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("announcement of %s: %w", name, err)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// earliest is a zero time if one of them is.
func earliest(first time.Time, others ...time.Time) time.Time {
	for _, t := range others {
		if t.Before(first) {
			first = t
		}
	}
	return first
}
