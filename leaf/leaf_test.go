package leaf

import (
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/kinopio-hub/kinopio-hub/v3/tlsca"
	"go.uber.org/goleak"
)

func TestStartServesAndStopLeavesNothing(t *testing.T) {
	c := config(t)
	c.RuntimeDir = filepath.Join(t.TempDir(), "run")
	l, seen := startLeaf(t, c)
	s := l.Status()

	if s.Phase != PhaseRunning || s.BridgeState != BridgeDisconnected || s.Manifest == nil || s.TLS.Mode != TLSGenerated {
		t.Errorf("status: %+v", s)
	}
	for _, file := range []string{s.LogFile, s.TLS.CertFile, s.TLS.CACertFile} {
		if _, err := os.Stat(file); err != nil {
			t.Error(err)
		}
	}
	for url, option := range map[string]nats.Option{s.ClientURL: nil, s.WSSURL: nats.Secure(trusting(t, l))} {
		options := []nats.Option{}
		if option != nil {
			options = append(options, option)
		}
		nc := connect(t, url, options...)
		if err := nc.Flush(); err != nil {
			t.Errorf("%s: %v", url, err)
		}
		nc.Close()
	}
	res, err := http.Get(s.MonitorURL + "/varz")
	if err != nil || res.StatusCode != 200 {
		t.Errorf("monitor: %v", err)
	} else {
		res.Body.Close()
	}
	http.DefaultClient.CloseIdleConnections()

	l.Stop(t.Context())
	if last := seen.last(); last.Phase != PhaseStopped || last.Manifest != nil {
		t.Errorf("last status: %+v", last)
	}
	for _, port := range []int{s.Ports.Client, s.Ports.WebSocket, s.Ports.Discovery, s.Ports.Monitor} {
		ln, err := net.Listen("tcp", at(port))
		if err != nil {
			t.Errorf("port %d is not free: %v", port, err)
			continue
		}
		ln.Close()
	}
	if _, err := os.Stat(c.RuntimeDir); !os.IsNotExist(err) {
		t.Errorf("the runtime directory is left: %v", err)
	}
	l.Stop(t.Context()) // Again does nothing.
	if l.Status().Phase != PhaseStopped {
		t.Error("not stopped")
	}
}

func TestStatusHasEveryFieldOfTheContract(t *testing.T) {
	l, _ := startLeaf(t, config(t))
	data, err := json.Marshal(l.Status())
	if err != nil {
		t.Fatal(err)
	}
	var doc map[string]any
	json.Unmarshal(data, &doc)
	for _, name := range strings.Fields(`phase bridgeState websocketUrl wssUrl discoveryUrl clientUrl monitorUrl runtimeVersion
		lanBindAddress advertisedHostname backboneServers ports runtimeDir logFile connections manifest tls nodeId discoveryNamespace backboneRttMs lastError lastBridgeError access restarts keeper`) {
		if _, ok := doc[name]; !ok {
			t.Errorf("status has no %s: %s", name, data)
		}
	}
	for _, name := range strings.Fields("backboneRttMs lastError lastBridgeError") {
		if doc[name] != nil {
			t.Errorf("%s is %v, and there is none", name, doc[name])
		}
	}
	data, err = json.Marshal(Status{}) // In any state.
	if err != nil {
		t.Fatal(err)
	}
	var empty map[string]any
	json.Unmarshal(data, &empty)
	for name := range doc {
		if _, ok := empty[name]; !ok {
			t.Errorf("the status has no %s when it is empty", name)
		}
	}
	for name := range doc["tls"].(map[string]any) {
		if value, ok := empty["tls"].(map[string]any)[name]; !ok || value == "" && name != "mode" {
			t.Errorf("tls.%s is %v when it is empty, want null", name, value)
		}
	}
	trust := doc["tls"].(map[string]any)["trust"].(map[string]any)
	for _, name := range strings.Fields("state platform strategy detail attempted requiresUserAction") {
		if _, ok := trust[name]; !ok {
			t.Errorf("tls.trust has no %s: %s", name, data)
		}
	}
	if trust["state"] != "skipped" || trust["attempted"] != false {
		t.Errorf("trust: %v", trust)
	}
}

func TestTwoLeavesRunSideBySide(t *testing.T) {
	c := config(t)
	c.RuntimeDir = ""
	a, _ := startLeaf(t, c)
	b, _ := startLeaf(t, c)
	if a.Status().TLS.CACertFile != b.Status().TLS.CACertFile || a.Status().RuntimeDir == b.Status().RuntimeDir {
		t.Error("the leaves share what they should not, or not the CA")
	}
	stopNow(a)
	connect(t, b.Status().WSSURL, nats.Secure(trusting(t, b)))
}

func TestRuntimeDirBelongsToOneLeaf(t *testing.T) {
	c := config(t)
	startLeaf(t, c)
	_, err := Start(t.Context(), c)
	if err == nil || !strings.Contains(err.Error(), "RuntimeDir") || !strings.Contains(err.Error(), "another leaf") {
		t.Errorf("got %v", err)
	}
}

func TestLeafStartsAgainAfterStop(t *testing.T) {
	c := config(t)
	c.Ports = Ports{Client: freePort(t), WebSocket: freePort(t), Discovery: freePort(t), Monitor: freePort(t)}
	for range 3 {
		l, _ := startLeaf(t, c)
		if l.Status().Ports != c.Ports {
			t.Errorf("ports: %+v, want %+v", l.Status().Ports, c.Ports)
		}
		stopNow(l)
	}
}

func TestPortInUseNamesPortRoleAndWhomToAsk(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	busy := ln.Addr().(*net.TCPAddr).Port
	for role, ports := range map[string]Ports{
		"client": {Client: busy}, "websocket": {WebSocket: busy}, "discovery": {Discovery: busy}, "monitor": {Monitor: busy},
	} {
		c := config(t)
		c.Ports = ports
		_, err := Start(t.Context(), c)
		var le *ListenError
		if !errors.As(err, &le) || !errors.Is(err, ErrPortInUse) || le.Role != role || le.Port != busy {
			t.Errorf("%s: got %v", role, err)
			continue
		}
		if !strings.Contains(le.Hint(), role) {
			t.Errorf("%s: hint %q", role, le.Hint())
		}
		if entries, _ := os.ReadDir(c.RuntimeDir); len(entries) > 0 {
			t.Errorf("%s: left behind: %v", role, entries)
		}
	}
}

func TestAddressThatIsNotThisMachinesIsAClearError(t *testing.T) {
	c := config(t)
	c.LANBindAddress = "10.255.255.1"
	_, err := Start(t.Context(), c)
	var le *ListenError
	if !errors.As(err, &le) || errors.Is(err, ErrPortInUse) || !strings.Contains(err.Error(), "10.255.255.1") {
		t.Errorf("got %v", err)
	}
}

func TestPlainLeafServesWithoutTLS(t *testing.T) {
	c := config(t)
	c.NoWebSocketTLS = true
	c.AllowedOrigins = []string{"https://app.example.com"}
	l, _ := startLeaf(t, c)
	s := l.Status()
	if !strings.HasPrefix(s.WSSURL, "ws://") || s.WSSURL != s.WebsocketURL || !strings.HasPrefix(s.DiscoveryURL, "http://") || s.TLS.Mode != TLSOff {
		t.Errorf("status: %+v", s)
	}
	if _, err := os.Stat(tlsca.Dir(c.CacheDir)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a CA was made although TLS is off: %v", err)
	}
	connect(t, s.WSSURL)

	for origin, allowed := range map[string]bool{"https://app.example.com": true, "http://" + at(s.Ports.Discovery): true, "https://evil.example": false, "null": false} {
		req, _ := http.NewRequest("GET", "http://"+at(s.Ports.WebSocket), nil)
		for k, v := range map[string]string{"Origin": origin, "Connection": "Upgrade", "Upgrade": "websocket",
			"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="} {
			req.Header.Set(k, v)
		}
		res, err := httpClient(t, l).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if (res.StatusCode == http.StatusSwitchingProtocols) != allowed {
			t.Errorf("WebSocket from %s: %s, allowed: %v", origin, res.Status, allowed)
		}
	}
}

// Whatever the LAN listeners are bound to.
func TestClientsAndMonitorAreOnLoopbackAlone(t *testing.T) {
	c := config(t)
	c.LANBindAddress = "0.0.0.0"
	l, _ := startLeaf(t, c)
	for role, addr := range map[string]net.Addr{"client": l.server().Addr(), "monitor": l.server().monitor.at} {
		if tcp, ok := addr.(*net.TCPAddr); !ok || !tcp.IP.IsLoopback() {
			t.Errorf("%s listens on %v", role, addr)
		}
	}
}

func TestStopLetsClientsLeaveFirst(t *testing.T) {
	hub, port := startHub(t, nil)
	c := config(t)
	c.BackboneServers = []string{"nats://" + at(port)}
	l, seen := startLeaf(t, c)
	s := seen.awaitBridge(t, BridgeConnected)
	http := httpClient(t, l)
	beyond := connect(t, hub.ClientURL())

	lame, closed := make(chan struct{}), make(chan time.Time, 1)
	nc := connect(t, s.WSSURL, nats.Secure(trusting(t, l)),
		nats.LameDuckModeHandler(func(*nats.Conn) { close(lame) }),
		nats.ClosedHandler(func(*nats.Conn) { closed <- time.Now() }))

	stopped := make(chan time.Time, 1)
	begin := time.Now()
	go func() { l.Stop(t.Context()); stopped <- time.Now() }()

	within(t, lame, "the lame-duck INFO on a WebSocket")
	// While leaving, the bridge carries messages and the manifest names no leader.
	if got := l.Status(); got.BridgeState != BridgeConnected || got.Phase != PhaseStopping {
		t.Errorf("while stopping: %+v", got)
	}
	cross(t, nc, beyond)
	res, err := http.Get(s.DiscoveryURL)
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, res.Body)
	res.Body.Close()
	if res.StatusCode != 204 {
		t.Errorf("manifest while stopping: %s, want 204", res.Status)
	}
	http.CloseIdleConnections()

	nc.Close()
	end := <-stopped
	if took := end.Sub(begin); took > leaveTime {
		t.Errorf("Stop took %v although the last client had left", took)
	}
}

func TestStopLeavesNoGoroutine(t *testing.T) {
	_, port := startHub(t, nil)
	before := goleak.IgnoreCurrent()
	c := config(t)
	c.BackboneServers = []string{"nats://" + at(port)}
	l, seen := startLeaf(t, c)
	seen.awaitBridge(t, BridgeConnected)
	// Connections that never say anything, one for each listener.
	for _, port := range []int{l.Status().Ports.Client, l.Status().Ports.WebSocket, l.Status().Ports.Discovery, l.Status().Ports.Monitor} {
		silent, err := net.Dial("tcp", at(port))
		if err != nil {
			t.Fatal(err)
		}
		defer silent.Close()
	}
	stopNow(l)
	goleak.VerifyNone(t, before)
}

func TestStopCutsClientsThatStay(t *testing.T) {
	l, _ := startLeaf(t, config(t))
	closed := make(chan struct{})
	connect(t, l.Status().ClientURL, nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	begin := time.Now()
	l.Stop(t.Context())
	if took := time.Since(begin); took < leaveTime || took > 5*time.Second { // 2 s, and what a busy machine adds
		t.Errorf("Stop took %v, want %v to 2 s", took, leaveTime)
	}
	within(t, closed, "the end of the client")
}

// However many they are: a leaf is gone within two seconds.
func TestStopCutsACrowdThatStays(t *testing.T) {
	l, _ := startLeaf(t, config(t))
	var gone atomic.Int32
	conns := crowd(t, l, func() { gone.Add(1) })
	begin := time.Now()
	l.Stop(t.Context())
	took := time.Since(begin)
	if took > 5*time.Second { // 2 s, and what a busy machine adds
		t.Errorf("Stop took %v", took)
	}
	for deadline := time.Now().Add(patience); int(gone.Load()) < len(conns); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d clients know", gone.Load(), len(conns))
		}
	}
	t.Logf("%d clients were cut after %v", len(conns), took.Round(time.Millisecond))
}

func TestConnectionsAreCounted(t *testing.T) {
	l, seen := startLeaf(t, config(t))
	nc := connect(t, l.Status().ClientURL)
	seen.await(t, "one connection", func(s Status) bool { return s.Connections == 1 })
	nc.Close()
	seen.await(t, "no connection", func(s Status) bool { return s.Connections == 0 })
}

func TestProvidedCertificateIsServed(t *testing.T) {
	made, _ := startLeaf(t, config(t)) // Its chain will do, but its key is nowhere.
	c := config(t)
	c.TLS = TLSFiles{CertFile: made.Status().TLS.CertFile, KeyFile: made.Status().TLS.CertFile}
	if _, err := Start(t.Context(), c); err == nil || !strings.Contains(err.Error(), "leaf-cert.pem") {
		t.Errorf("got %v", err)
	}
}

func TestCancelledContextStartsNothing(t *testing.T) {
	ctx, cancel := contextCancelled()
	defer cancel()
	if _, err := Start(ctx, config(t)); err == nil {
		t.Error("started")
	}
}
