package leaf

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	// Who has connected begins at once to speak TLS, or HTTP; a browser's user thinks later.
	silencePatience = 10 * time.Second
	mostOpen        = 1024 // Connections of the discovery listener, if there are descriptors for them.
	mostOpenShare   = 8    // What one address may have of those: a part of so many.
)

// guarded is a listener that cannot be filled up by a few who connect and say nothing: each
// address may have its part of the connections, each connection has a moment to begin, and all
// together take a quarter of this process's descriptors at most.
type guarded struct {
	net.Listener
	silence time.Duration
	*turnstile
}

// Guard is ln for who serves a manifest beside a leaf: connections that say nothing are cut after 10 s, and those that are open take a
// quarter of this process's descriptors at most, and from one address an eighth of these (loopback excepted).
func Guard(ln net.Listener) net.Listener { return guard(ln) }

func guard(ln net.Listener) *guarded {
	most := mostHalfOpen()
	return &guarded{Listener: ln, silence: silencePatience, turnstile: newTurnstile(most, most/mostOpenShare)}
}

// turnstile counts who is in: so many at most, and share of them from one address.
type turnstile struct {
	most, share int

	mu   sync.Mutex
	open int
	from map[netip.Addr]int
}

func newTurnstile(most, share int) *turnstile {
	return &turnstile{most: most, share: max(1, share), from: map[netip.Addr]int{}}
}

// Accept closes connections that are too many at once, and returns the next one that is not.
func (g *guarded) Accept() (net.Conn, error) {
	for {
		conn, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := source(conn.RemoteAddr())
		if !g.enter(from) {
			conn.Close()
			continue
		}
		c := &guardedConn{Conn: conn, leave: sync.OnceFunc(func() { g.leave(from) })}
		c.timer = time.AfterFunc(time.Hour, func() { c.Close() })
		c.timer.Reset(g.silence) // Only now may it be over: Close looks at the timer.
		return c, nil
	}
}

func (g *turnstile) enter(from netip.Addr) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	share := g.share
	if from.IsLoopback() {
		share = g.most // Who is on this machine has other ways to be in its way.
	}
	if g.open >= g.most || g.from[from] >= share {
		return false
	}
	g.open++
	g.from[from]++
	return true
}

func (g *turnstile) leave(from netip.Addr) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open--
	if g.from[from]--; g.from[from] == 0 {
		delete(g.from, from)
	}
}

// source is who counts as one: an IPv6 host has as many addresses as it likes in its network.
func source(a net.Addr) netip.Addr {
	var addr netip.Addr
	switch a := a.(type) {
	case *net.TCPAddr:
		addr = a.AddrPort().Addr()
	case *net.UDPAddr:
		addr = a.AddrPort().Addr()
	}
	return sourceOf(addr)
}

func sourceOf(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	if addr.Is6() && !addr.IsLoopback() && !addr.IsLinkLocalUnicast() {
		if p, err := addr.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return addr
}

// guardedConn ends unless its first byte comes soon.
type guardedConn struct {
	net.Conn
	timer *time.Timer
	leave func()
}

func (c *guardedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.timer.Stop()
	}
	return n, err
}

func (c *guardedConn) Close() error {
	c.timer.Stop()
	defer c.leave()
	return c.Conn.Close()
}
