package multicast

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// A member is an interface on which a group was joined.
type member struct {
	netif     net.Interface
	addresses string // its addresses then, of the group's version of IP
}

// mostSockets bounds what one group may take: with Linux's 20 memberships a socket, 320 interfaces.
const mostSockets = 16

// watch looks at the interfaces now and then.
func (b *Bus) watch(ctx context.Context) {
	ticker := time.NewTicker(b.config.Rescan)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			b.rescan()
		}
	}
}

// rescan joins what appeared or changed and leaves what vanished.
func (b *Bus) rescan() {
	b.mu.Lock()
	defer b.mu.Unlock()
	all, err := net.Interfaces()
	b.problem("list the interfaces", "", err)
	if err != nil || b.ctx.Err() != nil {
		return // and what is joined stays
	}
	b.forget(all)
	for _, group := range []netip.AddrPort{b.config.Group, b.config.Group6} {
		if group.IsValid() {
			b.rescanGroup(group, b.present(all, group.Addr().Is6()))
		}
	}
	names := map[int]string{}
	for _, s := range b.sockets {
		for index, m := range s.joined {
			names[index] = m.netif.Name
		}
	}
	b.names.Store(&names)
	if len(names) > 0 {
		b.problem("join", "", nil)
	} else {
		b.problem("join", "", ErrNoInterface)
	}
}

// forget what was wrong with interfaces that have gone.
func (b *Bus) forget(all []net.Interface) {
	maps.DeleteFunc(b.problems, func(c concern, _ trouble) bool {
		name, version, of := strings.Cut(c.on, " ")
		return of && version != "" && !slices.ContainsFunc(all, func(i net.Interface) bool { return i.Name == name })
	})
}

// rescanGroup brings one group's sockets in step with the interfaces that are present.
func (b *Bus) rescanGroup(group netip.AddrPort, present []member) {
	joined := map[int]bool{}
	for _, s := range b.of(group) {
		for index, old := range maps.Clone(s.joined) {
			if slices.ContainsFunc(present, old.same) {
				joined[index] = true
				continue
			}
			if err := s.leave(old); err != nil {
				b.config.Logger.Debug("multicast: leave", "interface", old.netif.Name, "error", err)
			}
			b.config.Logger.Debug("multicast: left", "interface", old.netif.Name)
		}
	}
	for _, m := range present {
		if joined[m.netif.Index] {
			continue
		}
		err := b.join(group, m)
		b.problem("join", m.netif.Name+" "+version(group.Addr().Is6()), err)
		if err == nil {
			b.config.Logger.Debug("multicast: joined", "interface", m.netif.Name, "addresses", m.addresses)
		}
	}
}

func (m member) same(other member) bool {
	return m.netif.Index == other.netif.Index && m.netif.Name == other.netif.Name && m.addresses == other.addresses
}

func version(six bool) string {
	if six {
		return "IPv6"
	}
	return "IPv4"
}

// on names an interface in a concern.
func (s *socket) on(m member) string { return m.netif.Name + " " + version(s.v6 != nil) }

func (b *Bus) of(group netip.AddrPort) (sockets []*socket) {
	for _, s := range b.sockets {
		if (s.v6 != nil) == group.Addr().Is6() {
			sockets = append(sockets, s)
		}
	}
	return sockets
}

// join makes a socket of the group a member on an interface: one that has room, or a further one.
func (b *Bus) join(group netip.AddrPort, m member) error {
	sockets := b.of(group)
	if len(sockets) == 0 { // The system has not got this version of IP; it may come.
		if err := b.addSocket(group); err != nil {
			return err
		}
		sockets = b.of(group)
	}
	var err error
	for _, s := range sockets {
		if err = s.join(m); !errors.Is(err, noRoom) {
			return err
		}
	}
	if len(sockets) == mostSockets {
		return fmt.Errorf("%d sockets have no room for another interface: %w", mostSockets, err)
	}
	if more := b.addSocket(group); more != nil {
		return errors.Join(err, more)
	}
	return b.sockets[len(b.sockets)-1].join(m)
}

// present returns the interfaces that a packet can be sent on by one version of IP, those of the
// lowest index first. By IPv6 loopback has no multicast, and ports of bridges, which have an
// address of their own there, lead where their bridge leads.
func (b *Bus) present(all []net.Interface, six bool) (present []member) {
	for _, netif := range all {
		loopback := netif.Flags&net.FlagLoopback != 0
		if netif.Flags&net.FlagUp == 0 || netif.Flags&net.FlagMulticast == 0 && !loopback || six && (loopback || isPort(netif.Name)) || !b.config.Interfaces(netif.Name) {
			continue
		}
		addresses, err := addressesOf(netif, six)
		if err != nil { // such as that it has just vanished
			b.config.Logger.Debug("multicast: addresses", "interface", netif.Name, "error", err)
		}
		if len(addresses) > 0 {
			present = append(present, member{netif, strings.Join(addresses, " ")})
		}
	}
	return present
}

func addressesOf(netif net.Interface, six bool) (addresses []string, err error) {
	all, err := netif.Addrs()
	if err != nil {
		return nil, err
	}
	for _, a := range all {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Addr().Unmap().Is6() == six {
			addresses = append(addresses, prefix.String())
		}
	}
	slices.Sort(addresses)
	return addresses, nil
}

func (b *Bus) interfaces() (names []string) {
	known := *b.names.Load()
	for _, index := range slices.Sorted(maps.Keys(known)) {
		names = append(names, known[index])
	}
	return names
}

// A concern is what can be wrong: something, on an interface or on "" all of them.
type concern struct{ what, on string }

// wrong says what does not work at the moment. What cannot be sent on an interface that has just
// come, whose address is still being checked, is not said.
func (b *Bus) wrong() (all []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for c, problem := range b.problems {
		if !problem.since.Add(2 * b.config.Rescan).After(time.Now()) {
			all = append(all, strings.TrimSpace("multicast: "+c.what+" "+c.on)+": "+problem.text)
		}
	}
	slices.Sort(all)
	return all
}

// A trouble is what is wrong, and since when.
type trouble struct {
	text  string
	since time.Time
}

// problem logs what is wrong with something when that changes; a nil error is that nothing is.
// The caller holds mu.
func (b *Bus) problem(what, on string, err error) {
	key := concern{what, on}
	old, had := b.problems[key]
	switch {
	case err == nil && had:
		delete(b.problems, key)
		b.config.Logger.Info("multicast: "+what+" works again", "group", b.config.Group, "on", on)
	case err != nil && old.text != err.Error():
		b.problems[key] = trouble{err.Error(), time.Now()}
		b.config.Logger.Warn("multicast: "+what+" failed", "group", b.config.Group, "on", on, "error", err)
	}
}
