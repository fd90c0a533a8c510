package lab

import (
	"io"
	"net"
	"strconv"
	"sync"
)

// A proxy stands before a server that can fall silent: what is connected hears no more of it,
// and is not told. What connects later is served.
type proxy struct {
	listener net.Listener
	wg       sync.WaitGroup

	mu      sync.Mutex
	stalled chan struct{} // closed when those that are connected shall hear no more
	conns   []net.Conn
	closed  bool
}

func newProxy(to string) (*proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: listener, stalled: make(chan struct{})}
	p.wg.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", to)
			if err != nil {
				_ = client.Close()
				continue
			}
			p.join(client, server)
		}
	})
	return p, nil
}

func (p *proxy) host() string {
	return "127.0.0.1:" + strconv.Itoa(p.listener.Addr().(*net.TCPAddr).Port)
}

// join carries bytes both ways until the proxy stalls or one side closes.
func (p *proxy) join(client, server net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = client.Close()
		_ = server.Close()
		return
	}
	p.conns = append(p.conns, client, server)
	stalled := p.stalled
	for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
		p.wg.Go(func() {
			_, _ = io.Copy(silent{way[0], stalled}, way[1])
			select {
			case <-stalled: // not even the end is told
			default:
				_ = way[0].Close()
				_ = way[1].Close()
			}
		})
	}
}

// stall makes the server fall silent for all that are connected.
func (p *proxy) stall() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.stalled)
	p.stalled = make(chan struct{})
}

func (p *proxy) close() {
	_ = p.listener.Close()
	p.mu.Lock()
	p.closed = true
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.mu.Unlock()
	p.wg.Wait()
}

// silent swallows what is written once it is stalled.
type silent struct {
	net.Conn
	stalled <-chan struct{}
}

func (s silent) Write(b []byte) (int, error) {
	select {
	case <-s.stalled:
		return len(b), nil
	default:
		return s.Conn.Write(b)
	}
}
