// Package demo runs the whole of KinopioHub on one machine, so that a newcomer can watch a
// page join a remote server, move to the leaf on its LAN and come back, with nothing lost.
//
// Everything is real: a backbone nats-server with TCP, WebSocket and leafnode listeners; a
// leaf in a process of its own, so that it can be killed; native hubs that publish numbered
// streams, a live value and a function; and a web server with the page.
package demo

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/tlsca"
)

// Config says what the demo shows. Its zero value, with Out, works.
type Config struct {
	// Port is the page's. 0 prefers 8088 and takes any other when that is taken.
	Port int
	// LeafAfter is when the leaf starts by itself. Negative: never.
	LeafAfter time.Duration
	// TLS gives the leaf wss and https, with a certificate of the local CA.
	TLS bool
	// Rate is how many numbered messages a second the two publishers send together. Default 200.
	Rate int
	// CacheDir holds the local CA, below kinopio-hub/leaf-ca. Default: the user's cache directory.
	CacheDir string
	// Guest lets devices on the LAN open the page, and the leaf through their session with the backbone: neither needs to be trusted there.
	Guest bool
	// GuestURL, if set, is the https address at which guests get the page: a tunnel or a web server there hands on what comes
	// to http://localhost:Port. It includes Guest, and TLS.
	GuestURL string
	// LANBindAddress is this machine's address for guests. Default: its private one.
	LANBindAddress string
	// Assets is the folder with kinopio-hub.global.js and kinopio-hub.wasm. Default: npm/dist
	// beside the folder of the executable.
	Assets string
	// JSON prints one JSON document a line instead of text.
	JSON bool
	// Out gets the addresses and one line per event.
	Out io.Writer
	// Opened, if set, is called with the page's address once it is served.
	Opened func(page string)
	// Logger gets the hubs' own lines. Nil is silent.
	Logger *slog.Logger
}

// hinted is an error with what to do about it, which the program prints below it.
type hinted struct {
	error
	hint string
}

func (e *hinted) Unwrap() error { return e.error }
func (e *hinted) Hint() string  { return e.hint }

// preferredPort is the page's when nobody asked for another.
const preferredPort = 8088

// demo is one running demo.
type demo struct {
	cfg      Config
	token    string // what the page's buttons must show
	run      string // tells one run from the next to a page that stayed open
	page     string
	port     int // of the page, on loopback
	assets   assets
	caFile   string         // root certificate of the local CA; "" without TLS
	roots    *x509.CertPool // what the native hubs trust; nil without TLS
	backbone *backbone
	leaf     *leafProcess
	guests   *guests // nil: there are to be none
	events   *events
}

// Run shows the demo until ctx ends, and returns when all of it has ended.
func Run(ctx context.Context, cfg Config) (err error) {
	if cfg.Rate == 0 {
		cfg.Rate = 200
	}
	if cfg.Rate < 2 || cfg.Rate > 100_000 {
		return fmt.Errorf("rate %d: want 2 to 100000 messages a second", cfg.Rate)
	}
	executable, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	d := &demo{cfg: cfg, token: rand.Text(), run: rand.Text(), events: newEvents()}
	if d.assets, err = findAssets(cfg.Assets, executable); err != nil {
		return err
	}
	if d.guests, err = newGuests(&d.cfg); err != nil {
		return err
	}
	if err := d.openCA(); err != nil {
		return err
	}
	listeners, err := d.listen()
	if err != nil {
		return err
	}
	for _, l := range listeners {
		defer l.Close()
	}
	d.page = "http://localhost:" + strconv.Itoa(d.port) + "/"
	origins := d.guests.allowed(pageOrigins(d.port))

	runtimeDir, err := os.MkdirTemp("", "kinopio-demo-")
	if err != nil {
		return fmt.Errorf("make a folder for the leaf: %w", err)
	}
	defer os.RemoveAll(runtimeDir)
	if d.backbone, err = startBackbone(origins); err != nil {
		return err
	}
	defer d.backbone.stop()
	config := leafConfig{
		executable: executable,
		backbone:   d.backbone.leafnodeURL,
		runtimeDir: filepath.Join(runtimeDir, "leaf"),
		cacheDir:   d.cfg.CacheDir,
		tls:        d.cfg.TLS,
		origins:    origins,
		changed:    d.leafChanged,
	}
	if g := d.guests; g != nil {
		config.address, config.secret = g.address.String(), g.secret
	}
	if d.leaf, err = newLeafProcess(config); err != nil {
		return err
	}

	printed := make(chan error, 1)
	stopPrinting := d.print(printed)
	defer func() {
		stopPrinting()
		err = errors.Join(err, <-printed)
	}()
	defer d.leaf.close()

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	web, err := d.serve(listeners, cancel)
	if err != nil {
		return err
	}
	defer web.close()
	hubs, err := d.openHubs(ctx)
	if err != nil {
		return err
	}
	defer hubs.close()

	if cfg.Opened != nil {
		cfg.Opened(d.page)
	}
	if cfg.LeafAfter >= 0 {
		timer := time.AfterFunc(cfg.LeafAfter, func() { d.leaf.start() })
		defer timer.Stop()
	}
	<-ctx.Done()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// openCA makes sure, for TLS, that the CA which signs the leaf's certificate exists.
func (d *demo) openCA() error {
	if !d.cfg.TLS {
		return nil
	}
	if d.cfg.CacheDir == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return &hinted{error: fmt.Errorf("find a folder for the CA: %w", err), hint: "name one with --cache-dir"}
		}
		d.cfg.CacheDir = dir
	}
	ca, err := tlsca.Open(tlsca.Dir(d.cfg.CacheDir), tlsca.Options{Logger: d.cfg.Logger})
	if err != nil {
		return err
	}
	d.caFile = ca.RootFile()
	d.roots = x509.NewCertPool()
	d.roots.AddCert(ca.Root())
	return nil
}

// listen opens the page's ports.
func (d *demo) listen() ([]net.Listener, error) {
	l, err := listenPage(d.cfg.Port)
	if err != nil {
		return nil, err
	}
	d.port = l.Addr().(*net.TCPAddr).Port
	if d.guests == nil {
		return []net.Listener{l}, nil
	}
	lan, err := d.guests.listen(d.port, d.cfg.Port == 0)
	if err != nil {
		l.Close()
		return nil, err
	}
	if lan == nil {
		return []net.Listener{l}, nil
	}
	return []net.Listener{l, lan}, nil
}

// listenPage opens the page's port on loopback.
func listenPage(port int) (net.Listener, error) {
	if port == 0 {
		if l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(preferredPort))); err == nil {
			return l, nil
		}
	}
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return nil, &hinted{
			error: fmt.Errorf("serve the page on port %d: %w", port, err),
			hint:  "give another port with --port, or none to take any that is free",
		}
	}
	return l, nil
}

// leafChanged turns what happened to the leaf into an event.
func (d *demo) leafChanged(s leafStatus) {
	d.events.publish(event{Event: "leaf", Leaf: &s})
}
