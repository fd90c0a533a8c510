package leaf

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/webtransport-go"
)

const (
	// WebTransportPath is where a leaf takes WebTransport sessions.
	WebTransportPath = "/webtransport"

	wtHandshake  = 5 * time.Second
	wtUnproven   = 64 // Connections without a session, above which new ones must first prove their address.
	wtShare      = 64 // Sessions that one address may have in any case.
	wtFarewell   = 100 * time.Millisecond
	wtHeaderMost = 16 << 10
)

// wtQUIC is what a listener tells its peers. All limits are explicit: Safari refuses a server that
// names none. Nobody opens a stream but for the session's request and HTTP/3's own three: the
// leaf itself opens the one that carries NATS, so that the first word comes with the answer. A peer
// is gone after idle of silence.
func wtQUIC(idle time.Duration) *quic.Config {
	return &quic.Config{
		HandshakeIdleTimeout:             wtHandshake,
		MaxIdleTimeout:                   idle,
		KeepAlivePeriod:                  idle / 3,
		MaxIncomingStreams:               8,
		MaxIncomingUniStreams:            8,
		InitialStreamReceiveWindow:       256 << 10,
		MaxStreamReceiveWindow:           4 << 20,
		InitialConnectionReceiveWindow:   512 << 10,
		MaxConnectionReceiveWindow:       6 << 20,
		EnableDatagrams:                  true,
		EnableStreamResetPartialDelivery: true,
	}
}

// wtListener takes WebTransport sessions. Each carries one NATS connection of the leaf's server.
type wtListener struct {
	log     *slog.Logger
	origins func() []string // nil: any.
	backend string          // The server's listener on loopback.
	port    int

	udp     *net.UDPConn
	quic    *quic.Transport
	ln      *quic.EarlyListener
	server  *webtransport.Server
	done    chan struct{} // Closed when nothing more is accepted.
	ctx     context.Context
	stopped context.CancelFunc
	serving sync.WaitGroup
	seats   *turnstile

	mu      sync.Mutex
	conns   map[*quic.Conn]*wtConn
	session int // How many of conns have one.
	err     error
}

// wtConn is one QUIC connection.
type wtConn struct {
	silence *time.Timer // Ends it, unless there is a session soon.
	session bool
}

// listenWT listens on the UDP port of s.Ports.WebSocket.
func listenWT(s *settings, certs *wtCerts, origins func() []string) (*wtListener, error) {
	udp, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(s.lan, uint16(s.Ports.WebSocket))))
	if err != nil {
		return nil, listenError("webtransport", s.lan.String(), s.Ports.WebSocket, err)
	}
	most := min(s.MaxConnections, max(wtShare, descriptors()/4)) // Each takes two.
	l := &wtListener{
		log:     s.Logger,
		origins: origins,
		backend: loopback(s.Ports.Client),
		port:    s.Ports.WebSocket,
		udp:     udp,
		done:    make(chan struct{}),
		seats:   newTurnstile(most, max(wtShare, most/mostOpenShare)),
		conns:   map[*quic.Conn]*wtConn{},
	}
	l.ctx, l.stopped = context.WithCancel(context.Background())
	l.quic = &quic.Transport{Conn: udp, StatelessResetKey: certs.resetKey(), VerifySourceAddress: func(net.Addr) bool { return l.unproven() > wtUnproven }}
	l.server = &webtransport.Server{
		CheckOrigin: func(*http.Request) bool { return true }, // Looked at before, for an answer.
		H3: &http3.Server{
			Handler:        http.HandlerFunc(l.serve),
			MaxHeaderBytes: wtHeaderMost,
			Logger:         slog.New(slog.DiscardHandler),
			ConnContext:    func(ctx context.Context, c *quic.Conn) context.Context { return context.WithValue(ctx, wtKey{}, c) },
		},
	}
	webtransport.ConfigureHTTP3Server(l.server.H3)
	if l.ln, err = l.quic.ListenEarly(certs.config(), wtQUIC(certs.times.idle)); err != nil {
		l.stopped()
		udp.Close()
		return nil, listenError("webtransport", s.lan.String(), s.Ports.WebSocket, err)
	}
	go l.accept()
	return l, nil
}

type wtKey struct{} // Of the QUIC connection in a request's context.

// accept serves connections until the listener ends.
func (l *wtListener) accept() {
	defer close(l.done)
	for {
		conn, err := l.ln.Accept(l.ctx)
		if err != nil {
			l.mu.Lock()
			l.err = err
			l.mu.Unlock()
			return
		}
		from := source(conn.RemoteAddr())
		if !l.seats.enter(from) {
			l.log.Debug("webtransport: too many connections", "from", conn.RemoteAddr())
			_ = conn.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeExcessiveLoad), "too many connections")
			continue
		}
		c := &wtConn{}
		l.mu.Lock()
		c.silence = time.AfterFunc(silencePatience, func() { l.cutSilent(conn) })
		l.conns[conn] = c
		l.mu.Unlock()
		l.serving.Go(func() {
			defer l.leave(conn, from)
			if err := l.server.ServeQUICConn(conn); err != nil && !errors.Is(err, http.ErrServerClosed) {
				l.log.Debug("webtransport: a connection ends", "from", conn.RemoteAddr(), "error", err)
			}
			_ = conn.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "")
		})
	}
}

func (l *wtListener) leave(conn *quic.Conn, from netip.Addr) {
	l.seats.leave(from)
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.conns[conn]
	delete(l.conns, conn)
	c.silence.Stop()
	if c.session {
		l.session--
	}
}

func (l *wtListener) cutSilent(conn *quic.Conn) {
	l.mu.Lock()
	c := l.conns[conn]
	silent := c != nil && !c.session
	l.mu.Unlock()
	if silent {
		_ = conn.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "no session")
	}
}

// unproven is how many connections have no session.
func (l *wtListener) unproven() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.conns) - l.session
}

// admit lets a connection have its one session.
func (l *wtListener) admit(conn *quic.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.conns[conn]
	if c == nil || c.session {
		return false
	}
	c.session = true
	l.session++
	c.silence.Stop()
	return true
}

// serve answers one request: a session, or why not.
func (l *wtListener) serve(w http.ResponseWriter, r *http.Request) {
	conn, _ := r.Context().Value(wtKey{}).(*quic.Conn)
	switch {
	case r.URL.Path != WebTransportPath:
		http.Error(w, "not found; sessions are at "+WebTransportPath, http.StatusNotFound)
		return
	case r.Method != http.MethodConnect:
		http.Error(w, "only for WebTransport", http.StatusMethodNotAllowed)
		return
	case !allowedOrigin(r.Header.Values("Origin"), l.origins()):
		l.log.Debug("webtransport: origin not allowed", "origin", r.Header.Get("Origin"), "from", conn.RemoteAddr())
		w.WriteHeader(http.StatusForbidden)
		return
	case !l.admit(conn):
		w.WriteHeader(http.StatusTooManyRequests)
		return
	}
	backend, err := (&net.Dialer{Timeout: wtHandshake}).DialContext(r.Context(), "tcp", l.backend)
	if err != nil {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	defer backend.Close()
	session, err := l.server.Upgrade(w, r)
	if err != nil {
		l.log.Debug("webtransport: no session", "from", conn.RemoteAddr(), "error", err)
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	l.carry(session, conn, backend.(*net.TCPConn))
	_ = conn.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "")
}

// allowedOrigin judges as nats-server does for WebSockets: who names no origin is no browser.
func allowedOrigin(named, allowed []string) bool {
	if len(named) == 0 || allowed == nil {
		return true
	}
	if len(named) > 1 {
		return false
	}
	origin, err := CleanOrigin(named[0])
	return err == nil && slices.Contains(allowed, origin)
}

// addresses are those that have sessions, with how many.
func (l *wtListener) addresses() map[string]int {
	counted := map[string]int{}
	l.mu.Lock()
	defer l.mu.Unlock()
	for conn, c := range l.conns {
		if a, ok := conn.RemoteAddr().(*net.UDPAddr); ok && c.session {
			counted[a.AddrPort().Addr().Unmap().String()]++
		}
	}
	return counted
}

// stop ends the listener and its connections, and waits until they have ended. Sessions
// whose NATS connection has ended have a moment to say goodbye.
func (l *wtListener) stop() {
	_ = l.ln.Close() // What is connected goes on.
	left := make(chan struct{})
	go func() { l.serving.Wait(); close(left) }()
	select {
	case <-left:
	case <-time.After(wtFarewell):
	}
	l.mu.Lock()
	conns := slices.Collect(maps.Keys(l.conns))
	l.mu.Unlock()
	for _, conn := range conns {
		_ = conn.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "")
	}
	l.stopped()
	<-l.done
	l.serving.Wait()
	_ = l.server.Close()
	_ = l.quic.Close()
	_ = l.udp.Close()
}

// failure is why the listener has ended, nil while it has not.
func (l *wtListener) failure() error {
	if !ended(l.done) {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return fmt.Errorf("webtransport listener: %w", l.err)
}

// wtURL is where a leaf takes sessions at one of its addresses.
func wtURL(addr netip.Addr, port int) string {
	return "https://" + netip.AddrPortFrom(addr, uint16(port)).String() + WebTransportPath
}

// proxyLine tells the server whose connection this is (PROXY protocol, version 1, by HAProxy).
func proxyLine(from, to net.Addr) string {
	f, okFrom := from.(*net.UDPAddr)
	t, okTo := to.(*net.UDPAddr)
	if !okFrom || !okTo {
		return "PROXY UNKNOWN\r\n"
	}
	src, dst := f.AddrPort().Addr().Unmap().WithZone(""), t.AddrPort().Addr().Unmap().WithZone("")
	family := "TCP6"
	if src.Is4() {
		family = "TCP4"
	}
	if src.Is4() != dst.Is4() { // A listener on all addresses does not say which was meant.
		dst = src
	}
	return strings.Join([]string{"PROXY", family, src.String(), dst.String(), fmt.Sprint(f.Port), fmt.Sprint(t.Port)}, " ") + "\r\n"
}
