package hub

import (
	"encoding/base64"
	"net/netip"
	"net/url"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/plainjson"
	"github.com/kinopio-hub/kinopio-hub/v3/transport"
)

const (
	waysMost    = 8        // addresses of a leaf that are looked at
	hashesMost  = 4        // of each
	rootPEMMost = 16 << 10 // bytes
)

// readReach reads how else a leaf may be reached, and whom to trust there.
func readReach(r *plainjson.Reader) transport.Reach {
	var reach transport.Reach
	for _, one := range r.Objects("webTransport") {
		way := transport.WebTransport{URL: one.Text("url")}
		for _, hash := range one.Texts("certificateHashes") {
			if sum, err := base64.StdEncoding.DecodeString(hash); err == nil && len(sum) == 32 && len(way.Hashes) < hashesMost {
				way.Hashes = append(way.Hashes, hash)
			}
		}
		if len(way.Hashes) > 0 && len(reach.WebTransport) < waysMost {
			reach.WebTransport = append(reach.WebTransport, way)
		}
	}
	if pem := r.Text("rootPem"); len(pem) <= rootPEMMost {
		reach.RootPEM = pem
	}
	return reach
}

// usableReach is what of reach may be used by who has it from the manifest at address: nothing from one that
// anybody on the way may have written, no way that does not lead to the local network, or for which the
// browser would ask its user.
func (h *Hub) usableReach(reach *transport.Reach, address string) *transport.Reach {
	from, err := url.Parse(address)
	if err != nil || reach == nil || from.Scheme != "https" && where(from.Hostname()) != onLoopback {
		return nil
	}
	usable := &transport.Reach{RootPEM: reach.RootPEM}
	page := access{h: h}
	for _, way := range reach.WebTransport {
		if h.cfg.Page == nil {
			break
		}
		to, err := url.Parse(way.URL)
		if err != nil || to.Scheme != "https" || to.User != nil {
			continue
		}
		if _, err := netip.ParseAddr(to.Hostname()); err != nil || mayLeadTo("wss://"+to.Host, address, nil) != nil {
			continue
		}
		if v, _ := page.judge(way.URL); v == mayGo {
			usable.WebTransport = append(usable.WebTransport, way)
		}
	}
	return usable
}

// way is by which way the connection goes, in words, "" where there was no choice.
func (l *link) way() string {
	if w, ok := l.wire.(*protoWire); ok {
		if d, ok := w.conn.(transport.Described); ok {
			return d.Description()
		}
	}
	return ""
}
