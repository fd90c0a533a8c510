package leaf

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Leaf is a running leaf. Its methods may be called from any goroutine.
type Leaf struct {
	set  *settings
	log  *serverLog
	dir  *runDir
	cert *certificate
	srv  *server.Server
	disc *discovery

	ports        Ports
	websocketURL string
	discoveryURL string

	wake    chan struct{} // Something may have changed.
	quit    chan struct{} // Closed when the watcher shall end.
	watched chan struct{} // Closed when it has.
	stop    sync.Once
	stopped chan struct{}

	mu          sync.Mutex
	phase       Phase
	rtt         *float64
	connections int
}

// Start starts a leaf and returns when all its listeners accept connections. It does
// not wait for the backbone. ctx bounds the start only; end a leaf with [Leaf.Stop].
//
// Errors: *[ConfigError] for a field that cannot be used, *[ListenError] for a
// listener (wrapping [ErrPortInUse]), those of package tlsca for the certificate.
// After an error nothing of the leaf is left.
func Start(ctx context.Context, c Config) (*Leaf, error) {
	l, err := start(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("start leaf: %w", err)
	}
	return l, nil
}

func start(ctx context.Context, c Config) (_ *Leaf, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	set, err := c.normalize()
	if err != nil {
		return nil, err
	}
	l := &Leaf{
		set:     set,
		wake:    make(chan struct{}, 1),
		quit:    make(chan struct{}),
		watched: make(chan struct{}),
		stopped: make(chan struct{}),
		phase:   PhaseStarting,
	}
	if l.dir, err = openRunDir(c.RuntimeDir); err != nil {
		return nil, err
	}
	undo := []func(){l.dir.remove}
	defer func() {
		if err != nil {
			for i := len(undo) - 1; i >= 0; i-- {
				undo[i]()
			}
		}
	}()
	set.Logger = slog.New(slog.NewMultiHandler(set.Logger.Handler(),
		slog.NewTextHandler(l.dir.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	l.log = newServerLog(set.Logger, set.backbone.secrets, &bridge{configured: len(set.backbone.urls) > 0}, l.nudge)

	if l.cert, err = openCertificate(set, l.dir); err != nil {
		return nil, err
	}
	conf := l.cert.config()
	// The manifest answers 204 until the phase is running.
	if l.disc, err = startDiscovery(set, conf, l.Manifest); err != nil {
		return nil, err
	}
	undo = append(undo, l.disc.stop)
	ports := Ports{}
	if l.srv, ports, err = startServer(set, conf, l.log); err != nil {
		return nil, err
	}
	ports.Discovery = l.disc.port
	undo = append(undo, func() { l.srv.Shutdown(); l.srv.WaitForShutdown() })
	if err := ctx.Err(); err != nil {
		return nil, err
	}

	l.mu.Lock()
	l.ports = ports
	l.websocketURL = l.url("ws", ports.WebSocket)
	l.discoveryURL = l.url("http", ports.Discovery) + ManifestPath
	l.phase = PhaseRunning
	l.mu.Unlock()
	var first Status
	l.report(&first)
	go l.watch(first)
	return l, nil
}

// url of a LAN listener as others reach it.
func (l *Leaf) url(scheme string, port int) string {
	if l.cert.status.Mode != TLSOff {
		scheme += "s"
	}
	return scheme + "://" + net.JoinHostPort(l.set.AdvertisedHostname, strconv.Itoa(port))
}

func (l *Leaf) setPhase(p Phase) {
	l.mu.Lock()
	l.phase = p
	l.mu.Unlock()
	l.nudge()
}

// nudge makes the watcher look now. It never blocks.
func (l *Leaf) nudge() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

const (
	lookSettled = time.Second            // Connections and round trips.
	lookWaiting = 100 * time.Millisecond // The server does not say when a bridge has come up.
)

// watch is the goroutine that observes the server and reports changes.
func (l *Leaf) watch(last Status) {
	defer close(l.watched)
	timer := time.NewTimer(0)
	defer timer.Stop()
	discDone := l.disc.done
	for {
		select {
		case <-l.quit:
			l.report(&last)
			return
		case <-l.wake:
		case <-timer.C:
		case <-discDone:
			discDone = nil
			if l.disc.err != nil {
				l.log.Fatalf("discovery listener: %v", l.disc.err)
			}
		}
		l.observe()
		l.report(&last)
		pause := lookSettled
		if last.BridgeState != BridgeConnected && len(l.set.backbone.urls) > 0 && last.Phase == PhaseRunning {
			pause = lookWaiting
		}
		timer.Reset(pause)
	}
}

// observe asks the server what it does not tell.
func (l *Leaf) observe() {
	links, clients := l.srv.NumLeafNodes(), l.srv.NumClients()
	l.log.mu.Lock()
	l.log.bridge.links(links)
	l.log.mu.Unlock()
	var rtt *float64
	if links > 0 {
		rtt = bridgeRTT(l.srv)
	}
	failed := l.log.failure() != nil
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rtt, l.connections = rtt, clients
	if failed && l.phase == PhaseRunning {
		l.phase = PhaseFailed
	}
}

func (l *Leaf) report(last *Status) {
	now := l.Status()
	if sameStatus(now, *last) {
		return
	}
	*last = now
	if l.set.OnChange != nil {
		l.set.OnChange(now)
	}
}
