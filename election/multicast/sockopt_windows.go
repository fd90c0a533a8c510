package multicast

import (
	"errors"
	"syscall"

	"golang.org/x/sys/windows"
)

// bindToGroup: Windows binds to addresses of the machine only.
const bindToGroup = false

// tooLarge is what reading a packet beyond the buffer comes to, where that is an error.
var tooLarge error = windows.WSAEMSGSIZE

// noRoom is what joining comes to when a socket is a member as often as it may be.
var noRoom error = windows.WSAENOBUFS

func isPort(string) bool { return false }

// shareport lets several programs of a host listen on one port.
func shareport(c syscall.RawConn, _ func(string, error)) error {
	var err error
	return errors.Join(c.Control(func(fd uintptr) {
		err = windows.SetsockoptInt(windows.Handle(fd), windows.SOL_SOCKET, windows.SO_REUSEADDR, 1)
	}), err)
}
