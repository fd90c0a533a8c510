package leaf

import (
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// A front stands before the server's WebSocket listener where the system does not tell a process of its own sockets, so that a
// sweeper could not work: it accepts connections itself, with the limits of guarded, and passes their bytes on to the server's
// listener on loopback. A connection counts among those that are limited until the server knows it as a client.
type front struct {
	ln      *guarded
	srv     *server.Server
	backend string

	done    chan struct{} // Closed when nothing more is accepted.
	passing sync.WaitGroup
	ending  sync.Once
	ended   chan struct{}

	mu   sync.Mutex
	open map[uint16]*passed // By the port from which it comes to the server.
}

// passed is one connection, from both sides.
type passed struct {
	client  *guardedConn
	backend *net.TCPConn
	known   bool // The server knows it.
}

// listenFront takes the port; serve begins.
func listenFront(s *settings) (net.Listener, error) {
	ln, err := net.Listen("tcp", netip.AddrPortFrom(s.lan, uint16(s.Ports.WebSocket)).String())
	if err != nil {
		return nil, listenError("websocket", s.lan.String(), s.Ports.WebSocket, err)
	}
	return ln, nil
}

// serveFront passes what ln accepts on to the listener of srv at a port of loopback. Who says nothing for as long as silence is cut.
func serveFront(ln net.Listener, srv *server.Server, port int, silence time.Duration) *front {
	f := &front{ln: guard(ln), srv: srv, backend: loopback(port), done: make(chan struct{}), ended: make(chan struct{}), open: map[uint16]*passed{}}
	f.ln.silence = silence
	go f.accept()
	f.passing.Go(f.look)
	return f
}

func (f *front) port() int { return f.ln.Addr().(*net.TCPAddr).Port }

func (f *front) accept() {
	defer close(f.done)
	for {
		conn, err := f.ln.Accept()
		if err != nil {
			return // Its end is known, or the leaf mends it.
		}
		f.passing.Go(func() { f.pass(conn.(*guardedConn)) })
	}
}

// pass moves bytes until one side has ended, and ends both.
func (f *front) pass(client *guardedConn) {
	defer client.Close()
	conn, err := net.DialTimeout("tcp", f.backend, dialTimeout)
	if err != nil {
		return // The server does not listen any more.
	}
	defer conn.Close()
	p := &passed{client: client, backend: conn.(*net.TCPConn)}
	port := uint16(conn.LocalAddr().(*net.TCPAddr).Port)
	f.mu.Lock()
	f.open[port] = p
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		delete(f.open, port)
		f.mu.Unlock()
	}()
	if ended(f.ended) {
		return // It was not among those that stop has cut.
	}
	inward := make(chan struct{})
	go func() {
		defer close(inward)
		_ = pump(p.backend, client)
		_ = p.backend.CloseWrite()
	}()
	if pump(hurried{client}, p.backend) == nil {
		// What the server has said last is on its way; the peer closes when it has read that.
		if tcp, ok := client.Conn.(*net.TCPConn); ok {
			_ = tcp.CloseWrite()
		}
		select {
		case <-inward:
		case <-time.After(wtLast):
		case <-f.ended:
		}
	}
	client.Close()
	<-inward
}

// hurried cuts a peer that takes nothing, as nats-server does: it does not see how much waits here.
type hurried struct{ net.Conn }

func (h hurried) Write(b []byte) (int, error) {
	_ = h.SetWriteDeadline(time.Now().Add(wtSlow))
	return h.Conn.Write(b)
}

// look frees the places of those that have become clients.
func (f *front) look() {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-f.ended:
			return
		case <-tick.C:
		}
		f.mu.Lock()
		strangers := false
		for _, p := range f.open {
			strangers = strangers || !p.known
		}
		f.mu.Unlock()
		if !strangers {
			continue
		}
		known := clientsOf(f.srv)
		f.mu.Lock()
		for port, p := range f.open {
			if !p.known && known[netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port)] {
				p.known = true
				p.client.leave()
			}
		}
		f.mu.Unlock()
	}
}

// stop ends the front and its connections, and waits until they have ended.
func (f *front) stop() {
	if f == nil {
		return
	}
	f.ending.Do(func() {
		close(f.ended)
		f.ln.Close()
	})
	<-f.done
	f.mu.Lock()
	for _, p := range f.open {
		p.client.Close()
		p.backend.Close()
	}
	f.mu.Unlock()
	f.passing.Wait()
}

// closed is closed when a front accepts nothing any more; never without one.
func (f *front) closed() <-chan struct{} {
	if f == nil {
		return nil
	}
	return f.done
}

// clientsOf are those that a server knows, by where they come from.
func clientsOf(srv *server.Server) map[netip.AddrPort]bool {
	known := map[netip.AddrPort]bool{}
	list, err := srv.Connz(&server.ConnzOptions{Limit: 1 << 20})
	if err != nil {
		return known
	}
	for _, c := range list.Conns {
		if ip, err := netip.ParseAddr(c.IP); err == nil {
			known[netip.AddrPortFrom(ip.Unmap().WithZone(""), uint16(c.Port))] = true
		}
	}
	return known
}
