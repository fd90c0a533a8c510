//go:build !unix && !windows

package multicast

import (
	"errors"
	"syscall"
)

const bindToGroup = false

// tooLarge is what reading a packet beyond the buffer comes to, where that is an error.
var tooLarge error = errors.ErrUnsupported

// noRoom is what joining comes to when a socket is a member as often as it may be.
var noRoom error = errors.ErrUnsupported

func isPort(string) bool { return false }

func shareport(_ syscall.RawConn, _ func(string, error)) error {
	return errors.ErrUnsupported
}
