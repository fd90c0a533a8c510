package multicast

import (
	"errors"
	"fmt"
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
		err = share(func(level, option, value int) error { return unix.SetsockoptInt(int(fd), level, option, value) })
	}), err)
}

// share sets the options. Where a system knows no SO_REUSEPORT or IP_MULTICAST_ALL, as gVisor and
// old kernels, it must do without: packets of other groups are told by their destination.
func share(set func(level, option, value int) error) error {
	if err := set(unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return fmt.Errorf("share the port: %w", err)
	}
	_ = set(unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
	_ = set(unix.IPPROTO_IP, unix.IP_MULTICAST_ALL, 0)
	return nil
}
