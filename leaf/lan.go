package leaf

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// lanAddr is one address of this machine, with what matters for choosing.
type lanAddr struct {
	addr    netip.Addr
	iface   string
	virtual bool // A container's, a virtual machine's or a tunnel's interface.
	routed  bool // What the system would send from to reach beyond the LAN.
	idle    bool // The interface is up and has no carrier.
}

const (
	// lookLAN is how often the addresses of this machine are looked at. Two looks must agree
	// before the leaf moves.
	lookLAN = 2 * time.Second
	// betterFor is for how long a better kind of address must be there before a leaf leaves one
	// that is there, too: clients are cut, so it should be worth it.
	betterFor = 15 * time.Second
	// goneFor is for how long the LAN must be gone before a leaf takes an address that leads to
	// this machine's own guests or into a tunnel, or one that browsers do not take: on loopback
	// nobody notices until then.
	goneFor = time.Minute
)

// lanLookup is how a leaf learns of this machine's addresses.
type lanLookup struct {
	detect  func() netip.Addr
	present func() []lanAddr
	// next says where a leaf shall be, when that has been so for a time.
	next  func(current, detected netip.Addr, present []lanAddr) (to netip.Addr, after time.Duration)
	every time.Duration
}

// presentAddrs lists the addresses of all interfaces that are up; nil when the system
// does not tell.
func presentAddrs() []lanAddr {
	ifaces, err := net.Interfaces()
	if err != nil {
		return nil
	}
	routed := routedAddr()
	var all []lanAddr
	for _, i := range ifaces {
		if i.Flags&net.FlagUp == 0 {
			continue
		}
		addrs, _ := i.Addrs() // An interface that has just gone has none.
		virtual := false
		if len(addrs) > 0 && i.Flags&net.FlagLoopback == 0 {
			virtual = inside(i)
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				addr := p.Addr().Unmap()
				if ofOneLink(addr) {
					addr = addr.WithZone(i.Name)
				}
				all = append(all, lanAddr{addr: addr, iface: i.Name, virtual: virtual, routed: addr == routed, idle: i.Flags&net.FlagRunning == 0})
			}
		}
	}
	return all
}

// nextLAN decides where a leaf that is at current shall be, and how long that must have been
// so before it moves. It leaves loopback, and a link-local address of IPv6, as soon as there is a LAN, an address that has gone for
// the best that there is, and one that is there only for one of a better kind.
func nextLAN(current, detected netip.Addr, present []lanAddr) (netip.Addr, time.Duration) {
	at := func(addr netip.Addr) int {
		return slices.IndexFunc(present, func(a lanAddr) bool { return a.addr == addr })
	}
	was, is := at(current), at(detected)
	switch {
	case detected == current || !detected.IsValid() || detected.IsLoopback() || len(present) == 0 || is < 0:
		return current, 0
	case current.IsLoopback(), ofOneLink(current) && !ofOneLink(detected):
		return detected, 0
	case was < 0 && (present[is].virtual || ofOneLink(detected)):
		return detected, goneFor
	case was < 0:
		return detected, 0
	case present[is].kind() < present[was].kind():
		return detected, betterFor
	}
	return current, 0
}

// detectLAN finds the address at which others on the LAN reach this machine, or
// 127.0.0.1. It sends nothing and needs no default route.
func detectLAN() netip.Addr {
	return chooseLAN(presentAddrs())
}

// OnMachineOnly says whether a leaf that is started with c now would name URLs that lead to it on this machine only.
func (c Config) OnMachineOnly() bool {
	if c.AdvertisedHostname != "" {
		ip, err := netip.ParseAddr(c.AdvertisedHostname)
		return err == nil && ip.IsLoopback() || strings.EqualFold(c.AdvertisedHostname, "localhost")
	}
	addr, err := netip.ParseAddr(c.LANBindAddress)
	if err != nil || addr.IsUnspecified() {
		addr = detectLAN()
	}
	return addr.IsLoopback()
}

// LANAddress is the address of this machine that a leaf takes unasked: that at which others on the LAN reach it, or
// 127.0.0.1 without one. It sends nothing.
func LANAddress() netip.Addr { return detectLAN() }

// ofOneLink: each interface has such an address (fe80::…%eth0), with a router and without.
func ofOneLink(a netip.Addr) bool { return a.Is6() && a.IsLinkLocalUnicast() }

// kind is what an address is good for, the best first; below 0 it is not taken unasked:
// loopback, and public addresses, because what listens there is open to the internet.
func (a lanAddr) kind() int {
	k := 0
	switch {
	case a.addr.IsLoopback():
		return -1
	case a.addr.Is4() && a.addr.IsPrivate():
	case sharedAddresses.Contains(a.addr):
		k = 1
	case a.addr.Is4() && a.addr.IsLinkLocalUnicast():
		k = 2
	case a.addr.Is6() && a.addr.IsPrivate():
		k = 3
	case ofOneLink(a.addr) && !a.virtual && !a.idle:
		k = 4 // Each interface has one, so it says little, and browsers take none.
	default:
		return -1
	}
	if a.virtual {
		k += 10
	}
	return k
}

// sharedAddresses are those behind a carrier's NAT (RFC 6598), which some LANs have.
var sharedAddresses = netip.MustParsePrefix("100.64.0.0/10")

// chooseLAN takes the best of found: private IPv4, then shared, then link-local IPv4, then
// private and link-local IPv6; what leads to a LAN before bridges of guests and tunnels; within a kind the
// routed one, then the order given.
func chooseLAN(found []lanAddr) netip.Addr {
	rank := func(a lanAddr) int {
		r := 2 * a.kind()
		if !a.routed {
			r++
		}
		return r
	}
	usable := slices.DeleteFunc(slices.Clone(found), func(a lanAddr) bool { return a.kind() < 0 })
	if len(usable) == 0 {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return slices.MinFunc(usable, func(a, b lanAddr) int { return rank(a) - rank(b) }).addr
}

// virtualName is for systems that tell of an interface no more than its name.
func virtualName(name string) bool {
	for _, prefix := range []string{"docker", "br-", "veth", "virbr", "vmnet", "vboxnet", "vEthernet", "tun", "tap", "utun", "wg", "zt", "tailscale", "cni", "flannel", "cali", "awdl", "llw", "anpi", "ap"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// routedAddr asks the system for its own address towards a far one (TEST-NET-1,
// RFC 5737). Connecting a UDP socket sends nothing. Without a route: the zero Addr.
func routedAddr() netip.Addr {
	c, err := net.Dial("udp4", "192.0.2.1:9")
	if err != nil {
		return netip.Addr{}
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap()
}
