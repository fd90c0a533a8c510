package e2e

import (
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// wire is a TCP proxy that can do to its connections what networks do.
type wire struct {
	address string // where it listens

	idle time.Duration // after so long without a byte in a direction it ends a connection; 0: never

	mu     sync.Mutex
	taken  int // connections so far
	open   []net.Conn
	closed bool          // ends connections, and takes no others
	silent chan struct{} // closed when the connections of now carry nothing any more
}

// newWire forwards to the host and port of a URL.
func newWire(t *testing.T, url string) *wire { return newIdleWire(t, url, 0) }

// newIdleWire is one that ends connections on which nothing passes, as proxies do.
func newIdleWire(t *testing.T, url string, idle time.Duration) *wire {
	t.Helper()
	_, to, _ := strings.Cut(url, "://")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{address: l.Addr().String(), idle: idle, silent: make(chan struct{})}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			w.mu.Lock()
			w.taken++
			if err != nil || w.closed {
				in.Close()
				if out != nil {
					out.Close()
				}
				w.mu.Unlock()
				continue
			}
			w.open = append(w.open, in, out)
			silent := w.silent
			w.mu.Unlock()
			wg.Go(func() { carry(out, in, silent, w.idle) })
			wg.Go(func() { carry(in, out, silent, w.idle) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		w.cut()
		wg.Wait()
	})
	return w
}

// carry copies until either side ends, and then ends the other, if the wire is not silent.
func carry(to, from net.Conn, silent <-chan struct{}, idle time.Duration) {
	buf := make([]byte, 16<<10)
	for {
		if idle > 0 {
			_ = from.SetReadDeadline(time.Now().Add(idle))
		}
		n, err := from.Read(buf)
		select {
		case <-silent:
			if err == nil {
				continue
			}
			return
		default:
		}
		if err == nil {
			_, err = to.Write(buf[:n])
		}
		if err != nil {
			to.Close()
			from.Close()
			return
		}
	}
}

// count is how many connections were made.
func (w *wire) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.taken
}

// stall keeps the connections of now open, but nothing passes any more. Later ones work.
func (w *wire) stall() {
	w.mu.Lock()
	defer w.mu.Unlock()
	close(w.silent)
	w.silent = make(chan struct{})
}

// refuse ends the connections of now, and all others until it is called with false.
func (w *wire) refuse(all bool) {
	w.mu.Lock()
	w.closed = all
	w.mu.Unlock()
	if all {
		w.cut()
	}
}

// cut ends the connections of now.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, c := range w.open {
		c.Close()
	}
	w.open = nil
}
