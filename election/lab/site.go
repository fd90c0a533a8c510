package lab

import (
	"fmt"
	"net/netip"
	"os/exec"
)

// internet is the network that sites are behind: one for documentation (RFC 5737), which no program takes for private.
const internet = "203.0.113."

// Public makes a host on the internet between the sites, at 203.0.113.<last>, of 1 to 99.
func (n *Network) Public(name string, last int) *Host {
	n.t.Helper()
	h := n.Lonely(name)
	h.plugAt("eth0", "internet", fmt.Sprint(internet, last))
	return h
}

// A Site is a LAN behind a router with NAT, by nftables. All sites have the same addresses inside, 192.168.1.0/24.
type Site struct {
	Name   string
	Router *Host
	// Address is that at which the internet sees the site.
	Address netip.Addr
}

// Site makes one without hosts. It skips the test where there is no nft.
func (n *Network) Site(name string) *Site {
	n.t.Helper()
	if _, err := exec.LookPath("nft"); err != nil {
		n.t.Skipf("this test makes NAT: the command nft is missing; the Debian package nftables brings it: %v", err)
	}
	n.sites++
	s := &Site{Name: name, Router: n.Lonely(name + "-router"), Address: netip.MustParseAddr(fmt.Sprint(internet, 100+n.sites))}
	s.Router.plugAt("wan", "internet", s.Address.String())
	s.Router.plugAt("inside", name, "192.168.1.1")
	s.Router.do("sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
	s.Router.do("nft", "add table ip nat; add chain ip nat out { type nat hook postrouting priority 100; }; add rule ip nat out oifname wan masquerade")
	return s
}

// Host makes a host of the site, at 192.168.1.<last>, of 2 to 254.
func (s *Site) Host(last int) *Host {
	s.Router.t.Helper()
	h := s.Router.network.Lonely(fmt.Sprint(s.Name, last))
	h.plugAt("eth0", s.Name, fmt.Sprint("192.168.1.", last))
	h.IP("route", "add", "default", "via", "192.168.1.1")
	return h
}

// DropUDP makes a firewall before a host drop what comes to it by UDP: it sends, and nobody answers.
func (h *Host) DropUDP() {
	h.t.Helper()
	h.do("nft", "add table inet wall; add chain inet wall in { type filter hook input priority 0; }; add rule inet wall in iifname eth0 meta l4proto udp drop")
}

// plugAt is Plug with an address of one's own, in a network of 24 bits.
func (h *Host) plugAt(netif, segment, address string) {
	h.t.Helper()
	h.Plug(netif, segment)
	h.Readdress(netif, netip.MustParsePrefix(address+"/24"))
	if netif == "eth0" {
		h.Address = netip.MustParseAddr(address)
	}
}

// do runs a program in the host.
func (h *Host) do(program string, args ...string) {
	h.t.Helper()
	if out, err := h.Command(h.t.Context(), program, args...).CombinedOutput(); err != nil {
		h.t.Fatalf("%s on %s: %v: %s", program, h.Name, err, out)
	}
}
