package multicast

import (
	"fmt"
	"log/slog"
	"net/netip"
	"time"
)

// DefaultGroup is the group and port of kinopio-hub's heartbeats, which 2.1.0 uses too.
var DefaultGroup = netip.MustParseAddrPort("239.255.42.99:45217")

// DefaultGroup6 is where the same heartbeats are sent by IPv6: a group of one link that nobody has
// registered, with DefaultGroup's address at its end.
var DefaultGroup6 = netip.MustParseAddrPort("[ff12::efff:2a63]:45217")

// Limits of a Bus. The largest packet is that of multicast DNS (RFC 6762, section 17).
const (
	defaultRescan    = 3 * time.Second
	defaultMaxPacket = 9000
	defaultTTL       = 1 // not beyond the LAN, whatever routers think of the group
	maxDatagram      = 65507
	queueLength      = 256
)

// Config says which group a Bus joins. The zero value is the bus of kinopio-hub's heartbeats.
type Config struct {
	// Group is an IPv4 multicast address and a port, by default DefaultGroup.
	Group netip.AddrPort
	// Group6 is an IPv6 multicast address without a zone and a port, on which the same is sent and
	// heard. By default DefaultGroup6 beside DefaultGroup, and none beside another.
	Group6 netip.AddrPort
	// Rescan is the time between two looks at the interfaces, by default 3 s, at least 10 ms.
	Rescan time.Duration
	// MaxPacket is the size in bytes above which packets are neither sent nor received, by
	// default 9000, at most 65507.
	MaxPacket int
	// TTL is how many hops a packet may take, by default 1, at most 255.
	TTL int
	// KeepRepeats delivers a packet again that came with the same content less than half a
	// second before. By default it is dropped, as one packet arrives on several ways: on each
	// interface that two hosts share.
	KeepRepeats bool
	// Interfaces chooses among the interfaces by name; nil is all.
	Interfaces func(name string) bool
	// Logger hears what goes wrong on an interface while the others go on; nil is silent.
	Logger *slog.Logger
}

// normalize fills in the defaults and refuses what makes no sense.
func (c Config) normalize() (Config, error) {
	if !c.Group.IsValid() {
		c.Group = DefaultGroup
		if !c.Group6.IsValid() {
			c.Group6 = DefaultGroup6
		}
	}
	if !c.Group.Addr().Is4() || !c.Group.Addr().IsMulticast() || c.Group.Port() == 0 {
		return c, fmt.Errorf("open multicast bus: Group is %s, want an IPv4 multicast address (224.0.0.0 to 239.255.255.255) and a port above 0, such as %s", c.Group, DefaultGroup)
	}
	if a := c.Group6.Addr(); c.Group6.IsValid() && (!a.Is6() || a.Is4In6() || a.Zone() != "" || !a.IsMulticast() || c.Group6.Port() == 0) {
		return c, fmt.Errorf("open multicast bus: Group6 is %s, want an IPv6 multicast address (ff00::/8) without a zone and a port above 0, such as %s", c.Group6, DefaultGroup6)
	}
	if c.Rescan == 0 {
		c.Rescan = defaultRescan
	}
	if c.Rescan < 10*time.Millisecond {
		return c, fmt.Errorf("open multicast bus: Rescan is %v, want at least 10ms, or 0 for %v", c.Rescan, defaultRescan)
	}
	if c.MaxPacket == 0 {
		c.MaxPacket = defaultMaxPacket
	}
	if c.MaxPacket < 1 || c.MaxPacket > maxDatagram {
		return c, fmt.Errorf("open multicast bus: MaxPacket is %d bytes, want 1 to %d, or 0 for %d", c.MaxPacket, maxDatagram, defaultMaxPacket)
	}
	if c.TTL == 0 {
		c.TTL = defaultTTL
	}
	if c.TTL < 1 || c.TTL > 255 {
		return c, fmt.Errorf("open multicast bus: TTL is %d, want 1 to 255, or 0 for %d", c.TTL, defaultTTL)
	}
	if c.Interfaces == nil {
		c.Interfaces = func(string) bool { return true }
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
}
