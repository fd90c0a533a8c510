//go:build !unix && !windows

package multicast

import (
	"errors"
	"syscall"
)

const bindToGroup = false

// tooLarge is what reading a packet beyond the buffer comes to, where that is an error.
var tooLarge error = errors.ErrUnsupported

func shareport(_, _ string, _ syscall.RawConn) error {
	return errors.ErrUnsupported
}
