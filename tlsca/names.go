package tlsca

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// The addresses that the root may sign for: private use (RFC 1918, RFC 4193), shared by
// carriers (RFC 6598), link-local (RFC 3927, RFC 4291) and loopback.
var privateRanges = [...]string{
	"10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "127.0.0.0/8",
	"fc00::/7", "fe80::/10", "::1/128",
}

func permittedIPs() []*net.IPNet {
	out := make([]*net.IPNet, 0, len(privateRanges))
	for _, r := range privateRanges {
		p := netip.MustParsePrefix(r)
		out = append(out, &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())})
	}
	return out
}

// permittedDNS lists the DNS constraints of a new root. A constraint covers the name
// and everything below it, so a bare label that may be a public top-level domain
// (today or later) is kept out: permitting "dev" would permit half the internet.
func permittedDNS(machine string, hostnames []string) ([]string, error) {
	out := []string{"local", "localhost"}
	add := func(name string) {
		for _, have := range out {
			if name == have || strings.HasSuffix(name, "."+have) {
				return
			}
		}
		out = append(out, name)
	}
	// The machine's name is nobody's wish here: what cannot be permitted is left out.
	if name, err := cleanDNS(machine); err == nil && !maybePublicTLD(name) {
		add(name)
	}
	for _, h := range hostnames {
		if _, err := netip.ParseAddr(h); err == nil {
			continue
		}
		name, err := cleanDNS(h)
		if err != nil {
			return nil, err
		}
		if maybePublicTLD(name) {
			return nil, fmt.Errorf("hostname %q: %w: a single word may be a top-level domain of the internet; use %q or an address",
				h, ErrConstrained, name+".local")
		}
		add(name)
	}
	return out, nil
}

// maybePublicTLD reports whether name is one label that could be delegated at the
// root of the DNS: only letters, or an A-label. ICANN delegates no label with a digit
// or a hyphen otherwise (Applicant Guidebook, section 2.2.1.3.2).
func maybePublicTLD(name string) bool {
	if strings.Contains(name, ".") || name == "localhost" || name == "local" {
		return false
	}
	return strings.HasPrefix(name, "xn--") || !strings.ContainsAny(name, "0123456789-")
}

// cleanDNS returns name in lower case without a final dot, or an error that says what
// is wrong with it as a DNS name.
func cleanDNS(name string) (string, error) {
	clean := strings.ToLower(strings.TrimSuffix(name, "."))
	bad := func(why string) (string, error) {
		return "", fmt.Errorf("hostname %q: %s: use a name such as studio.local, or an IP address", name, why)
	}
	if clean == "" || len(clean) > 253 {
		return bad("must have 1 to 253 characters")
	}
	for label := range strings.SplitSeq(clean, ".") {
		if label == "" || len(label) > 63 {
			return bad("each part between dots must have 1 to 63 characters")
		}
		if label[0] == '-' || label[len(label)-1] == '-' {
			return bad("a part must not begin or end with a hyphen")
		}
		for _, r := range label {
			if (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_' {
				return bad(fmt.Sprintf("character %q is not allowed in a DNS name", r))
			}
		}
	}
	if last := clean[strings.LastIndexByte(clean, '.')+1:]; strings.Trim(last, "0123456789") == "" {
		return bad("looks like an IP address but is not one")
	}
	return clean, nil
}

// Permits returns nil when the root may sign for host, a DNS name or an IP address,
// else an error that wraps [ErrConstrained] and says what it may sign for.
func (ca *CA) Permits(host string) error {
	if addr, err := netip.ParseAddr(host); err == nil {
		return ca.permitsAddr(addr)
	}
	name, err := cleanDNS(host)
	if err != nil {
		return err
	}
	for _, d := range ca.root.PermittedDNSDomains {
		if name == d || strings.HasSuffix(name, "."+d) {
			return nil
		}
	}
	return fmt.Errorf("hostname %q: %w %s, which permits %s and what is below them: use one of these or a private address, or remove %s to make a new root that permits the name (browsers must then trust the new one)",
		host, ErrConstrained, ca.RootFile(), strings.Join(ca.root.PermittedDNSDomains, ", "), ca.dir)
}

func (ca *CA) permitsAddr(addr netip.Addr) error {
	ip := net.IP(addr.Unmap().WithZone("").AsSlice())
	if slices.ContainsFunc(ca.root.PermittedIPRanges, func(n *net.IPNet) bool { return n.Contains(ip) }) {
		return nil
	}
	return fmt.Errorf("address %q: %w %s: use an address in one of %s, or bring your own certificate",
		addr, ErrConstrained, ca.RootFile(), strings.Join(privateRanges[:], ", "))
}
