package leaf

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/kinopio-hub/kinopio-hub/v3/tlsca"
)

// told are the lines that a backbone logs, other than at debug level.
type told struct {
	mu    sync.Mutex
	lines []string
}

func (l *told) add(format string, v ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, fmt.Sprintf(format, v...))
}

// all are the lines so far.
func (l *told) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.lines)
}

func (l *told) Noticef(format string, v ...any) { l.add(format, v...) }
func (l *told) Warnf(format string, v ...any)   { l.add(format, v...) }
func (l *told) Fatalf(format string, v ...any)  { l.add(format, v...) }
func (l *told) Errorf(format string, v ...any)  { l.add(format, v...) }
func (l *told) Debugf(string, ...any)           {}
func (l *told) Tracef(string, ...any)           {}

func (l *told) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.lines)
}

// secureBackbone is one that expects TLS of clients and of leaf nodes.
func secureBackbone(t *testing.T) (srv *server.Server, log *told, ca *tlsca.CA) {
	ca, err := tlsca.Open(tlsca.Dir(t.TempDir()), tlsca.Options{})
	if err != nil {
		t.Fatal(err)
	}
	cert, err := ca.Issue(tlsca.Request{IPs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}})
	if err != nil {
		t.Fatal(err)
	}
	conf := &tls.Config{Certificates: []tls.Certificate{cert.TLS}, MinVersion: tls.VersionTLS12}
	o := &server.Options{Host: "127.0.0.1", Port: -1, NoSigs: true, TLSConfig: conf, TLS: true, TLSTimeout: 5}
	o.LeafNode.Host, o.LeafNode.Port, o.LeafNode.TLSConfig, o.LeafNode.TLSTimeout = "127.0.0.1", -1, conf.Clone(), 5
	if srv, err = server.NewServer(o); err != nil {
		t.Fatal(err)
	}
	log = &told{}
	srv.SetLoggerV2(log, false, false, false)
	srv.Start()
	t.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(patience) {
		t.Fatal("the backbone does not start")
	}
	return srv, log, ca
}

// A leaf with a bridge measures there, and what it asks a backbone for beside it leaves nothing to complain of in the log of one
// that expects TLS.
func TestLeafAtRestIsQuietAtABackboneWithTLS(t *testing.T) {
	srv, log, ca := secureBackbone(t)
	v, err := srv.Varz(nil)
	if err != nil {
		t.Fatal(err)
	}
	c := config(t)
	c.NoWebSocketTLS = true
	c.BackboneServers = []string{fmt.Sprintf("tls://127.0.0.1:%d", v.LeafNode.Port)}
	c.BackboneClientServer = fmt.Sprintf("tls://127.0.0.1:%d", v.Port)
	c.Backbone.CAFile = ca.RootFile()
	l, _ := startLeaf(t, c)
	deadline := time.Now().Add(patience)
	for s := l.Status(); s.BridgeState != BridgeConnected || s.BackboneRTTMs == nil; s = l.Status() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: %s", s.BridgeState, s.LastBridgeError)
		}
		time.Sleep(50 * time.Millisecond)
	}
	l.probes.Wait()
	time.Sleep(time.Second) // What is said of the connection itself.
	for _, line := range log.all() {
		if strings.Contains(line, "TLS") && strings.Contains(line, "error") {
			t.Errorf("to begin, the backbone complains: %s", line)
		}
	}
	before := log.count()
	time.Sleep(5 * time.Second) // Five looks at the bridge.
	if n := log.count() - before; n > 0 {
		t.Errorf("%d lines in 5 s at rest, of which the last is %q", n, log.all()[log.count()-1])
	}
	// What is asked again every 10 minutes.
	before = log.count()
	for range 5 {
		l.probePublic()
		l.probes.Wait()
		if ip, err := seenAs(context.Background(), l.settings(), l.settings().clientServers()[0]); err != nil || ip != "127.0.0.1" {
			t.Errorf("it is not asked: %q, %v", ip, err)
		}
	}
	time.Sleep(time.Second)
	if n := log.count() - before; n > 0 {
		t.Errorf("%d lines for 10 questions, of which the last is %q", n, log.all()[log.count()-1])
	}
	// The check can fail: who connects and goes is told of.
	conn, err := tls.Dial("tcp", strings.TrimPrefix(c.BackboneClientServer, "tls://"), &tls.Config{InsecureSkipVerify: true})
	if err == nil {
		conn.Close()
	}
	for deadline := time.Now().Add(patience); log.count() == before; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the log says nothing of who begins with TLS too soon: nothing is tested")
		}
	}
}
