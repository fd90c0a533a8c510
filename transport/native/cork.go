//go:build !js

package native

import (
	"bufio"
	"net"
	"sync"
)

const (
	// pieceSize is the largest message that websocket.Conn writes in one piece: its buffer of
	// 4 KiB less the longest header of a frame.
	pieceSize = 4096 - 14
	// corkSize is how much a corked connection gathers before it writes.
	corkSize = 64 << 10
)

// corked gathers the 4 KiB pieces in which websocket.Conn writes a large message: each would be
// a system call of its own and, over TLS, a record.
type corked struct {
	net.Conn

	mu   sync.Mutex
	buf  *bufio.Writer // nil before the first large message
	left int           // what is still to come of the message that is being gathered
}

// cork gathers what is written next, up to the end of a message of n bytes.
func (c *corked) cork(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.buf == nil {
		c.buf = bufio.NewWriterSize(c.Conn, corkSize)
	}
	c.left = frameSize(n)
}

// uncork writes what is left: nothing, unless a control frame came before the message and was
// counted in its place.
func (c *corked) uncork() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left = 0
	return c.buf.Flush()
}

func (c *corked) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left <= 0 && (c.buf == nil || c.buf.Buffered() == 0) {
		return c.Conn.Write(p)
	}
	n, err := c.buf.Write(p)
	if c.left -= n; c.left <= 0 && err == nil {
		err = c.buf.Flush()
	}
	return n, err
}

// frameSize is the size of a masked frame with n bytes of data (RFC 6455, 5.2).
func frameSize(n int) int {
	switch {
	case n < 126:
		return 2 + 4 + n
	case n < 1<<16:
		return 2 + 2 + 4 + n
	}
	return 2 + 8 + 4 + n
}
