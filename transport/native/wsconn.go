//go:build !js

package native

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/kinopio-hub/kinopio-hub/v3/transport"
	"github.com/kinopio-hub/kinopio-hub/v3/transport/inbox"
)

const (
	// inboxSize is how far the pump reads ahead.
	inboxSize = 128 << 10
	// closeTime bounds the closing handshake, in which the peer takes what was written before.
	closeTime = time.Second
)

// wsConn is a WebSocket as a stream. websocket.NetConn is not enough: when one of its
// deadlines expires in the midst of a read, it closes the connection. Here a goroutine, the
// pump, reads frames into a queue of limited size, and a deadline is one of waiting for that
// queue. It also answers pings while nobody reads.
type wsConn struct {
	url  string
	ws   *websocket.Conn
	raw  *corked
	in   *inbox.Queue
	pump sync.WaitGroup

	once   sync.Once
	closed chan struct{} // by this end

	writing sync.Mutex // held by the Write that is under way
	broken  bool       // a frame was written in part: nothing can follow; guarded by writing

	mu       sync.Mutex // guards what SetWriteDeadline needs
	deadline time.Time
	busy     bool // a Write is under way, and raw has the deadline
}

func newWSConn(ws *websocket.Conn, raw *corked, url string) *wsConn {
	ws.SetReadLimit(-1)
	c := &wsConn{url: url, ws: ws, raw: raw, in: inbox.New(inboxSize), closed: make(chan struct{})}
	c.pump.Go(func() {
		c.in.End(c.readError(c.receive()))
		_ = ws.CloseNow()
	})
	return c
}

// receive reads frames into the queue until the connection ends.
func (c *wsConn) receive() error {
	for {
		kind, frame, err := c.ws.Reader(context.Background())
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			// A pong could not be sent while a Write waits for the peer. This lasts as
			// long as the peer does not read, so it does not miss the pong.
			continue
		case err != nil:
			return err
		case kind != websocket.MessageBinary:
			_ = c.ws.Close(websocket.StatusUnsupportedData, "binary messages only")
			return errors.New("the peer sent text instead of bytes")
		}
		if err := c.receiveFrame(frame); err != nil {
			return err
		}
	}
}

func (c *wsConn) receiveFrame(frame io.Reader) error {
	for {
		room, err := c.in.Room(nil, nil)
		if err != nil { // closed: what still comes is thrown away
			room = make([]byte, 4096)
		}
		n, err := frame.Read(room)
		c.in.Commit(n)
		switch {
		case err == io.EOF:
			return nil
		case err != nil && !errors.Is(err, context.DeadlineExceeded): // see receive
			return err
		}
	}
}

// readError returns what Read says of the end.
func (c *wsConn) readError(err error) error {
	switch websocket.CloseStatus(err) {
	case websocket.StatusNormalClosure, websocket.StatusGoingAway, websocket.StatusNoStatusRcvd:
		return io.EOF
	}
	return c.unclean("read", err)
}

func (c *wsConn) unclean(op string, err error) error {
	return &transport.Error{Op: op, URL: c.url, Err: fmt.Errorf("%w: %v", transport.ErrUnclean, err)}
}

func (c *wsConn) Read(p []byte) (int, error) { return c.in.Read(p) }

func (c *wsConn) Write(p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if err := c.begin(); err != nil {
		return 0, err
	}
	err := c.send(p)
	c.finish()
	switch {
	case err == nil:
		return len(p), nil
	case c.isClosed():
		return 0, net.ErrClosed
	case errors.Is(err, os.ErrDeadlineExceeded):
		c.broken = true
		return 0, os.ErrDeadlineExceeded
	}
	return 0, c.unclean("write", err)
}

// send writes p as one message.
func (c *wsConn) send(p []byte) error {
	switch {
	case len(p) == 0:
		return nil
	case len(p) <= pieceSize:
		return c.ws.Write(context.Background(), websocket.MessageBinary, p)
	}
	c.raw.cork(len(p))
	err := c.ws.Write(context.Background(), websocket.MessageBinary, p)
	if e := c.raw.uncork(); err == nil {
		err = e
	}
	return err
}

// begin gives the connection the deadline for one Write. It has none between two, as it would
// also stop the pongs of the pump.
func (c *wsConn) begin() error {
	if c.isClosed() {
		return net.ErrClosed
	}
	if c.broken {
		return c.unclean("write", errors.New("an earlier write was cut off by its deadline"))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.deadline.IsZero() {
		c.busy = true
		return nil
	}
	if !time.Now().Before(c.deadline) {
		return os.ErrDeadlineExceeded
	}
	c.busy = true
	return c.raw.SetWriteDeadline(c.deadline)
}

func (c *wsConn) finish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy = false
	if !c.deadline.IsZero() && !c.isClosed() { // Close sets its own
		_ = c.raw.SetWriteDeadline(time.Time{})
	}
}

func (c *wsConn) isClosed() bool {
	select {
	case <-c.closed:
		return true
	default:
		return false
	}
}

// Close ends Read and Write at once. It returns when the peer has answered the closing
// handshake, or after a second; at once when a Write is stuck.
func (c *wsConn) Close() error {
	c.once.Do(func() {
		c.mu.Lock()
		close(c.closed)
		c.mu.Unlock()
		c.in.Close()
		if !c.writing.TryLock() { // the close frame cannot go in the midst of another
			_ = c.raw.Close()
			_ = c.ws.CloseNow()
		} else {
			_ = c.raw.SetDeadline(time.Now().Add(closeTime))
			_ = c.ws.Close(websocket.StatusNormalClosure, "")
			c.writing.Unlock()
		}
		c.pump.Wait()
	})
	return nil
}

func (c *wsConn) LocalAddr() net.Addr  { return c.raw.LocalAddr() }
func (c *wsConn) RemoteAddr() net.Addr { return c.raw.RemoteAddr() }

func (c *wsConn) SetReadDeadline(t time.Time) error {
	c.in.SetReadDeadline(t)
	return nil
}

func (c *wsConn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.deadline = t
	if c.busy && !c.isClosed() {
		return c.raw.SetWriteDeadline(t)
	}
	return nil
}

func (c *wsConn) SetDeadline(t time.Time) error {
	_ = c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}
