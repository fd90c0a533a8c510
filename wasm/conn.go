package main

import (
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/transport"
	"github.com/kinopio-hub/kinopio-hub/v3/transport/inbox"
)

// maxFrame bounds one send, so that a large Write notices when the socket is full.
const maxFrame = 256 << 10

// A conn is one open WebSocket as a byte stream. It implements [transport.Direct] by the
// contract of [transport.Dialer].
type conn struct {
	sockets *sockets
	id      uint32
	url     string // redacted
	in      *inbox.Queue
	ready   chan struct{} // closed when it is open
	once    sync.Once     // closes ready
	way     string        // by which it goes, if there was a choice; set before ready is closed
	gone    chan struct{} // closed when it has ended, by either side
	more    chan struct{} // a token when a writer that waits should try again

	writing sync.Mutex // one Write at a time

	pouring sync.Mutex
	poured  bool // the room that was given last is the sink's

	mu       sync.Mutex
	over     bool  // gone is closed
	closed   bool  // by Close
	err      error // why it ended, if not by Close
	full     bool
	deadline time.Time      // of Write
	sink     transport.Sink // nil: who reads, Reads
}

// Description implements [transport.Described].
func (c *conn) Description() string { return c.way }

func (c *conn) Read(p []byte) (int, error) { return c.in.Read(p) }

func (c *conn) Write(p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	n := 0
	for {
		if err := c.await(); err != nil {
			return n, err
		}
		chunk := p[n:min(len(p), n+maxFrame)]
		if len(chunk) == 0 {
			return n, nil
		}
		if c.sockets.port.send(c.id, chunk) {
			c.setFull(true)
		}
		n += len(chunk)
		if n == len(p) {
			return n, nil
		}
	}
}

// TryWrite implements [transport.Direct].
func (c *conn) TryWrite(p []byte) bool {
	if !c.writing.TryLock() {
		return false
	}
	defer c.writing.Unlock()
	c.mu.Lock()
	free := !c.full && c.writeError() == nil
	c.mu.Unlock()
	if !free {
		return false
	}
	if c.sockets.port.send(c.id, p) {
		c.setFull(true)
	}
	return true
}

// Pour implements [transport.Direct].
func (c *conn) Pour(s transport.Sink) {
	c.pouring.Lock()
	defer c.pouring.Unlock()
	c.mu.Lock()
	c.sink = s
	c.mu.Unlock()
	c.pourQueued(s)
}

// pourQueued hands over what waits to be read, and the end, if it has come.
func (c *conn) pourQueued(s transport.Sink) {
	for n := c.in.Buffered(); n > 0; n = c.in.Buffered() {
		n, err := c.in.Read(s.Room(n))
		if err != nil {
			break
		}
		s.Filled(n)
	}
	c.mu.Lock()
	closed, over, err := c.closed, c.over, c.readError()
	c.mu.Unlock()
	if closed {
		s.Ended(net.ErrClosed)
	} else if over {
		s.Ended(err)
	}
}

// sinkNow is where what arrives belongs, nil if it is to be read.
func (c *conn) sinkNow() transport.Sink {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sink
}

// room returns where the n bytes of a frame belong, in one piece or two; commit follows.
func (c *conn) room(n int) (first, second []byte) {
	c.pouring.Lock()
	defer c.pouring.Unlock()
	s := c.sinkNow()
	if c.poured = s != nil; c.poured {
		return s.Room(n), nil
	}
	return c.in.Reserve(n)
}

// commit says that the bytes are there. idle is as in [transport.Sink].
func (c *conn) commit(n int) (idle bool) {
	c.pouring.Lock()
	defer c.pouring.Unlock()
	s := c.sinkNow()
	if c.poured {
		return s.Filled(n)
	}
	c.in.Commit(n)
	if s != nil { // since room
		c.pourQueued(s)
	}
	return false
}

// await waits until the socket takes more.
func (c *conn) await() error {
	for {
		c.mu.Lock()
		err, full, deadline := c.writeError(), c.full, c.deadline
		c.mu.Unlock()
		if err != nil || !full {
			return err
		}
		expired, free := until(deadline)
		select {
		case <-c.more:
		case <-c.gone:
		case <-expired:
		}
		free()
	}
}

// writeError is why nothing can be written, with c.mu held.
func (c *conn) writeError() error {
	switch {
	case c.closed:
		return net.ErrClosed
	case c.over:
		err := c.err
		if err == io.EOF {
			err = transport.ErrUnclean // a reader may end in peace, a writer may not
		}
		return &transport.Error{Op: "write", URL: c.url, Err: err}
	case !c.deadline.IsZero() && !time.Now().Before(c.deadline):
		return os.ErrDeadlineExceeded
	}
	return nil
}

func (c *conn) setFull(full bool) {
	c.mu.Lock()
	c.full = full
	c.mu.Unlock()
	c.wakeWriter()
}

// wakeWriter wakes a writer that waits.
func (c *conn) wakeWriter() {
	select {
	case c.more <- struct{}{}:
	default:
	}
}

// end is the end from outside.
func (c *conn) end(how uint32, text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		return
	}
	c.over, c.err = true, endCause(how, text)
	close(c.gone)
	c.in.End(c.readError())
	if c.sink != nil {
		go c.sink.Ended(c.readError())
	}
}

// readError is what Read says of the end, with c.mu held.
func (c *conn) readError() error {
	if c.err == nil || c.err == io.EOF {
		return c.err
	}
	return &transport.Error{Op: "read", URL: c.url, Err: c.err}
}

// cause is why it ended, nil if it did not or by Close.
func (c *conn) cause() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

func (c *conn) Close() error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return nil
	}
	c.closed = true
	if !c.over {
		c.over = true
		close(c.gone)
	}
	s := c.sink
	c.mu.Unlock()
	c.in.Close()
	if s != nil {
		go s.Ended(net.ErrClosed)
	}
	c.sockets.mu.Lock()
	delete(c.sockets.conns, c.id)
	c.sockets.mu.Unlock()
	c.sockets.port.close(c.id)
	return nil
}

func (c *conn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

func (c *conn) SetReadDeadline(t time.Time) error {
	c.in.SetReadDeadline(t)
	return nil
}

// SetWriteDeadline costs no timer unless a Write waits.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	c.deadline = t
	c.mu.Unlock()
	c.wakeWriter()
	return nil
}

func (c *conn) LocalAddr() net.Addr  { return address("javascript") }
func (c *conn) RemoteAddr() net.Addr { return address(c.url) }
