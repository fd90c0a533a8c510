package multicast

import (
	"context"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// A member is an interface on which the group was joined.
type member struct {
	netif     net.Interface
	addresses string // its IPv4 addresses then
}

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
	present, err := b.present()
	b.problem("list the interfaces", "", err)
	if err != nil {
		return // and what is joined stays
	}
	// What was wrong with an interface that has gone is forgotten.
	maps.DeleteFunc(b.problems, func(c concern, _ string) bool {
		return c.on != "" && !slices.ContainsFunc(slices.Collect(maps.Values(present)), func(m member) bool { return m.netif.Name == c.on })
	})
	group := &net.UDPAddr{IP: b.group.IP}
	for index, old := range b.joined {
		if m, ok := present[index]; ok && m.addresses == old.addresses && m.netif.Name == old.netif.Name {
			continue
		}
		// The system forgets a membership with its interface, so this may fail.
		if err := b.pc.LeaveGroup(&old.netif, group); err != nil {
			b.config.Logger.Debug("multicast: leave", "interface", old.netif.Name, "error", err)
		}
		delete(b.joined, index)
		b.config.Logger.Debug("multicast: left", "interface", old.netif.Name)
	}
	for _, index := range slices.Sorted(maps.Keys(present)) {
		m := present[index]
		if _, ok := b.joined[index]; ok {
			continue
		}
		err := b.pc.JoinGroup(&m.netif, group)
		b.problem("join", m.netif.Name, err)
		if err != nil {
			continue
		}
		b.joined[index] = m
		b.config.Logger.Debug("multicast: joined", "interface", m.netif.Name, "addresses", m.addresses)
	}
	if len(b.joined) > 0 {
		b.problem("join", "", nil)
	} else {
		b.problem("join", "", ErrNoInterface)
	}
	names := make(map[int]string, len(b.joined))
	for index, m := range b.joined {
		names[index] = m.netif.Name
	}
	b.names.Store(&names)
}

// present returns the interfaces that a packet can be sent on, by index.
func (b *Bus) present() (map[int]member, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	present := map[int]member{}
	for _, netif := range all {
		if netif.Flags&net.FlagUp == 0 || netif.Flags&(net.FlagMulticast|net.FlagLoopback) == 0 || !b.config.Interfaces(netif.Name) {
			continue
		}
		addresses, err := ipv4Addresses(netif)
		if err != nil { // such as that it has just vanished
			b.config.Logger.Debug("multicast: addresses", "interface", netif.Name, "error", err)
		}
		if len(addresses) == 0 {
			continue
		}
		present[netif.Index] = member{netif, strings.Join(addresses, " ")}
	}
	return present, nil
}

func ipv4Addresses(netif net.Interface) (addresses []string, err error) {
	all, err := netif.Addrs()
	if err != nil {
		return nil, err
	}
	for _, a := range all {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Addr().Is4() {
			addresses = append(addresses, prefix.String())
		}
	}
	slices.Sort(addresses)
	return addresses, nil
}

func (b *Bus) interfaces() (names []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, index := range slices.Sorted(maps.Keys(b.joined)) {
		names = append(names, b.joined[index].netif.Name)
	}
	return names
}

// A concern is what can be wrong: something, on an interface or on "" all of them.
type concern struct{ what, on string }

// problem logs what is wrong with something when that changes; a nil error is that nothing is.
// The caller holds mu.
func (b *Bus) problem(what, on string, err error) {
	key := concern{what, on}
	old, had := b.problems[key]
	switch {
	case err == nil && had:
		delete(b.problems, key)
		b.config.Logger.Info("multicast: "+what+" works again", "group", b.config.Group, "interface", on)
	case err != nil && old != err.Error():
		b.problems[key] = err.Error()
		b.config.Logger.Warn("multicast: "+what+" failed", "group", b.config.Group, "interface", on, "error", err)
	}
}
