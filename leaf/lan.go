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
}

// lookLAN is how often the addresses of this machine are looked at. Two looks must
// agree before the leaf moves.
const lookLAN = 2 * time.Second

// lanLookup is how a leaf learns of this machine's addresses.
type lanLookup struct {
	detect  func() netip.Addr
	present func() []netip.Addr
	next    func(current, detected netip.Addr, present []netip.Addr) (netip.Addr, bool) // nextLAN.
	every   time.Duration
}

// presentAddrs lists the addresses of all interfaces that are up; nil when the system
// does not tell.
func presentAddrs() []netip.Addr {
	ifaces, err := net.Interfaces()
	if err != nil {
		return nil
	}
	var all []netip.Addr
	for _, i := range ifaces {
		if i.Flags&net.FlagUp == 0 {
			continue
		}
		addrs, _ := i.Addrs() // An interface that has just gone has none.
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil {
				all = append(all, p.Addr().Unmap())
			}
		}
	}
	return all
}

// nextLAN decides where a leaf that is at current shall be: it stays for as long as
// its address is there, or no other is; it leaves loopback as soon as there is a LAN.
func nextLAN(current, detected netip.Addr, present []netip.Addr) (netip.Addr, bool) {
	stay := detected == current || !detected.IsValid() || detected.IsLoopback() || len(present) == 0 ||
		(!current.IsLoopback() && slices.Contains(present, current))
	if stay {
		return current, false
	}
	return detected, true
}

// detectLAN finds the address at which others on the LAN reach this machine, or
// 127.0.0.1. It sends nothing and needs no default route.
func detectLAN() netip.Addr {
	ifaces, err := net.Interfaces()
	if err != nil {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	routed := routedAddr()
	var found []lanAddr
	for _, i := range ifaces {
		if i.Flags&net.FlagUp == 0 || i.Flags&net.FlagLoopback != 0 {
			continue
		}
		addrs, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addrs {
			p, err := netip.ParsePrefix(a.String())
			if err != nil {
				continue
			}
			addr := p.Addr().Unmap()
			found = append(found, lanAddr{
				addr:    addr,
				iface:   i.Name,
				virtual: i.Flags&net.FlagPointToPoint != 0 || virtualName(i.Name),
				routed:  addr == routed,
			})
		}
	}
	return chooseLAN(found)
}

// chooseLAN takes the best of found: private IPv4, then link-local IPv4, then private
// IPv6; within a kind a real interface before a virtual one, then the routed one,
// then the order given. A public address is never chosen unasked, because what
// listens there is open to the internet.
func chooseLAN(found []lanAddr) netip.Addr {
	rank := func(a lanAddr) int {
		r := 0
		switch {
		case a.addr.Is4() && a.addr.IsPrivate():
		case a.addr.Is4() && a.addr.IsLinkLocalUnicast():
			r = 10
		case a.addr.Is6() && a.addr.IsPrivate():
			r = 20
		default:
			return -1
		}
		if a.virtual {
			r += 2
		}
		if !a.routed {
			r++
		}
		return r
	}
	usable := slices.DeleteFunc(slices.Clone(found), func(a lanAddr) bool { return rank(a) < 0 })
	if len(usable) == 0 {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return slices.MinFunc(usable, func(a, b lanAddr) int { return rank(a) - rank(b) }).addr
}

func virtualName(name string) bool {
	for _, prefix := range []string{"docker", "br-", "veth", "virbr", "vmnet", "vboxnet", "vEthernet", "tun", "tap", "utun", "wg", "zt", "tailscale", "cni", "flannel", "cali"} {
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
