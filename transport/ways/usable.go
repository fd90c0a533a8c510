package ways

import (
	"encoding/base64"
	"encoding/json"
	"net/netip"
	"net/url"
)

const (
	mostWays   = 8 // of one server that are looked at
	mostHashes = 4 // of one way
)

// A way is one of a server's ways by WebTransport, as its manifest has it.
type way struct {
	URL               string   `json:"url"`
	CertificateHashes []string `json:"certificateHashes"`
}

func (w way) key() string {
	text, _ := json.Marshal(w) // strings
	return string(text)
}

// usable are those of the ways in a manifest that may be taken to the server at rawURL; whatever is no way is left out.
func usable(manifest, rawURL string) (ways []way) {
	server, err := url.Parse(rawURL)
	if manifest == "" || err != nil {
		return nil
	}
	var said []json.RawMessage
	if json.Unmarshal([]byte(manifest), &said) != nil {
		return nil
	}
	for _, text := range said[:min(len(said), mostWays)] {
		var w way
		if json.Unmarshal(text, &w) == nil && w.leadsTo(server.Hostname()) {
			ways = append(ways, w)
		}
	}
	return ways
}

// leadsTo says whether the way leads to the server's own host, or to an address where a page may go if it may go to the
// server: browsers ask their user about this machine and about the LAN separately.
func (w way) leadsTo(server string) bool {
	u, err := url.Parse(w.URL)
	if err != nil || u.Scheme != "https" || u.User != nil || len(w.CertificateHashes) == 0 || len(w.CertificateHashes) > mostHashes {
		return false
	}
	for _, hash := range w.CertificateHashes {
		if sum, err := base64.StdEncoding.DecodeString(hash); err != nil || len(sum) != 32 {
			return false
		}
	}
	host := u.Hostname()
	if host != "" && host == server {
		return true
	}
	to, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	from, err := netip.ParseAddr(server)
	named := err != nil
	near := server == "localhost" || !named && onLoopback(from)
	return onLoopback(to) && (near || named) || onLAN(to) && !near
}

func onLoopback(a netip.Addr) bool { return a.Unmap().IsLoopback() }

// shared are the addresses of carrier-grade NAT, which browsers count as local (RFC 6598).
var shared = netip.MustParsePrefix("100.64.0.0/10")

func onLAN(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsPrivate() || a.IsLinkLocalUnicast() || shared.Contains(a)
}
