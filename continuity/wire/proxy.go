// Package wire is a network in a process: TCP proxies that delay, count, reset and refuse what
// passes through them, and that remember since when and until when each connection was open.
package wire

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// A Proxy forwards connections to one address. All methods may be called at any time.
type Proxy struct {
	listener net.Listener
	wg       sync.WaitGroup
	delay    atomic.Int64
	up, down atomic.Uint64

	mu      sync.Mutex
	to      string
	refuses bool
	closed  bool
	open    []*Conn // oldest first
}

// New listens on a free port of loopback and forwards to an address, host:port; each
// direction takes delay.
func New(to string, delay time.Duration) (*Proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Proxy{listener: listener, to: to}
	p.delay.Store(int64(delay))
	p.wg.Go(p.accept)
	return p, nil
}

// Address is where the proxy listens, host:port.
func (p *Proxy) Address() string { return p.listener.Addr().String() }

// Point makes later connections go to another address.
func (p *Proxy) Point(to string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.to = to
}

// Delay changes how long each direction takes, for all that is read from now on. Order is kept.
func (p *Proxy) Delay(d time.Duration) { p.delay.Store(int64(d)) }

// Refuse resets later connections at once, or serves them again.
func (p *Proxy) Refuse(refuse bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuses = refuse
}

// Cut resets the connections of now. What was on its way is lost.
func (p *Proxy) Cut() {
	for _, c := range p.Open() {
		c.reset()
	}
}

// Bytes is how many came so far from those who connected, and from the address.
func (p *Proxy) Bytes() (up, down uint64) { return p.up.Load(), p.down.Load() }

// Open are the connections of now, oldest first.
func (p *Proxy) Open() []*Conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]*Conn{}, p.open...)
}

// Close ends the proxy and its connections, and waits for them.
func (p *Proxy) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	_ = p.listener.Close()
	p.Cut()
	p.wg.Wait()
}

func (p *Proxy) accept() {
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		to, refuses := p.to, p.refuses
		p.mu.Unlock()
		if refuses {
			abort(in)
			continue
		}
		out, err := net.DialTimeout("tcp", to, 5*time.Second)
		if err != nil {
			abort(in)
			continue
		}
		c := &Conn{Opened: time.Now(), in: in, out: out, done: make(chan struct{})}
		p.mu.Lock()
		if p.closed || p.refuses {
			p.mu.Unlock()
			c.reset()
			continue
		}
		p.open = append(p.open, c)
		p.wg.Go(func() { p.serve(c) })
		p.mu.Unlock()
	}
}

func (p *Proxy) serve(c *Conn) {
	var ways sync.WaitGroup
	ways.Go(func() { p.carry(c.out, c.in, &p.up) })
	ways.Go(func() { p.carry(c.in, c.out, &p.down) })
	ways.Wait()
	p.mu.Lock()
	for i, other := range p.open {
		if other == c {
			p.open = append(p.open[:i:i], p.open[i+1:]...)
			break
		}
	}
	p.mu.Unlock()
	c.closedAt = time.Now()
	close(c.done)
}

// carry copies one direction until it ends, and then ends both. Each piece leaves its delay
// after it came, so bandwidth and order are kept.
func (p *Proxy) carry(to, from net.Conn, count *atomic.Uint64) {
	type piece struct {
		data []byte
		due  time.Time
	}
	pieces := make(chan piece, 4096)
	go func() { // ends with from, which is closed below
		defer close(pieces)
		for {
			buf := make([]byte, 16<<10)
			n, err := from.Read(buf)
			if n > 0 {
				count.Add(uint64(n))
				pieces <- piece{buf[:n], time.Now().Add(time.Duration(p.delay.Load()))}
			}
			if err != nil {
				return
			}
		}
	}()
	broken := false
	for piece := range pieces {
		if broken {
			continue
		}
		time.Sleep(time.Until(piece.due))
		if _, err := to.Write(piece.data); err != nil {
			broken = true
			_ = from.Close()
		}
	}
	_ = to.Close()
	_ = from.Close()
}

// A Conn is one connection through a proxy.
type Conn struct {
	Opened   time.Time
	closedAt time.Time
	in, out  net.Conn
	done     chan struct{}
}

// Closed waits for the end of the connection, and returns when that was.
func (c *Conn) Closed(ctx context.Context) (time.Time, error) {
	select {
	case <-c.done:
		return c.closedAt, nil
	case <-ctx.Done():
		return time.Time{}, ctx.Err()
	}
}

func (c *Conn) reset() {
	abort(c.in)
	abort(c.out)
}

// abort closes with a reset, as a pulled plug looks to whoever writes next.
func abort(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}
