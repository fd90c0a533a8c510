package leaf

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/quic-go/webtransport-go"
)

func TestWebTransportCarriesNATS(t *testing.T) {
	l, _ := startLeaf(t, config(t))
	page := connectWT(t, l)
	program := connect(t, l.Status().ClientURL)
	heard, err := program.SubscribeSync("from.page")
	if err != nil {
		t.Fatal(err)
	}
	if err := program.Flush(); err != nil {
		t.Fatal(err)
	}
	large := bytes.Repeat([]byte("0123456789abcdef"), 60<<10/16)
	for range 50 {
		if err := page.Publish("from.page", large); err != nil {
			t.Fatal(err)
		}
	}
	for range 50 {
		m, err := heard.NextMsg(patience)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(m.Data, large) {
			t.Fatal("a message is damaged")
		}
	}
	if _, err := program.Subscribe("to.page", func(m *nats.Msg) { _ = m.Respond(large) }); err != nil {
		t.Fatal(err)
	}
	if err := program.Flush(); err != nil {
		t.Fatal(err)
	}
	for range 50 {
		answer, err := page.Request("to.page", nil, patience)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(answer.Data, large) {
			t.Fatal("an answer is damaged")
		}
	}
}

func TestTheManifestHasWhatTrustNeeds(t *testing.T) {
	l, _ := startLeaf(t, config(t))
	s := l.Status()
	wt := manifestWT(t, l)
	if want := "https://" + at(s.Ports.WebSocket) + WebTransportPath; wt.URL != want {
		t.Errorf("the URL is %s, want %s", wt.URL, want)
	}
	if len(wt.CertificateHashes) != 2 || wt.CertificateHashes[0] == wt.CertificateHashes[1] {
		t.Errorf("the hashes are %v, want the present and the next", wt.CertificateHashes)
	}
	root, err := os.ReadFile(s.TLS.CACertFile)
	if err != nil {
		t.Fatal(err)
	}
	if s.Manifest.RootPEM != string(root) || strings.Contains(s.Manifest.RootPEM, "PRIVATE") {
		t.Errorf("the root in the manifest is %q", s.Manifest.RootPEM)
	}
	text, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), "PRIVATE") {
		t.Error("the status has a key")
	}
}

func TestWithoutWebTransportNothingListens(t *testing.T) {
	c := config(t)
	c.NoWebTransport = true
	l, _ := startLeaf(t, c)
	s := l.Status()
	if s.WebTransport.Enabled || len(s.Manifest.WebTransport) > 0 || s.WebTransport.Error != "" {
		t.Errorf("status %+v, manifest %+v", s.WebTransport, s.Manifest.WebTransport)
	}
	udp, err := net.ListenPacket("udp", at(s.Ports.WebSocket))
	if err != nil {
		t.Fatalf("the UDP port is taken: %v", err)
	}
	udp.Close()
	connect(t, s.WSSURL, nats.Secure(trusting(t, l)))
}

// A port that is taken keeps nothing else from running, is told, and is tried again.
func TestATakenPortLeavesTheRest(t *testing.T) {
	c := config(t)
	c.Ports.WebSocket = freePort(t)
	other, err := net.ListenPacket("udp", at(c.Ports.WebSocket))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	l, seen := startLeaf(t, c)
	s := l.Status()
	if s.WebTransport.Enabled || !strings.Contains(s.WebTransport.Error, "port in use") || len(s.Manifest.WebTransport) > 0 {
		t.Fatalf("status %+v, manifest %+v", s.WebTransport, s.Manifest.WebTransport)
	}
	connect(t, s.WSSURL, nats.Secure(trusting(t, l)))
	other.Close()
	seen.await(t, "WebTransport", func(s Status) bool { return s.WebTransport.Enabled && s.WebTransport.Error == "" })
	connectWT(t, l)
}

func TestTheRealAddressIsKnown(t *testing.T) {
	l, _ := startLeaf(t, config(t))
	page := connectWT(t, l, nats.Name("page"))
	from := page.Opts.CustomDialer.(wtDialer) // So that nobody thinks it came by TCP.
	if !strings.HasPrefix(from.at.URL, "https://") {
		t.Fatal(from.at.URL)
	}
	local := netip.MustParseAddrPort(clientAddr(t, l, "page"))
	l.server().wt.mu.Lock()
	var want []string
	for conn := range l.server().wt.conns {
		want = append(want, conn.RemoteAddr().String())
	}
	l.server().wt.mu.Unlock()
	if len(want) != 1 || want[0] != local.String() {
		t.Errorf("the server sees %s, want the page's %v", local, want)
	}
	ip, err := page.GetClientIP()
	if err == nil && !ip.Equal(net.ParseIP("127.0.0.1")) {
		t.Errorf("the client is told %v", ip)
	}
	if s := l.Status().WebTransport; s.Sessions != 1 || s.Addresses["127.0.0.1"] != 1 {
		t.Errorf("the status tells %+v", s)
	}
	log, err := os.ReadFile(l.Status().LogFile)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(log), local.String()) {
		t.Errorf("the log does not have %s", local)
	}
}

// clientAddr is where the server sees the client of that name.
func clientAddr(t *testing.T, l *Leaf, name string) string {
	t.Helper()
	z, err := l.server().Connz(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range z.Conns {
		if c.Name == name {
			return netip.AddrPortFrom(netip.MustParseAddr(c.IP), uint16(c.Port)).String()
		}
	}
	t.Fatalf("no client %q in %+v", name, z.Conns)
	return ""
}

func TestForeignOriginsAreRefused(t *testing.T) {
	c := config(t)
	c.AllowedOrigins = []string{"https://app.example.com"}
	l, _ := startLeaf(t, c)
	for origin, want := range map[string]int{
		"https://app.example.com":                     http.StatusOK,
		"https://APP.example.com:443":                 http.StatusOK,
		"https://" + at(l.settings().Ports.Discovery): http.StatusOK, // Its own.
		"":                                     http.StatusOK, // No browser.
		"https://evil.example.com":             http.StatusForbidden,
		"http://app.example.com":               http.StatusForbidden,
		"https://app.example.com.evil.example": http.StatusForbidden,
		"null":                                 http.StatusForbidden,
	} {
		ctx, cancel := timeout()
		d := wtDialer{at: manifestWT(t, l), header: http.Header{}}
		if origin != "" {
			d.header.Set("Origin", origin)
		}
		answer, session, err := d.session(ctx)
		cancel()
		switch {
		case answer == nil:
			t.Errorf("origin %q: %v", origin, err)
		case answer.StatusCode != want:
			t.Errorf("origin %q: status %d, want %d", origin, answer.StatusCode, want)
		case want != http.StatusOK && err == nil:
			t.Errorf("origin %q has a session", origin)
		}
		if session != nil {
			_ = session.CloseWithError(0, "")
		}
	}
}

func TestAWrongHashConnectsToNobody(t *testing.T) {
	l, _ := startLeaf(t, config(t))
	wt := manifestWT(t, l)
	wt.CertificateHashes = []string{"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="}
	ctx, cancel := timeout()
	defer cancel()
	if _, _, err := (wtDialer{at: wt}).session(ctx); err == nil || !strings.Contains(err.Error(), errWrongHash.Error()) {
		t.Errorf("got %v", err)
	}
	if s := l.Status().WebTransport; s.Sessions != 0 {
		t.Errorf("%d sessions", s.Sessions)
	}
}

// What the server says last arrives, and the end is clean.
func TestTheEndOfTheServerArrives(t *testing.T) {
	c := config(t)
	c.Access.Token = "secret"
	l, _ := startLeaf(t, c)
	conn, err := (wtDialer{at: manifestWT(t, l)}).Dial("", "")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("CONNECT {\"auth_token\":\"wrong\"}\r\nPING\r\n")); err != nil {
		t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(patience))
	var got bytes.Buffer
	if _, err := got.ReadFrom(conn); err != nil {
		t.Errorf("the end is not clean: %v, after %q", err, got.String())
	}
	if !strings.HasPrefix(got.String(), "INFO ") || !strings.Contains(got.String(), "-ERR 'Authorization Violation'") {
		t.Errorf("got %q", got.String())
	}
}

// A client that is gone without a word is noticed by QUIC, long before the server's pings.
func TestSessionsLeaveNothing(t *testing.T) {
	l, seen := startLeaf(t, config(t))
	conns := make([]net.Conn, 20)
	for i := range conns {
		var err error
		if conns[i], err = (wtDialer{at: manifestWT(t, l)}).Dial("", ""); err != nil {
			t.Fatal(err)
		}
	}
	seen.await(t, "20 clients", func(s Status) bool { return s.Connections == len(conns) })
	for _, c := range conns {
		c.Close()
	}
	seen.await(t, "no client", func(s Status) bool { return s.Connections == 0 })
	wt := l.server().wt
	deadline := time.Now().Add(patience)
	for {
		wt.mu.Lock()
		left := len(wt.conns)
		wt.mu.Unlock()
		wt.seats.mu.Lock()
		open := wt.seats.open
		wt.seats.mu.Unlock()
		if left == 0 && open == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d connections and %d seats are left", left, open)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestStopTellsPagesByWebTransport(t *testing.T) {
	l, _ := startLeaf(t, config(t))
	lame := make(chan struct{})
	closed := make(chan struct{})
	nc := connectWT(t, l, nats.LameDuckModeHandler(func(nc *nats.Conn) { close(lame) }), nats.ClosedHandler(func(*nats.Conn) { close(closed) }))
	go l.Stop(t.Context())
	within(t, lame, "the notice")
	nc.Close()
	within(t, closed, "the client's end")
	l.Stop(t.Context())
}

// All that Safari wants to be told is told, and what keeps a leaf that was killed from being missed for long.
func TestListenersNameTheirLimits(t *testing.T) {
	c := wtQUIC(wtUsual.idle)
	for name, value := range map[string]int64{
		"MaxIncomingStreams": c.MaxIncomingStreams, "MaxIncomingUniStreams": c.MaxIncomingUniStreams,
		"InitialStreamReceiveWindow": int64(c.InitialStreamReceiveWindow), "MaxStreamReceiveWindow": int64(c.MaxStreamReceiveWindow),
		"InitialConnectionReceiveWindow": int64(c.InitialConnectionReceiveWindow), "MaxConnectionReceiveWindow": int64(c.MaxConnectionReceiveWindow),
	} {
		if value <= 0 {
			t.Errorf("%s = %d", name, value)
		}
	}
	if c.MaxIdleTimeout != 4*time.Second || c.KeepAlivePeriod <= 0 || c.KeepAlivePeriod > c.MaxIdleTimeout/3 {
		t.Errorf("idle %v, keep-alive %v", c.MaxIdleTimeout, c.KeepAlivePeriod)
	}
}

// What is not a session is answered, and cut when it stays.
func TestConnectionsWithoutASessionAreCounted(t *testing.T) {
	l, _ := startLeaf(t, config(t))
	d := wtDialer{at: manifestWT(t, l)}
	d.at.URL = strings.TrimSuffix(d.at.URL, WebTransportPath) + "/elsewhere"
	ctx, cancel := timeout()
	defer cancel()
	answer, _, err := d.session(ctx)
	if err == nil || answer == nil || answer.StatusCode != http.StatusNotFound {
		t.Errorf("got %v, %v", answer, err)
	}
}

// A certificate that follows another cuts nobody, and is known before it is shown. KINOPIO_SESSIONS is how many
// have to notice nothing, if not 40: make leaf-test plays it with 1,000.
func TestRotationCutsNobody(t *testing.T) {
	n := 40
	if text := os.Getenv("KINOPIO_SESSIONS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatalf("KINOPIO_SESSIONS: %v", err)
		}
	}
	c := config(t)
	c.times = wtUsual
	c.times.turn = c.times.back / 2                         // So that the next one is valid already.
	c.times.idle, c.times.ping = 5*time.Minute, time.Minute // A machine without time for this process cuts sessions, which is no rotation's doing.
	l, _ := startLeaf(t, c)
	before := manifestWT(t, l)
	var gone atomic.Int32
	var closing atomic.Bool // By the test.
	conns := make([]*nats.Conn, n)
	var wg sync.WaitGroup
	begin := time.Now()
	for worker := range 8 {
		wg.Go(func() {
			for i := worker; i < n; i += 8 {
				var nc *nats.Conn
				var err error
				var session atomic.Pointer[webtransport.Session]
				dialer := wtDialer{at: before, idle: c.times.idle, opened: session.Store}
				for range 5 { // Handshakes have their time, which a busy machine may not have for them.
					nc, err = nats.Connect("nats://leaf", nats.SetCustomDialer(dialer), nats.NoReconnect(), nats.Timeout(patience),
						nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
							if gone.Add(1); !closing.Load() {
								t.Logf("session %d is cut after %v: %v; the session: %v", i, time.Since(begin), err, context.Cause(session.Load().Context()))
							}
						}))
					if err == nil {
						break
					}
				}
				if err != nil {
					t.Error(err)
					return
				}
				conns[i] = nc
			}
		})
	}
	wg.Wait()
	t.Logf("%d sessions in %v", n, time.Since(begin))
	defer func() {
		if t.Failed() {
			t.Logf("why the server has ended connections: %v", endings(t, l))
		}
	}()
	defer func() {
		closing.Store(true)
		for _, nc := range conns {
			if nc != nil {
				nc.Close()
			}
		}
	}()
	if t.Failed() {
		return
	}
	if err := l.wtCerts.keep(time.Now().Add(c.times.turn + time.Minute)); err != nil {
		t.Fatal(err)
	}
	after := manifestWT(t, l)
	if after.CertificateHashes[0] != before.CertificateHashes[1] || after.CertificateHashes[1] == before.CertificateHashes[0] {
		t.Fatalf("from %v to %v: want the next one to be the present one", before.CertificateHashes, after.CertificateHashes)
	}
	for _, nc := range conns {
		if err := nc.FlushTimeout(patience); err != nil {
			t.Fatal(err)
		}
	}
	if cut := gone.Load(); cut != 0 {
		t.Errorf("%d of %d are cut", cut, n)
	}
	for _, known := range []WebTransport{before, after} { // Who has the old manifest comes in, too.
		conn, err := (wtDialer{at: known}).Dial("", "")
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
}

// endings is why the server has ended connections, with how many.
func endings(t *testing.T, l *Leaf) map[string]int {
	t.Helper()
	z, err := l.server().Connz(&server.ConnzOptions{State: server.ConnClosed, Limit: 4096})
	if err != nil {
		t.Fatal(err)
	}
	reasons := map[string]int{}
	for _, c := range z.Conns {
		reasons[c.Reason]++
	}
	return reasons
}

func TestCertificatesOutliveTheLeafForItsUserAlone(t *testing.T) {
	c := config(t)
	l, _ := startLeaf(t, c)
	before := manifestWT(t, l)
	stopNow(l)
	file := filepath.Join(c.CacheDir, "kinopio-hub", "leaf-webtransport", "webtransport.pem")
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.Stat(filepath.Dir(file))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 || dir.Mode().Perm() != 0o700 {
		t.Errorf("the file is %v, its directory %v", info.Mode().Perm(), dir.Mode().Perm())
	}
	c.RuntimeDir = t.TempDir()
	again, _ := startLeaf(t, c)
	if now := manifestWT(t, again); now.CertificateHashes[0] != before.CertificateHashes[0] || now.CertificateHashes[1] != before.CertificateHashes[1] {
		t.Errorf("the hashes were %v and are %v", before.CertificateHashes, now.CertificateHashes)
	}
}
