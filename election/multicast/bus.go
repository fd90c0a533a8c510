package multicast

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/ipv4"
)

// ErrNoInterface is what sending comes to while there is no interface to send on.
var ErrNoInterface = errors.New("no interface that is up and has an IPv4 address")

// sendTimeout ends a send that the system does not take.
const sendTimeout = time.Second

// A Packet is what somebody sent.
type Packet struct {
	Data []byte // the receiver's to keep
	// From is the address of the interface that it was sent on: a host with several
	// interfaces has as many. It says nothing about who the sender is.
	From netip.AddrPort
	// Interface is where it arrived, by name and index; "" and 0 where the system does not
	// say (Windows).
	Interface string
	Index     int
}

// A Bus is a member of a multicast group. Its methods may be called from any goroutine.
type Bus struct {
	config  Config
	group   *net.UDPAddr
	conn    net.PacketConn
	pc      *ipv4.PacketConn
	packets chan Packet
	cancel  context.CancelFunc
	running sync.WaitGroup
	count   counters

	mu       sync.Mutex         // also held while sending, as the interface to send on is the socket's
	joined   map[int]member     // by the interface's index
	problems map[concern]string // what was logged last
	names    atomic.Pointer[map[int]string]
}

// Open joins the group. It fails when the socket cannot be opened; an interface that cannot be
// joined, or none at all, is logged and tried again at the next look at the interfaces.
func Open(config Config) (*Bus, error) {
	config, err := config.normalize()
	if err != nil {
		return nil, err
	}
	address := netip.AddrPortFrom(netip.IPv4Unspecified(), config.Group.Port())
	if bindToGroup {
		address = config.Group
	}
	lc := net.ListenConfig{Control: shareport}
	conn, err := lc.ListenPacket(context.Background(), "udp4", address.String())
	if err != nil {
		return nil, fmt.Errorf("open multicast bus %s: %w", config.Group, err)
	}
	b := &Bus{
		config: config, group: net.UDPAddrFromAddrPort(config.Group),
		conn: conn, pc: ipv4.NewPacketConn(conn),
		packets: make(chan Packet, queueLength),
		joined:  map[int]member{}, problems: map[concern]string{},
	}
	b.names.Store(&map[int]string{})
	if err := b.configure(); err != nil {
		return nil, errors.Join(fmt.Errorf("open multicast bus %s: %w", config.Group, err), conn.Close())
	}
	b.rescan()
	ctx, cancel := context.WithCancel(context.Background())
	b.cancel = cancel
	b.running.Go(func() { b.receive(ctx) })
	b.running.Go(func() { b.watch(ctx) })
	return b, nil
}

func (b *Bus) configure() error {
	if err := b.pc.SetMulticastLoopback(true); err != nil {
		return fmt.Errorf("multicast loopback: %w", err)
	}
	if err := b.pc.SetMulticastTTL(b.config.TTL); err != nil {
		return fmt.Errorf("multicast TTL %d: %w", b.config.TTL, err)
	}
	if err := b.pc.SetTTL(b.config.TTL); err != nil {
		return fmt.Errorf("TTL %d: %w", b.config.TTL, err)
	}
	if err := b.pc.SetControlMessage(ipv4.FlagInterface|ipv4.FlagDst, true); err != nil {
		// Windows cannot; packets then come without the name of their interface.
		b.config.Logger.Debug("multicast: the system does not say where packets arrive", "error", err)
	}
	return nil
}

// Packets are what arrives, the own packets too. It is closed by Close. Who does not read
// loses packets, which [Stats] counts, and blocks nobody.
func (b *Bus) Packets() <-chan Packet { return b.packets }

// Send sends a packet to the group on every interface. The error is nil if that was possible
// on one of them; what failed on the others is logged. It is ErrNoInterface without any, and
// net.ErrClosed after Close.
func (b *Bus) Send(data []byte) error {
	return b.send(data, func(int) bool { return true })
}

// SendOn sends a packet to the group on one interface, by its index; 0 means all.
func (b *Bus) SendOn(index int, data []byte) error {
	return b.send(data, func(i int) bool { return index == 0 || i == index })
}

func (b *Bus) send(data []byte, on func(index int) bool) error {
	if err := b.sendable(data); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var errs []error
	sent := false
	for index, m := range b.joined {
		if !on(index) {
			continue
		}
		err := b.sendLocked(m, data)
		if errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("send to %s: %w", b.config.Group, net.ErrClosed)
		}
		b.problem("send", m.netif.Name, err)
		if err != nil {
			errs = append(errs, fmt.Errorf("on %s: %w", m.netif.Name, err))
			continue
		}
		sent = true
	}
	if sent {
		b.count.sent.Add(1)
		return nil
	}
	if errs == nil {
		errs = []error{ErrNoInterface}
	}
	return fmt.Errorf("send to %s: %w", b.config.Group, errors.Join(errs...))
}

func (b *Bus) sendLocked(m member, data []byte) error {
	if err := b.pc.SetMulticastInterface(&m.netif); err != nil {
		return err
	}
	if err := b.conn.SetWriteDeadline(time.Now().Add(sendTimeout)); err != nil {
		return err
	}
	_, err := b.conn.WriteTo(data, b.group)
	return err
}

// SendTo sends a packet to one address, from the group's port.
func (b *Bus) SendTo(data []byte, to netip.AddrPort) error {
	if err := b.sendable(data); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.conn.SetWriteDeadline(time.Now().Add(sendTimeout)); err != nil {
		return fmt.Errorf("send to %s: %w", to, err)
	}
	if _, err := b.conn.WriteTo(data, net.UDPAddrFromAddrPort(to)); err != nil {
		return fmt.Errorf("send to %s: %w", to, err)
	}
	b.count.sent.Add(1)
	return nil
}

func (b *Bus) sendable(data []byte) error {
	if len(data) == 0 || len(data) > b.config.MaxPacket {
		return fmt.Errorf("send to %s: the packet has %d bytes, want 1 to %d", b.config.Group, len(data), b.config.MaxPacket)
	}
	return nil
}

// Close leaves the group and waits for everything to end. Packets is closed then.
func (b *Bus) Close() error {
	b.cancel()
	err := b.conn.Close()
	b.running.Wait()
	if err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close multicast bus %s: %w", b.config.Group, err)
	}
	return nil
}
