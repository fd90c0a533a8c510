package leaf

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// ErrPortInUse is wrapped by a [ListenError] when another program has the port.
var ErrPortInUse = errors.New("port in use")

// ErrNotHere is wrapped by a [ListenError] when the address is none of this machine's.
var ErrNotHere = errors.New("no address of this machine")

// ListenError says which listener could not be opened, and where.
type ListenError struct {
	Role    string // "client", "websocket", "discovery" or "monitor"
	Address string
	Port    int
	Err     error
}

func (e *ListenError) Error() string {
	return fmt.Sprintf("listen %s on %s: %v", e.Role, net.JoinHostPort(e.Address, strconv.Itoa(e.Port)), e.Err)
}

func (e *ListenError) Unwrap() error { return e.Err }

// Hint says what to do next.
func (e *ListenError) Hint() string {
	switch {
	case errors.Is(e.Err, ErrPortInUse):
	case errors.Is(e.Err, os.ErrPermission) && e.Port > 0 && e.Port < 1024:
		return fmt.Sprintf("ports below 1024 take rights that this user does not have: choose a %s port from 1024, or 0 for a free one", e.Role)
	case errors.Is(e.Err, ErrNotHere):
		return "give an address that this machine has now, or none to have it detected"
	default:
		return fmt.Sprintf("is %s an address of this machine, and may this user open port %d?", e.Address, e.Port)
	}
	var ask string
	switch runtime.GOOS {
	case "linux":
		ask = fmt.Sprintf("ss -ltnp 'sport = :%d'", e.Port)
	case "windows":
		ask = fmt.Sprintf("netstat -ano | findstr :%d", e.Port)
	default:
		ask = fmt.Sprintf("lsof -nP -iTCP:%d -sTCP:LISTEN", e.Port)
	}
	return fmt.Sprintf("see who has it with: %s; or choose another %s port, 0 for a free one", ask, e.Role)
}

// NewListenError says that the listener for a role could not be opened, and wraps
// [ErrPortInUse] or [ErrNotHere] if that is why.
func NewListenError(role, address string, port int, err error) error {
	return listenError(role, address, port, err)
}

func notHere(err error) bool {
	const wsaAddrNotAvail = syscall.Errno(10049) // Windows; no errno of another system.
	return errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, wsaAddrNotAvail) || strings.Contains(err.Error(), "cannot assign requested address")
}

func listenError(role, address string, port int, err error) error {
	switch {
	case portInUse(err):
		err = ErrPortInUse
	case notHere(err):
		err = ErrNotHere
	}
	return &ListenError{Role: role, Address: address, Port: port, Err: err}
}

func portInUse(err error) bool {
	const wsaAddrInUse = syscall.Errno(10048) // Windows; no errno of another system.
	if errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, wsaAddrInUse) {
		return true
	}
	// nats-server keeps only the text of some errors.
	text := err.Error()
	return strings.Contains(text, "address already in use") || strings.Contains(text, "Only one usage of each socket address")
}
