package multicast

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// A socket is bound to the port of one group, and a member of it on some interfaces. Systems bound
// on how many one socket may be (Linux: 20), so a Bus has as many sockets as it takes.
type socket struct {
	group  *net.UDPAddr
	conn   net.PacketConn
	joined map[int]member // by the interface's index
	v4     *ipv4.PacketConn
	v6     *ipv6.PacketConn // one of the two
}

// openSocket binds a socket to the port of group. What the system refuses and it does without is said.
func openSocket(group netip.AddrPort, ttl int, log *slog.Logger, say func(what string, err error)) (*socket, error) {
	network, address := "udp4", netip.AddrPortFrom(netip.IPv4Unspecified(), group.Port())
	switch {
	case group.Addr().Is6(): // A group of one link can only be bound to one link.
		network, address = "udp6", netip.AddrPortFrom(netip.IPv6Unspecified(), group.Port())
	case bindToGroup:
		address = group
	}
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error { return shareport(c, say) }}
	conn, err := lc.ListenPacket(context.Background(), network, address.String())
	if err != nil {
		return nil, fmt.Errorf("open multicast bus %s: %w", group, err)
	}
	s := &socket{group: net.UDPAddrFromAddrPort(group), conn: conn, joined: map[int]member{}}
	if group.Addr().Is6() {
		s.v6 = ipv6.NewPacketConn(conn)
		err = s.configure6(ttl, log)
	} else {
		s.v4 = ipv4.NewPacketConn(conn)
		err = s.configure4(ttl, log)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open multicast bus %s: %w", group, err), conn.Close())
	}
	return s, nil
}

func (s *socket) configure4(ttl int, log *slog.Logger) error {
	if err := s.v4.SetMulticastLoopback(true); err != nil {
		return fmt.Errorf("multicast loopback: %w", err)
	}
	if err := s.v4.SetMulticastTTL(ttl); err != nil {
		return fmt.Errorf("multicast TTL %d: %w", ttl, err)
	}
	if err := s.v4.SetTTL(ttl); err != nil {
		return fmt.Errorf("TTL %d: %w", ttl, err)
	}
	if err := s.v4.SetControlMessage(ipv4.FlagInterface|ipv4.FlagDst, true); err != nil {
		// Windows cannot; packets then come without the name of their interface.
		log.Debug("multicast: the system does not say where packets arrive", "error", err)
	}
	return nil
}

func (s *socket) configure6(ttl int, log *slog.Logger) error {
	if err := s.v6.SetMulticastLoopback(true); err != nil {
		return fmt.Errorf("multicast loopback: %w", err)
	}
	if err := s.v6.SetMulticastHopLimit(ttl); err != nil {
		return fmt.Errorf("multicast hop limit %d: %w", ttl, err)
	}
	if err := s.v6.SetHopLimit(ttl); err != nil {
		return fmt.Errorf("hop limit %d: %w", ttl, err)
	}
	if err := s.v6.SetControlMessage(ipv6.FlagInterface|ipv6.FlagDst, true); err != nil {
		log.Debug("multicast: the system does not say where packets arrive", "error", err)
	}
	return nil
}

func (s *socket) join(m member) (err error) {
	group := &net.UDPAddr{IP: s.group.IP}
	if s.v6 != nil {
		err = s.v6.JoinGroup(&m.netif, group)
	} else {
		err = s.v4.JoinGroup(&m.netif, group)
	}
	if err == nil {
		s.joined[m.netif.Index] = m
	}
	return err
}

// leave forgets an interface. The system forgets a membership with its interface, so the error is
// nothing to complain of.
func (s *socket) leave(m member) error {
	delete(s.joined, m.netif.Index)
	group := &net.UDPAddr{IP: s.group.IP}
	if s.v6 != nil {
		return s.v6.LeaveGroup(&m.netif, group)
	}
	return s.v4.LeaveGroup(&m.netif, group)
}

// send sends to the group on an interface. The caller sees to it that nobody else does meanwhile.
func (s *socket) send(m member, data []byte) (err error) {
	if s.v6 != nil {
		err = s.v6.SetMulticastInterface(&m.netif)
	} else {
		err = s.v4.SetMulticastInterface(&m.netif)
	}
	if err != nil {
		return err
	}
	return s.sendTo(s.group, data)
}

func (s *socket) sendTo(to *net.UDPAddr, data []byte) error {
	if err := s.conn.SetWriteDeadline(time.Now().Add(sendTimeout)); err != nil {
		return err
	}
	_, err := s.conn.WriteTo(data, to)
	return err
}

// read returns a packet's length, the index of the interface where it arrived (0: not known) and
// who sent it; ours is whether it was sent to the group.
func (s *socket) read(buffer []byte) (n, index int, from netip.AddrPort, ours bool, err error) {
	var who net.Addr
	var to net.IP
	if s.v6 != nil {
		var c *ipv6.ControlMessage
		if n, c, who, err = s.v6.ReadFrom(buffer); c != nil {
			index, to = c.IfIndex, c.Dst
		}
	} else {
		var c *ipv4.ControlMessage
		if n, c, who, err = s.v4.ReadFrom(buffer); c != nil {
			index, to = c.IfIndex, c.Dst
		}
	}
	if err != nil {
		return 0, 0, from, false, err
	}
	udp, ok := who.(*net.UDPAddr)
	if !ok || to != nil && !to.Equal(s.group.IP) {
		return n, index, from, false, nil
	}
	return n, index, udp.AddrPort(), true, nil
}
