package leaf

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"
)

// Nothing is excused: nats-server, as it is run here, leaves no goroutine.
func TestMain(m *testing.M) {
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
		if dial := nameServer.Load(); dial != nil {
			return (*dial)(ctx, network, address)
		}
		return new(net.Dialer).DialContext(ctx, network, address)
	}}
	goleak.VerifyTestMain(m)
}

// nameServer is how a test lets name servers be reached; nil: as always. The resolver itself stays the same: connections of other
// tests may still have it.
var nameServer atomic.Pointer[func(ctx context.Context, network, address string) (net.Conn, error)]

const patience = 20 * time.Second

// changes records what OnChange was told and lets tests wait for a state.
type changes struct {
	mu   sync.Mutex
	all  []Status
	more chan struct{}
}

func newChanges() *changes { return &changes{more: make(chan struct{}, 1)} }

func (c *changes) add(s Status) {
	c.mu.Lock()
	c.all = append(c.all, s)
	c.mu.Unlock()
	select {
	case c.more <- struct{}{}:
	default:
	}
}

func (c *changes) last() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.all) == 0 {
		return Status{}
	}
	return c.all[len(c.all)-1]
}

// await returns the first status at or after now that satisfies ok.
func (c *changes) await(t *testing.T, what string, ok func(Status) bool) Status {
	t.Helper()
	timeout := time.After(patience)
	for {
		if s := c.last(); ok(s) {
			return s
		}
		select {
		case <-c.more:
		case <-timeout:
			t.Fatalf("waited for %s; last status: %+v", what, c.last())
		}
	}
}

func (c *changes) awaitBridge(t *testing.T, want BridgeState) Status {
	t.Helper()
	return c.await(t, "bridge "+string(want), func(s Status) bool { return s.BridgeState == want })
}

func config(t *testing.T) Config {
	return Config{
		DiscoveryNamespace: "test",
		LANBindAddress:     "127.0.0.1",
		CacheDir:           t.TempDir(),
		RuntimeDir:         t.TempDir(),
		Logger:             slog.New(slog.NewTextHandler(testWriter{t}, nil)),
	}
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

func startLeaf(t *testing.T, c Config) (*Leaf, *changes) {
	t.Helper()
	seen := newChanges()
	c.OnChange = seen.add
	l, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stopNow(l) })
	return l, seen
}

// stopNow skips the time that clients have for leaving.
func stopNow(l *Leaf) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	l.Stop(ctx)
}

// startHub runs a backbone: a server that accepts leafnodes.
func startHub(t *testing.T, change func(*server.Options)) (*server.Server, int) {
	t.Helper()
	o := &server.Options{ServerName: "hub-" + t.Name(), Host: "127.0.0.1", Port: -1, NoLog: true, NoSigs: true}
	o.LeafNode.Host, o.LeafNode.Port = "127.0.0.1", -1
	if change != nil {
		change(o)
	}
	hub, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	hub.Start()
	t.Cleanup(func() { hub.Shutdown(); hub.WaitForShutdown() })
	if !hub.ReadyForConnections(patience) {
		t.Fatal("hub is not ready")
	}
	return hub, o.LeafNode.Port
}

func trusting(t *testing.T, l *Leaf) *tls.Config {
	t.Helper()
	data, err := os.ReadFile(l.Status().TLS.CACertFile)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		t.Fatal("the CA file holds no certificate")
	}
	return &tls.Config{RootCAs: pool}
}

func connect(t *testing.T, url string, options ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, append([]nats.Option{nats.NoReconnect(), nats.Timeout(patience)}, options...)...)
	if err != nil {
		t.Fatalf("connect %s: %v", url, err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func httpClient(t *testing.T, l *Leaf) *http.Client {
	tr := &http.Transport{ForceAttemptHTTP2: true}
	if l.Status().TLS.Mode == TLSGenerated {
		tr.TLSClientConfig = trusting(t, l)
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: patience}
}

// freePort returns a port that nobody has at this moment.
func freePort(t *testing.T) int {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port
}

func at(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

func within(t *testing.T, c <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatalf("waited for %s", what)
	}
}

func contextCancelled() (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx, cancel
}

func timeout() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), patience)
}
