package leaf

import (
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
)

func TestListenErrorsSayWhatToDo(t *testing.T) {
	refused := func(no syscall.Errno) error {
		return &net.OpError{Op: "listen", Net: "tcp", Err: os.NewSyscallError("bind", no)}
	}
	for _, c := range []struct {
		port int
		err  error
		is   error
		want string
	}{
		{443, refused(syscall.EADDRINUSE), ErrPortInUse, "see who has it"},
		{443, refused(syscall.EACCES), os.ErrPermission, "ports below 1024 take rights"},
		{8443, refused(syscall.EACCES), os.ErrPermission, "may this user open port 8443"},
		{0, refused(syscall.EADDRNOTAVAIL), ErrNotHere, "give an address that this machine has"},
		{8443, errors.New("listen tcp 10.9.9.9:8443: bind: cannot assign requested address"), ErrNotHere, "give an address"}, // nats-server keeps the text only.
	} {
		err := NewListenError("websocket", "10.9.9.9", c.port, c.err)
		listen, ok := errors.AsType[*ListenError](err)
		if !ok || !errors.Is(err, c.is) || !strings.Contains(listen.Hint(), c.want) {
			t.Errorf("%v: %v, hint %q", c.err, err, listen.Hint())
		}
	}
}
