package main

import (
	"cmp"
	"context"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/plainjson"
	"github.com/kinopio-hub/kinopio-hub/v3/transport"
	"github.com/kinopio-hub/kinopio-hub/v3/transport/inbox"
)

// A port is the JavaScript side of the sockets. Its methods return at once; what happens to
// a socket comes back through the methods of [sockets]. Imports implement it, tests fake it.
type port interface {
	// open begins to connect socket id for a hub.
	open(hub, id uint32, url string)
	// send hands p to the socket, which does not keep it. full says that too much waits in
	// it; sockets.drained follows when that is over.
	send(id uint32, p []byte) (full bool)
	// close ends the socket; nothing follows.
	close(id uint32)
}

// How a socket ended, as JavaScript tells it.
const (
	endClean uint32 = iota
	endUnclean
	endUnreachable
	endUntrusted
	endHandshake
	endURL
)

// sockets are all WebSockets of the page.
type sockets struct {
	port port

	mu     sync.Mutex
	serial uint32
	conns  map[uint32]*conn
	lates  map[uint32]*transport.Late // of the hubs
}

func newSockets(p port) *sockets {
	return &sockets{port: p, conns: map[uint32]*conn{}, lates: map[uint32]*transport.Late{}}
}

func (s *sockets) find(id uint32) *conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns[id]
}

func (s *sockets) len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// opened says that socket id can be written to, and by which way it goes if there was a choice.
func (s *sockets) opened(id uint32, way string) {
	if c := s.find(id); c != nil {
		c.once.Do(func() { c.way = way; close(c.ready) })
	}
}

// room returns where the n bytes of a frame belong, in one piece or two; commit follows.
func (s *sockets) room(id uint32, n int) (first, second []byte) {
	if c := s.find(id); c != nil {
		return c.room(n)
	}
	return nil, nil
}

// commit says that they are there; idle is as in [transport.Sink].
func (s *sockets) commit(id uint32, n int) (idle bool) {
	if c := s.find(id); c != nil {
		return c.commit(n)
	}
	return true
}

// drained says that socket id takes more.
func (s *sockets) drained(id uint32) {
	if c := s.find(id); c != nil {
		c.setFull(false)
	}
}

// ended says that nothing follows on socket id, and why.
func (s *sockets) ended(id uint32, how uint32, text string) {
	if c := s.find(id); c != nil {
		c.end(how, text)
	}
}

// dialer opens the sockets of one hub. It implements [transport.Dialer].
type dialer struct {
	sockets *sockets
	hub     uint32
}

func (dialer) Schemes() []string { return []string{"ws", "wss"} }

func (d dialer) Dial(ctx context.Context, rawURL string) (net.Conn, error) {
	fail := func(err error) (net.Conn, error) {
		return nil, &transport.Error{Op: "dial", URL: transport.Redact(rawURL), Err: err}
	}
	u, err := url.Parse(rawURL)
	if err != nil || u.Hostname() == "" || (!strings.EqualFold(u.Scheme, "ws") && !strings.EqualFold(u.Scheme, "wss")) {
		return fail(transport.ErrURL)
	}
	if err := ctx.Err(); err != nil {
		return fail(err)
	}
	u.User, u.Fragment, u.RawFragment = nil, "", "" // browsers refuse them, or send them to nobody
	s := d.sockets
	c := &conn{
		sockets: s,
		url:     transport.Redact(rawURL),
		in:      inbox.New(0),
		ready:   make(chan struct{}),
		gone:    make(chan struct{}),
		more:    make(chan struct{}, 1),
	}
	s.mu.Lock()
	s.serial = freeID(s.serial, s.conns)
	c.id = s.serial
	s.conns[c.id] = c
	if l := transport.LateOf(ctx); l != nil {
		s.lates[d.hub] = l
	}
	s.mu.Unlock()
	s.port.open(d.hub, c.id, u.String()+reachText(transport.ReachOf(ctx)))
	select {
	case <-c.ready:
		return c, nil
	case <-c.gone:
		select {
		case <-c.ready: // it opened and ended at once: Read tells what it brought, and why it ended
			return c, nil
		default:
		}
		cause := c.cause()
		_ = c.Close()
		if cause == io.EOF || cause == nil {
			cause = transport.ErrUnreachable
		}
		return fail(cause)
	case <-ctx.Done():
		_ = c.Close()
		return fail(ctx.Err())
	}
}

// reachText is what follows the URL: what else is known of the server, for npm/src/sockets.ts.
func reachText(r *transport.Reach) string {
	if r == nil {
		return ""
	}
	var w plainjson.Writer
	return "\n" + w.Raw("webTransport", cmp.Or(r.WebTransport, "null")).Text("rootPem", r.RootPEM).String()
}

// address is the URL of a conn as a net.Addr.
type address string

func (address) Network() string  { return "websocket" }
func (a address) String() string { return string(a) }

// detailed is a sentinel of package transport with what JavaScript said about it.
type detailed struct {
	err  error
	text string
}

func (d detailed) Error() string { return d.err.Error() + ": " + d.text }
func (d detailed) Unwrap() error { return d.err }

func endCause(how uint32, text string) error {
	err := transport.ErrUnclean
	switch how {
	case endClean:
		return io.EOF
	case endUnreachable:
		err = transport.ErrUnreachable
	case endUntrusted:
		err = transport.ErrUntrusted
	case endHandshake:
		err = transport.ErrHandshake
	case endURL:
		err = transport.ErrURL
	}
	if text == "" {
		return err
	}
	return detailed{err, text}
}

// until returns a channel that gets a value at t, and what frees it; nil for no time.
func until(t time.Time) (<-chan time.Time, func() bool) {
	if t.IsZero() {
		return nil, func() bool { return true }
	}
	timer := time.NewTimer(time.Until(t))
	return timer.C, timer.Stop
}
