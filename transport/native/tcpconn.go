//go:build !js

package native

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"

	"github.com/kinopio-hub/kinopio-hub/v3/transport"
)

// tcpConn puts the errors of TCP in the words of the contract.
type tcpConn struct {
	net.Conn
	url  string
	lost atomic.Pointer[transport.Error] // the system tells it once, and then says io.EOF
}

func (c *tcpConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if lost := c.lost.Load(); lost != nil && err == io.EOF {
		return n, lost
	}
	if err == nil || isLocal(err) {
		return n, err
	}
	c.lost.CompareAndSwap(nil, c.unclean("read", err))
	return n, c.lost.Load()
}

func (c *tcpConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if err == nil || isLocal(err) {
		return n, err
	}
	// A write may be told of the end first, and Read is then not told.
	c.lost.CompareAndSwap(nil, c.unclean("read", err))
	return n, c.unclean("write", err)
}

func (c *tcpConn) unclean(op string, err error) *transport.Error {
	return &transport.Error{Op: op, URL: c.url, Err: fmt.Errorf("%w: %w", transport.ErrUnclean, err)}
}

// Close may be repeated.
func (c *tcpConn) Close() error {
	err := c.Conn.Close()
	// A connection that the peer has reset can fail to close, and is closed nevertheless.
	if errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ENOTCONN) || errors.Is(err, syscall.ECONNRESET) {
		return nil
	}
	return err
}

// isLocal tells the errors that the contract passes on as they are.
func isLocal(err error) bool {
	return err == io.EOF || errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded)
}
