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
)

// ErrNoInterface is what sending comes to while there is no interface to send on.
var ErrNoInterface = errors.New("no interface that is up and has an address")

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

// A Bus is a member of a multicast group, or of one of IPv4 and one of IPv6. Its methods may be
// called from any goroutine.
type Bus struct {
	config    Config
	packets   chan Packet
	ctx       context.Context // ends with Close
	cancel    context.CancelFunc
	watching  sync.WaitGroup
	receiving sync.WaitGroup
	count     counters
	sieve     sieve

	mu       sync.Mutex          // also held while sending, as the interface to send on is the socket's
	sockets  []*socket           // those of IPv4 first
	problems map[concern]trouble // what was logged last
	names    atomic.Pointer[map[int]string]
}

// Open joins the groups. It fails when no socket can be opened; an interface that cannot be
// joined, or none at all, is logged and tried again at the next look at the interfaces. A system
// without IPv6, or without IPv4, does with the other.
func Open(config Config) (*Bus, error) {
	config, err := config.normalize()
	if err != nil {
		return nil, err
	}
	b := &Bus{config: config, packets: make(chan Packet, queueLength), problems: map[concern]trouble{}}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	b.names.Store(&map[int]string{})
	var failed []error
	for _, group := range []netip.AddrPort{config.Group, config.Group6} {
		if !group.IsValid() {
			continue
		}
		if err := b.addSocket(group); err != nil {
			failed = append(failed, err)
		}
	}
	switch {
	case len(b.sockets) == 0:
		b.cancel()
		return nil, errors.Join(failed...)
	case len(failed) > 0:
		config.Logger.Info("multicast: one version of IP is not used", "error", errors.Join(failed...))
	}
	b.rescan()
	b.watching.Go(func() { b.watch(b.ctx) })
	go func() { // ends with Close, which waits for it
		<-b.ctx.Done()
		b.receiving.Wait()
		close(b.packets)
	}()
	return b, nil
}

// addSocket opens one more socket of a group. The caller holds mu, or is alone.
func (b *Bus) addSocket(group netip.AddrPort) error {
	s, err := openSocket(group, b.config.TTL, b.config.Logger, func(what string, err error) { b.problem(what, "", err) })
	if err != nil {
		return err
	}
	b.sockets = append(b.sockets, s)
	b.receiving.Go(func() { b.receive(b.ctx, s) })
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
	if b.ctx.Err() != nil {
		return fmt.Errorf("send to %s: %w", b.config.Group, net.ErrClosed)
	}
	var errs []error
	sent := false
	for _, s := range b.sockets {
		for index, m := range s.joined {
			if !on(index) {
				continue
			}
			err := s.send(m, data)
			b.problem("send", s.on(m), err)
			if err != nil {
				errs = append(errs, fmt.Errorf("on %s: %w", m.netif.Name, err))
				continue
			}
			sent = true
		}
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

// SendTo sends a packet to one address, from the group's port.
func (b *Bus) SendTo(data []byte, to netip.AddrPort) error {
	if err := b.sendable(data); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ctx.Err() != nil {
		return fmt.Errorf("send to %s: %w", to, net.ErrClosed)
	}
	for _, s := range b.sockets {
		if (s.v6 != nil) != to.Addr().Unmap().Is6() {
			continue
		}
		if err := s.sendTo(net.UDPAddrFromAddrPort(to), data); err != nil {
			return fmt.Errorf("send to %s: %w", to, err)
		}
		b.count.sent.Add(1)
		return nil
	}
	return fmt.Errorf("send to %s: this bus has no socket of that version of IP", to)
}

func (b *Bus) sendable(data []byte) error {
	if len(data) == 0 || len(data) > b.config.MaxPacket {
		return fmt.Errorf("send to %s: the packet has %d bytes, want 1 to %d", b.config.Group, len(data), b.config.MaxPacket)
	}
	return nil
}

// Close leaves the groups and waits for everything to end. Packets is closed then.
func (b *Bus) Close() error {
	b.cancel()
	b.watching.Wait() // From here on no socket is added.
	var errs []error
	b.mu.Lock()
	for _, s := range b.sockets {
		if err := s.conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	b.mu.Unlock()
	b.receiving.Wait()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close multicast bus %s: %w", b.config.Group, err)
	}
	return nil
}
