package transporttest

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"sync"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/transport"
	"github.com/kinopio-hub/kinopio-hub/v3/transport/inbox"
)

// memBuffer is what each direction of a stream in memory holds before Write waits.
const memBuffer = 64 << 10

// Mem is a network in memory for fast tests, and a transport.Dialer for it: URLs are
// mem://name. The zero value is a network where nobody listens. It is safe for concurrent use.
type Mem struct {
	mu        sync.Mutex
	listeners map[string]*memListener
}

// Schemes returns "mem".
func (*Mem) Schemes() []string { return []string{"mem"} }

// Listen opens mem://name. The connections that it accepts are of the type [*MemConn].
func (m *Mem) Listen(name string) (net.Listener, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.listeners[name] != nil {
		return nil, fmt.Errorf("listen mem://%s: address in use", name)
	}
	if m.listeners == nil {
		m.listeners = map[string]*memListener{}
	}
	l := &memListener{network: m, name: name, dialed: make(chan *MemConn), closed: make(chan struct{})}
	m.listeners[name] = l
	return l, nil
}

// Dial opens a stream to mem://name as soon as the listener accepts it. The connection is a
// [*MemConn].
func (m *Mem) Dial(ctx context.Context, rawURL string) (net.Conn, error) {
	fail := func(err error) (net.Conn, error) {
		return nil, &transport.Error{Op: "dial", URL: transport.Redact(rawURL), Err: err}
	}
	u, err := url.Parse(rawURL)
	if err != nil || u.Scheme != "mem" || u.Host == "" {
		return fail(fmt.Errorf("%w: want mem://name", transport.ErrURL))
	}
	if err := ctx.Err(); err != nil {
		return fail(err)
	}
	m.mu.Lock()
	l := m.listeners[u.Host]
	m.mu.Unlock()
	if l == nil {
		return fail(fmt.Errorf("%w: nobody listens", transport.ErrUnreachable))
	}
	near, far := MemPipe(transport.Redact(rawURL))
	select {
	case l.dialed <- far:
		return near, nil
	case <-l.closed:
		return fail(fmt.Errorf("%w: the listener has closed", transport.ErrUnreachable))
	case <-ctx.Done():
		return fail(ctx.Err())
	}
}

type memListener struct {
	network *Mem
	name    string
	dialed  chan *MemConn
	once    sync.Once
	closed  chan struct{}
}

func (l *memListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.dialed:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *memListener) Close() error {
	l.once.Do(func() {
		l.network.mu.Lock()
		defer l.network.mu.Unlock()
		delete(l.network.listeners, l.name)
		close(l.closed)
	})
	return nil
}

func (l *memListener) Addr() net.Addr { return memAddr(l.name) }

// A MemConn is one end of a stream in memory. It keeps the contract of [transport.Dialer].
type MemConn struct {
	url    string
	in     *inbox.Queue // what this end reads
	out    *inbox.Queue // what the other end reads
	once   sync.Once
	closed chan struct{}

	writing  sync.Mutex
	deadline inbox.Deadline // of Write
}

// MemPipe returns the two ends of a stream without a network; url is what errors name.
func MemPipe(url string) (near, far *MemConn) {
	a, b := inbox.New(memBuffer), inbox.New(memBuffer)
	near = &MemConn{url: url, in: a, out: b, closed: make(chan struct{})}
	far = &MemConn{url: url, in: b, out: a, closed: make(chan struct{})}
	return near, far
}

func (c *MemConn) Read(p []byte) (int, error) { return c.in.Read(p) }

func (c *MemConn) Write(p []byte) (n int, err error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	for {
		select {
		case <-c.closed:
			return n, net.ErrClosed
		case <-c.deadline.Done():
			return n, os.ErrDeadlineExceeded
		default:
		}
		if n == len(p) {
			return n, nil
		}
		room, err := c.out.Room(c.closed, c.deadline.Done())
		if err == net.ErrClosed && !c.isClosed() {
			return n, &transport.Error{Op: "write", URL: c.url, Err: transport.ErrUnclean}
		}
		if err != nil {
			return n, err
		}
		k := copy(room, p[n:])
		c.out.Commit(k)
		n += k
	}
}

// Close ends the stream properly: the other end reads what was written, and then io.EOF.
func (c *MemConn) Close() error { c.finish(io.EOF); return nil }

// Cut breaks the stream: the other end reads what was written, and then an error that wraps
// transport.ErrUnclean. At this end it is like Close.
func (c *MemConn) Cut() {
	c.finish(&transport.Error{Op: "read", URL: c.url, Err: transport.ErrUnclean})
}

func (c *MemConn) finish(end error) {
	c.once.Do(func() {
		close(c.closed)
		c.in.Close()
		c.out.End(end)
	})
}

func (c *MemConn) isClosed() bool {
	select {
	case <-c.closed:
		return true
	default:
		return false
	}
}

func (c *MemConn) LocalAddr() net.Addr                { return memAddr("local") }
func (c *MemConn) RemoteAddr() net.Addr               { return memAddr(c.url) }
func (c *MemConn) SetReadDeadline(t time.Time) error  { c.in.SetReadDeadline(t); return nil }
func (c *MemConn) SetWriteDeadline(t time.Time) error { c.deadline.Set(t); return nil }
func (c *MemConn) SetDeadline(t time.Time) error {
	c.in.SetReadDeadline(t)
	c.deadline.Set(t)
	return nil
}

type memAddr string

func (memAddr) Network() string  { return "mem" }
func (a memAddr) String() string { return string(a) }
