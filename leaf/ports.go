package leaf

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// ErrPortInUse is wrapped by a [ListenError] when another program has the port.
var ErrPortInUse = errors.New("port in use")

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
	if !errors.Is(e.Err, ErrPortInUse) {
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

func listenError(role, address string, port int, err error) error {
	if portInUse(err) {
		err = ErrPortInUse
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
