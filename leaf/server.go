package leaf

import (
	"cmp"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nuid"
)

const (
	loopbackHost = "127.0.0.1"

	// A backbone that is gone without a word is noticed after about three of these.
	pingInterval = 2 * time.Second
	// Pages in hidden tabs answer late.
	websocketPingInterval = 30 * time.Second
	// How often the backbone is tried: between one and two of these.
	reconnectInterval = 500 * time.Millisecond
	dialTimeout       = 3 * time.Second
	// A backbone behind a satellite takes several round trips until its first word.
	greetTimeout = 10 * time.Second
	readyTimeout = 5 * time.Second
)

// natsServer is a running server with the options that it was started with.
type natsServer struct {
	*server.Server
	opts    *server.Options
	monitor *monitor
	sweeper *sweeper
	front   *front // nil where the server listens for WebSockets itself.
	// For pages by WebTransport, or why there is none. Written under life and mu.
	wt       *wtListener
	wtFailed error
}

// startServer runs a nats-server for s and returns it with the ports of all listeners.
// What it says goes to log. On an error nothing of it is left.
func startServer(s *settings, conf *tls.Config, log *serverLog) (_ *natsServer, _ Ports, err error) {
	opts, err := serverOptions(s, conf)
	if err != nil {
		return nil, Ports{}, err
	}
	var door net.Listener // Of a front.
	if s.front || !sweeps {
		if door, err = listenFront(s); err != nil {
			return nil, Ports{}, err
		}
		defer func() {
			if err != nil {
				door.Close()
			}
		}()
		opts.Websocket.Host, opts.Websocket.Port = loopbackHost, server.RANDOM_PORT
		// Clients are told where else to connect.
		opts.Websocket.Advertise = net.JoinHostPort(s.AdvertisedHostname, strconv.Itoa(door.Addr().(*net.TCPAddr).Port))
	}
	monitoring, err := listenMonitor(s.Ports.Monitor)
	if err != nil {
		return nil, Ports{}, err
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		monitoring.Close()
		return nil, Ports{}, errors.New("start nats-server: " + log.secrets.Replace(err.Error()))
	}
	srv.SetLoggerV2(log, false, false, false)
	srv.Start()
	err = startFailure(s, log.failure())
	if err == nil && !srv.ReadyForConnections(readyTimeout) {
		err = fmt.Errorf("start nats-server: not ready within %v", readyTimeout)
	}
	var ports Ports
	if err == nil {
		ports, err = readPorts(srv)
		ports.Discovery = s.Ports.Discovery
	}
	if err != nil {
		monitoring.Close()
		srv.Shutdown()
		srv.WaitForShutdown()
		return nil, Ports{}, err
	}
	m := serveMonitor(monitoring, srv, log.debug())
	ports.Monitor = m.at.(*net.TCPAddr).Port
	running := &natsServer{Server: srv, opts: opts, monitor: m}
	if door != nil {
		running.front = serveFront(door, srv, ports.WebSocket, cmp.Or(s.frontSilence, silencePatience))
		ports.WebSocket = running.front.port()
	} else {
		running.sweeper = sweepWebSockets(srv, ports.WebSocket)
	}
	return running, ports, nil
}

func serverOptions(s *settings, conf *tls.Config) (*server.Options, error) {
	own := 1 // The herald.
	if s.Keep != nil {
		own++
	}
	o := &server.Options{
		// Two servers with one name evict each other from the backbone for ever.
		ServerName: "kinopio-leaf-" + s.NodeID + "-" + nuid.Next(),
		Host:       loopbackHost,
		Port:       freeOr(s.Ports.Client),
		NoSigs:     true,

		// By which the WebTransport listener says whose connection it brings. Others may say nothing.
		ProxyProtocol: !s.NoWebTransport,

		MaxConn:    s.MaxConnections + own,
		MaxPayload: int32(s.MaxPayload),
		MaxPending: max(server.MAX_PENDING_SIZE, 2*int64(s.MaxPayload)),

		PingInterval: s.times.ping,
		MaxPingsOut:  2,

		// A page that is loading is slow to log in; who says nothing at all is cut after this time anyway.
		AuthTimeout: silencePatience.Seconds(),

		// Each attempt at the backbone is told; serverLog keeps the repeats down.
		ConnectErrorReports:   1,
		ReconnectErrorReports: 1,

		// Stop announces lame duck and decides itself when to end: these only have to
		// be longer than that, so that the server closes neither client nor bridge.
		LameDuckGracePeriod: time.Hour,
		LameDuckDuration:    2 * time.Hour,
	}
	account, err := s.access.apply(o)
	if err != nil {
		return nil, err
	}
	if domain := s.Backbone.JetStreamDomain; domain != "" {
		o.JsAccDefaultDomain = map[string]string{cmp.Or(account, server.DEFAULT_GLOBAL_ACCOUNT): domain}
	}
	o.Websocket = server.WebsocketOpts{
		Host:             s.lan.String(),
		Port:             freeOr(s.Ports.WebSocket),
		TLSConfig:        conf,
		NoTLS:            conf == nil,
		AllowedOrigins:   s.origins(conf != nil),
		HandshakeTimeout: promptPatience,
		PingInterval:     websocketPingInterval,
	}
	o.LeafNode = server.LeafNodeOpts{
		ReconnectInterval: reconnectInterval,
		DialTimeout:       dialTimeout,
		Remotes:           s.backbone.remotes(account),
	}
	return o, nil
}

func freeOr(port int) int {
	if port == 0 {
		return server.RANDOM_PORT
	}
	return port
}

// startFailure turns the line that would have ended nats-server into an error that
// names the listener. The server tells failures to listen in no other way.
func startFailure(s *settings, failure error) error {
	if failure == nil {
		return nil
	}
	for _, listener := range []struct {
		begins, role, address string
		port                  int
	}{
		{"Error listening on port", "client", loopbackHost, s.Ports.Client},
		{"Unable to listen for websocket connections", "websocket", s.lan.String(), s.Ports.WebSocket},
	} {
		if strings.HasPrefix(failure.Error(), listener.begins) {
			cause := errors.Unwrap(failure)
			if cause == nil {
				cause = failure
			}
			return listenError(listener.role, listener.address, listener.port, cause)
		}
	}
	return fmt.Errorf("start nats-server: %w", failure)
}

func readPorts(srv *server.Server) (Ports, error) {
	var p Ports
	if a, ok := srv.Addr().(*net.TCPAddr); ok {
		p.Client = a.Port
	}
	if u, err := url.Parse(srv.WebsocketURL()); err == nil {
		p.WebSocket, _ = strconv.Atoi(u.Port())
	}
	if p.Client <= 0 || p.WebSocket <= 0 {
		return p, fmt.Errorf("start nats-server: it does not tell its ports (%+v)", p)
	}
	return p, nil
}

// bridgeRTT is the round trip to the backbone in whole milliseconds, as the server's
// own pings measure it; nil when the bridge is down or was not measured yet.
func bridgeRTT(srv *natsServer) *float64 {
	z, err := srv.Leafz(nil)
	if err != nil || len(z.Leafs) == 0 {
		return nil
	}
	rtt, err := time.ParseDuration(z.Leafs[0].RTT)
	if err != nil || rtt <= 0 {
		return nil
	}
	ms := math.Round(float64(rtt) / float64(time.Millisecond))
	return &ms
}
