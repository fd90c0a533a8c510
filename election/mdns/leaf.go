package mdns

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode/utf16"
)

const (
	// ServiceType is what leaves are announced as.
	ServiceType = "_kinopio-leaf._tcp.local."
	// TTL is how long an announcement holds.
	TTL = 4 * time.Second
	// Unmeasured is the RTT of a leaf that knows none.
	Unmeasured = -1

	ttlSeconds      = uint32(TTL / time.Second)
	maxPacket       = 1400 // bytes: no announcement is fragmented
	namespaceLength = 48
	instanceLength  = 12
	targetLength    = 16
)

// A Leaf is what is announced: the fields of the TXT record, and what the others say.
type Leaf struct {
	Namespace string // ns; not empty
	NodeID    string // node; not empty
	Host      string // host: the advertised hostname
	Epoch     int64  // epoch, at least 0
	// Lease is when the leadership ends, in milliseconds; zero when that is not known.
	Lease             time.Time
	WebSocketPort     uint16 // wssp
	WebSocketProtocol string // wsproto: ws or wss
	DiscoveryProtocol string // discproto: http or https
	// RTT to the backbone in whole milliseconds, or Unmeasured.
	RTT int
	// Port is that of the manifest (SRV).
	Port uint16
	// Address is the leaf's on the LAN (A or AAAA), without a zone.
	Address netip.Addr
	// Extra are other keys of the TXT record with their values, as many as fit. The keys
	// are lower-case ASCII without "=".
	Extra map[string]string
}

// Instance returns the name under which a leaf is announced. Two nodes may share it, as it has
// the beginnings of both names only; the TXT record has them whole.
func Instance(namespace, nodeID string) string {
	return label(namespace, namespaceLength) + "-" + label(nodeID, instanceLength) + "." + ServiceType
}

// Target returns the host name of a node's leaf.
func Target(nodeID string) string {
	return "kinopio-" + label(nodeID, targetLength) + ".local."
}

// label keeps what may stand in a host name, lower-case, and makes a hyphen of each other
// UTF-16 unit, as JavaScript counts.
func label(name string, most int) string {
	var b strings.Builder
	for _, r := range strings.ToLower(name) {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			b.WriteRune(r)
		} else {
			b.WriteString(strings.Repeat("-", max(1, utf16.RuneLen(r))))
		}
	}
	return b.String()[:min(most, b.Len())]
}

// check says what is wrong with a leaf that is to be announced, or was heard of.
func (l Leaf) check() error {
	switch {
	case l.Namespace == "":
		return fmt.Errorf("field Namespace is empty, want the discovery namespace")
	case l.NodeID == "":
		return fmt.Errorf("field NodeID is empty, want the node's identity")
	case l.Epoch < 0:
		return fmt.Errorf("field Epoch is %d, want at least 0", l.Epoch)
	case l.WebSocketPort == 0:
		return fmt.Errorf("field WebSocketPort is 0, want the leaf's WebSocket port")
	case l.WebSocketProtocol != "ws" && l.WebSocketProtocol != "wss":
		return fmt.Errorf("field WebSocketProtocol is %q, want ws or wss", l.WebSocketProtocol)
	case l.DiscoveryProtocol != "http" && l.DiscoveryProtocol != "https":
		return fmt.Errorf("field DiscoveryProtocol is %q, want http or https", l.DiscoveryProtocol)
	case l.RTT < Unmeasured:
		return fmt.Errorf("field RTT is %d, want milliseconds, or %d for none", l.RTT, Unmeasured)
	case l.Port == 0:
		return fmt.Errorf("field Port is 0, want the manifest's port")
	case !l.Address.IsValid() || l.Address.Is4In6() || l.Address.Zone() != "" || l.Address.IsUnspecified() || l.Address.IsMulticast():
		return fmt.Errorf("field Address is %s, want an address of one host, without a zone", l.Address)
	}
	return nil
}
