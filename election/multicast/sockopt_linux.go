package multicast

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// bindToGroup: a socket bound to the group takes no unicast that is meant for a neighbour on
// the same port, such as avahi. Linux sends from it with the interface's address.
const bindToGroup = true

// tooLarge is what reading a packet beyond the buffer comes to, where that is an error.
var tooLarge error = unix.EMSGSIZE

// shareport lets several programs of a host listen on one port: each hears every packet. There
// are programs that set only one of the two options, and only who has the same may join them.
// IP_MULTICAST_ALL is off: only what came on an interface that this socket has joined.
func shareport(_, _ string, c syscall.RawConn) error {
	var err error
	return errors.Join(c.Control(func(fd uintptr) {
		err = errors.Join(
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEADDR, 1),
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1),
			unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MULTICAST_ALL, 0))
	}), err)
}
