package leaf

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strconv"
	"sync"
	"time"
)

// Leaf is a running leaf. Its methods may be called from any goroutine.
type Leaf struct {
	log     *serverLog
	dir     *runDir
	cert    *certificate
	wtCerts *wtCerts // nil without WebTransport.
	web     *webHandler

	wake     chan struct{}   // Something may have changed.
	ctx      context.Context // Ends when Stop begins.
	stopping context.CancelFunc
	quit     chan struct{} // Closed when the watcher shall end.
	watched  chan struct{} // Closed when it has.
	stop     sync.Once
	stopped  chan struct{}
	probes   sync.WaitGroup // Of the backbone's largest payload.
	payload  chan int       // What they found.
	wtNext   time.Time      // When the watcher may try again to listen for WebTransport.
	fixed    Ports          // Those that were asked for.

	// life is held while a listener or the server is started, ended or replaced. The
	// fields below are written under life and mu, and read under either.
	life sync.Mutex
	mu   sync.Mutex
	set  *settings
	srv  *natsServer // nil while it is down.
	disc *discovery  // nil while it is down.
	her  *herald     // Of srv; nil while that is down.

	phase       Phase     // Like the rest under mu alone.
	public      []string  // Addresses of the LAN, as learned.
	asked       time.Time // When they were last asked for; the watcher's.
	trust       TrustStatus
	rtt         *float64
	connections int
	keeper      Keeper // nil if nothing is kept.
	restarts    int
}

// Start starts a leaf and returns when all its listeners accept connections. It does
// not wait for the backbone. ctx bounds the start only; end a leaf with [Leaf.Stop].
//
// A running leaf looks after itself: a listener, the manifest or the server that dies
// is started again, at growing intervals if need be; the LAN listeners follow the
// machine to a new address; certificates are renewed without cutting anybody. All of
// it shows in [Leaf.Status].
//
// Errors: *[ConfigError] for a field that cannot be used, *[ListenError] for a
// listener (wrapping [ErrPortInUse] or [ErrNotHere]), those of package tlsca for the certificate.
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
		payload: make(chan int, 1),
		fixed:   c.Ports,
		phase:   PhaseStarting,
	}
	l.ctx, l.stopping = context.WithCancel(context.Background())
	if l.dir, err = openRunDir(c.RuntimeDir); err != nil {
		return nil, err
	}
	undo := []func(){l.dir.remove, l.stopping}
	defer func() {
		if err != nil {
			for i := len(undo) - 1; i >= 0; i-- {
				undo[i]()
			}
		}
	}()
	set.Logger = slog.New(slog.NewMultiHandler(set.Logger.Handler(),
		slog.NewTextHandler(l.dir.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if why := l.dir.lock.Missing(); why != nil {
		set.Logger.Warn("nothing keeps another leaf from this one's runtime directory: give each its own", "dir", l.dir.path, "error", why)
	}
	secrets := append(append([]string{}, set.backbone.secrets...), set.access.secrets...)
	l.log = newServerLog(set.Logger, secrets, &bridge{configured: len(set.backbone.urls) > 0, secure: set.backbone.tls != nil}, l.nudge)

	if l.cert, err = openCertificate(set, l.dir); err != nil {
		return nil, err
	}
	if !set.NoWebTransport {
		if l.wtCerts, err = openWTCerts(wtDir(set), set.times, set.Logger); err != nil {
			return nil, err
		}
	}
	trusted := l.installTrust(ctx)
	undo = append(undo, func() { <-trusted })
	// The manifest answers 204 until the phase is running.
	if l.web, err = newWebHandler(set, l.Manifest, l.origins); err != nil {
		return nil, err
	}
	undo = append(undo, l.web.close)
	if l.disc, err = startDiscovery(set, l.cert.config(), l.web); err != nil {
		return nil, err
	}
	undo = append(undo, l.disc.stop)
	next := *set // From here on the manifest is asked for, and reads what l has.
	next.Ports.Discovery = l.disc.port
	srv, ports, err := startServer(&next, l.cert.config(), l.log)
	if err != nil {
		return nil, err
	}
	undo = append(undo, func() { end(srv) })
	next.Ports = ports
	l.openWebTransport(&next, srv)
	her, err := l.startHerald(&next, srv)
	if err != nil {
		return nil, err
	}
	undo = append(undo, her.gone)
	var trust TrustStatus
	select {
	case trust = <-trusted:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	l.mu.Lock()
	l.set, l.srv, l.her, l.trust = &next, srv, her, trust
	l.mu.Unlock()
	if err := l.startKeeper(ctx); err != nil {
		return nil, err
	}
	if l.access(set).OpenToLAN {
		set.Logger.Warn("this leaf is open to the LAN: anybody there may read and write; a token, users or nkeys close it",
			"address", set.LANBindAddress)
	}

	l.setPhase(PhaseRunning)
	var first Status
	l.report(&first)
	go l.watch(first)
	return l, nil
}

// trustPatience is for how long a start waits for trust stores.
const trustPatience = 8 * time.Second

// installTrust begins to put the root into trust stores, if that is wanted. The
// channel gives the result once, and is closed then.
func (l *Leaf) installTrust(ctx context.Context) <-chan TrustStatus {
	result := make(chan TrustStatus, 1)
	status := l.cert.shown().Trust
	if l.set.Trust == nil || l.cert.ca == nil {
		result <- status
		close(result)
		return result
	}
	options := *l.set.Trust
	options.Automatic = true
	if options.Logger == nil {
		options.Logger = l.set.Logger
	}
	go func() {
		defer close(result)
		ctx, cancel := context.WithTimeout(ctx, trustPatience)
		defer cancel()
		result <- l.cert.ca.InstallTrust(ctx, options)
	}()
	return result
}

// settings are those of this moment: addresses and ports may change.
func (l *Leaf) settings() *settings {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.set
}

// origins whose pages may use the leaf now; nil is any.
func (l *Leaf) origins() []string { return l.settings().origins(l.cert.config() != nil) }

func (l *Leaf) server() *natsServer {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.srv
}

// url of a LAN listener as others reach it.
func (l *Leaf) url(s *settings, scheme string, port int) string {
	if !s.NoWebSocketTLS {
		scheme += "s"
	}
	return (&url.URL{Scheme: scheme, Host: net.JoinHostPort(s.AdvertisedHostname, strconv.Itoa(port))}).String()
}

// setPhase tells where the leaf is. Once it is stopping there is no way back.
func (l *Leaf) setPhase(p Phase) {
	l.mu.Lock()
	if l.phase != PhaseStopping && l.phase != PhaseStopped {
		l.phase = p
	}
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

// nameTimeout is for how long the end of a server is waited for: it may be looking up the
// backbone's name, which nothing can cut short while no name server answers.
const nameTimeout = 300 * time.Millisecond

// end ends a server and waits until nothing of it is left, but for the look-up of a name, which
// false tells of.
func end(srv *natsServer) (all bool) {
	if srv == nil {
		return true
	}
	srv.monitor.stop()
	if srv.sweeper != nil {
		srv.sweeper.stop()
	}
	// What these two carry ends with the server's connections, and is let go in peace.
	defer srv.front.stop()
	if srv.wt != nil {
		defer srv.wt.stop()
	}
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		srv.Shutdown()
		srv.WaitForShutdown()
	}()
	select {
	case <-gone:
		return true
	case <-time.After(endPatience):
	}
	if srv.Running() || srv.NumClients() > 0 { // It is not the name: all listeners are to be closed.
		<-gone
		return true
	}
	select {
	case <-gone:
		return true
	case <-time.After(nameTimeout):
		return false
	}
}

const endPatience = 400 * time.Millisecond
