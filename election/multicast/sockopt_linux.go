package multicast

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// bindToGroup: a socket bound to the group takes no unicast that is meant for a neighbour on
// the same port, such as avahi. Linux sends from it with the interface's address.
const bindToGroup = true

// tooLarge is what reading a packet beyond the buffer comes to, where that is an error.
var tooLarge error = unix.EMSGSIZE

// noRoom is what joining comes to when a socket is a member as often as it may be.
var noRoom error = unix.ENOBUFS

// isPort tells whether an interface is a part of a bridge or a bond.
func isPort(name string) bool {
	_, err := os.Stat(filepath.Join("/sys/class/net", name, "master"))
	return err == nil
}

// shareport lets several programs of a host listen on one port: each hears every packet. There
// are programs that set only one of the two options, and only who has the same may join them.
// IP_MULTICAST_ALL is off: only what came on an interface that this socket has joined.
func shareport(c syscall.RawConn, say func(what string, err error)) error {
	var err error
	return errors.Join(c.Control(func(fd uintptr) {
		err = share(func(level, option, value int) error { return unix.SetsockoptInt(int(fd), level, option, value) }, say)
	}), err)
}

// share sets the options. Where a system knows no SO_REUSEPORT or IP_MULTICAST_ALL, as gVisor and
// old kernels, it must do without: packets of other groups are told by their destination.
func share(set func(level, option, value int) error, say func(what string, err error)) error {
	if err := set(unix.SOL_SOCKET, unix.SO_REUSEADDR, 1); err != nil {
		return fmt.Errorf("share the port (SO_REUSEADDR): %w", err)
	}
	if err := set(unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
		say("share the port with programs that have set SO_REUSEPORT, which this system refuses", err)
	}
	if err := set(unix.IPPROTO_IP, unix.IP_MULTICAST_ALL, 0); err != nil {
		say("hear only what this program has joined (IP_MULTICAST_ALL), which this system refuses", err)
	}
	_ = set(unix.IPPROTO_IPV6, ipv6MulticastAll, 0) // A socket of IPv4 refuses it.
	return nil
}

const ipv6MulticastAll = 29 // IPV6_MULTICAST_ALL, since Linux 4.20.
