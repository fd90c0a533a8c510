//go:build unix && !linux

package multicast

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// bindToGroup: on BSD the bound address becomes the source, so it must not be the group's.
const bindToGroup = false

// tooLarge is what reading a packet beyond the buffer comes to, where that is an error.
var tooLarge error = unix.EMSGSIZE

// noRoom is what joining comes to when a socket is a member as often as it may be.
var noRoom error = unix.ENOBUFS

func isPort(string) bool { return false }

// shareport lets several programs of a host listen on one port. BSD and macOS want both.
func shareport(c syscall.RawConn, _ func(string, error)) error {
	var err error
	return errors.Join(c.Control(func(fd uintptr) {
		err = errors.Join(
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1))
	}), err)
}
