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

// shareport lets several programs of a host listen on one port.
func shareport(_, _ string, c syscall.RawConn) error {
	var err error
	return errors.Join(c.Control(func(fd uintptr) {
		err = windows.SetsockoptInt(windows.Handle(fd), windows.SOL_SOCKET, windows.SO_REUSEADDR, 1)
	}), err)
}
