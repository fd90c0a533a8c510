package leaf

import (
	"net/netip"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"golang.org/x/sys/unix"
)

// sweeps: this system tells a process of its own sockets, so the server may listen itself.
const sweeps = true

// sweeper cuts connections to the server's WebSocket listener that say nothing, or that are too many
// before they are WebSockets. The server has no limits for those, and nobody else accepts its
// connections, so this looks at the process's own sockets.
type sweeper struct {
	srv  *server.Server
	port uint16
	list *os.File // /proc/self/fd. It stays open, as does spare: there may be no descriptor left when they are needed.

	spare int
	began map[netip.AddrPort]time.Time // Who is no client yet, and since when.
	known map[netip.AddrPort]bool      // Who is.
	rules halfOpenRules

	ending            sync.Once
	stopping, stopped chan struct{}
}

// sweepWebSockets begins to look after the listener of srv at port. Without /proc it does nothing.
func sweepWebSockets(srv *server.Server, port int) *sweeper {
	s := &sweeper{srv: srv, port: uint16(port), spare: -1, began: map[netip.AddrPort]time.Time{}, known: map[netip.AddrPort]bool{},
		rules: halfOpenRules{silence: silencePatience, most: mostHalfOpen()}, stopping: make(chan struct{}), stopped: make(chan struct{})}
	var err error
	if s.list, err = os.Open("/proc/self/fd"); err == nil {
		s.spare, err = unix.FcntlInt(s.list.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	}
	if err != nil {
		s.close()
		close(s.stopped)
		return s
	}
	go s.run()
	return s
}

func (s *sweeper) run() {
	defer close(s.stopped)
	defer s.close()
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-s.stopping:
			return
		case now := <-tick.C:
			s.sweep(now)
		}
	}
}

func (s *sweeper) close() {
	if s.list != nil {
		s.list.Close()
	}
	if s.spare >= 0 {
		unix.Close(s.spare)
	}
}

// stop ends the looking, and waits until it has ended. What did not start again is ended again.
func (s *sweeper) stop() {
	s.ending.Do(func() { close(s.stopping) })
	<-s.stopped
}

// sweep looks once.
func (s *sweeper) sweep(now time.Time) {
	open := s.sockets()
	strangers := false
	for at := range open {
		strangers = strangers || !s.known[at]
	}
	if strangers {
		s.known = clientsOf(s.srv) // After the sockets were listed: who is a client by now is none to be cut.
	}
	var waiting []halfOpen
	began := map[netip.AddrPort]time.Time{}
	for at, fd := range open {
		if s.known[at] {
			continue
		}
		since, ok := s.began[at]
		if !ok {
			since = now
		}
		began[at] = since
		waiting = append(waiting, halfOpen{at: at, since: since, silent: silent(fd)})
	}
	s.began = began
	for at := range s.known {
		if _, ok := open[at]; !ok {
			delete(s.known, at)
		}
	}
	for _, at := range s.rules.cut(waiting, now) {
		s.cut(open[at], at)
	}
}

// sockets are this process's connections to the listener, by who is at their other end.
func (s *sweeper) sockets() map[netip.AddrPort]int {
	found := map[netip.AddrPort]int{}
	if _, err := s.list.Seek(0, 0); err != nil {
		return found
	}
	names, err := s.list.Readdirnames(-1)
	if err != nil {
		return found
	}
	for _, name := range names {
		fd, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if at, ok := s.peer(fd); ok {
			found[at] = fd
		}
	}
	return found
}

// peer is who is at the other end of a connection to the listener.
func (s *sweeper) peer(fd int) (at netip.AddrPort, ok bool) {
	local, err := unix.Getsockname(fd)
	if err != nil || addrPort(local).Port() != s.port {
		return at, false
	}
	remote, err := unix.Getpeername(fd)
	if err != nil {
		return at, false // The listener itself, or one that has just ended.
	}
	at = addrPort(remote)
	return at, at.IsValid()
}

// addrPort has no zone: the server's list of clients is compared without.
func addrPort(a unix.Sockaddr) netip.AddrPort {
	switch a := a.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port))
	}
	return netip.AddrPort{}
}

// silent tells whether nothing has come by a connection yet.
func silent(fd int) bool {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	return err == nil && info.Bytes_received == 0
}

// cut ends a connection by a descriptor of its own, so that no other one can be meant: the number may
// belong to something else by now.
func (s *sweeper) cut(fd int, at netip.AddrPort) {
	if err := unix.Dup3(fd, s.spare, unix.O_CLOEXEC); err != nil {
		return
	}
	if now, ok := s.peer(s.spare); ok && now == at {
		_ = unix.Shutdown(s.spare, unix.SHUT_RDWR) // Its reader sees the end, and closes it.
	}
	_ = unix.Dup3(int(s.list.Fd()), s.spare, unix.O_CLOEXEC) // It is held open no longer.
}
