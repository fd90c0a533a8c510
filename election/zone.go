package election

import (
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// A link-local IPv6 address (fe80::…) is one of a link, and which link that is each host says in a
// way of its own: the zone in fe80::1%eth0. What others write there means nothing here.

// bare is host without a zone.
func bare(host string) string {
	if a, err := netip.ParseAddr(host); err == nil {
		return a.WithZone("").String()
	}
	return host
}

// inZone writes into the manifest's URLs where this host has what came by an interface.
func (m *Manifest) inZone(netif string) {
	for _, at := range []*string{&m.DiscoveryURL, &m.WSSURL, &m.WebsocketURL} {
		*at = inZone(*at, netif)
	}
	if a, ok := linkLocal(m.AdvertisedHostname); ok {
		m.AdvertisedHostname = a.WithZone(zoneFor(a, netif)).String()
	}
}

func inZone(address, netif string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	a, ok := linkLocal(u.Hostname())
	if !ok {
		return address
	}
	host := a.WithZone(zoneFor(a, netif)).String()
	if u.Port() != "" {
		u.Host = net.JoinHostPort(host, u.Port())
	} else {
		u.Host = "[" + host + "]"
	}
	return u.String()
}

// linkLocal returns the address that host is, without a zone, if that is a link-local one of IPv6.
func linkLocal(host string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(host)
	a = a.WithZone("")
	return a, err == nil && a.Is6() && !a.Is4In6() && a.IsLinkLocalUnicast()
}

// zoneFor is the zone of an address: that of the interface which has it, if it is one of this host,
// and netif otherwise.
func zoneFor(a netip.Addr, netif string) string {
	all, err := net.Interfaces()
	if err != nil {
		return zoneName(netif)
	}
	for _, i := range all {
		addresses, err := i.Addrs()
		if err != nil {
			continue // It has just gone.
		}
		for _, of := range addresses {
			if p, err := netip.ParsePrefix(of.String()); err == nil && p.Addr() == a {
				return zoneName(i.Name)
			}
		}
	}
	return zoneName(netif)
}

// zoneName is an interface as it may stand in a URL that others change to lower case: by its name, or
// by its index if the name has other characters.
func zoneName(netif string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || strings.ContainsRune("-._", r)
	}
	if !strings.ContainsFunc(netif, func(r rune) bool { return !plain(r) }) {
		return netif
	}
	i, err := net.InterfaceByName(netif)
	if err != nil {
		return ""
	}
	return strconv.Itoa(i.Index)
}
