//go:build !js

package hub

import (
	"context"
	"net"
	"os"
	"sync"
	"sync/atomic"

	"github.com/kinopio-hub/kinopio-hub/v3/transport"
)

// KINOPIO_TEST_ENGINE=direct plays all tests of this package on connections as pages have them.
func init() {
	native := newEngine
	newEngine = func(cfg *Config) engine {
		if IsDirect() {
			for i, d := range cfg.Dialers {
				if _, ok := d.(DirectDialer); !ok {
					cfg.Dialers[i] = DirectDialer{Dialer: d}
				}
			}
		}
		return native(cfg)
	}
}

// A DirectDialer makes the connections of another one direct. While Full is true nothing can be
// written to them; Writes, if any, counts the calls of TryWrite that wrote.
type DirectDialer struct {
	transport.Dialer
	Full   *atomic.Bool
	Writes *atomic.Int64
}

func (d DirectDialer) Dial(ctx context.Context, url string) (net.Conn, error) {
	c, err := d.Dialer.Dial(ctx, url)
	if err != nil {
		return nil, err
	}
	return &directConn{Conn: c, dialer: d}, nil
}

type directConn struct {
	net.Conn
	dialer  DirectDialer
	pouring sync.Once
}

func (c *directConn) Pour(s transport.Sink) {
	c.pouring.Do(func() {
		go func() {
			b := make([]byte, 4096)
			for {
				n, err := c.Conn.Read(b)
				if n > 0 {
					copy(s.Room(n), b[:n])
					s.Filled(n)
				}
				if err != nil {
					s.Ended(err)
					return
				}
			}
		}()
	})
}

func (c *directConn) TryWrite(p []byte) bool {
	if c.dialer.Full != nil && c.dialer.Full.Load() {
		return false
	}
	if _, err := c.Conn.Write(p); err != nil {
		return false
	}
	if c.dialer.Writes != nil {
		c.dialer.Writes.Add(1)
	}
	return true
}

// IsDirect says that every hub of these tests is as pages have it.
func IsDirect() bool { return os.Getenv("KINOPIO_TEST_ENGINE") == "direct" }
