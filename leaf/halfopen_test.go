package leaf

import (
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"
)

// Who connects and says nothing is cut off long before a browser's user has to have decided.
func TestSilentConnectionsAreCut(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := guard(ln)
	g.silence = time.Second
	server := &http.Server{Handler: http.NotFoundHandler(), ReadHeaderTimeout: promptPatience}
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(g) }()
	defer func() { server.Close(); <-served }()

	silent, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	slow, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	if _, err := slow.Write([]byte("G")); err != nil { // It has begun, and its user thinks.
		t.Fatal(err)
	}
	for _, conn := range []net.Conn{silent, slow} {
		if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := silent.Read(make([]byte, 1)); err == nil || isTimeout(err) {
		t.Fatalf("a connection that says nothing is kept: %v", err)
	}
	if _, err := slow.Write([]byte("ET / HTTP/1.0\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if n, err := slow.Read(make([]byte, 512)); n == 0 {
		t.Errorf("one that has begun is cut: %v", err)
	}
}

func isTimeout(err error) bool {
	timeout, ok := err.(net.Error)
	return ok && timeout.Timeout()
}

func TestOneAddressCannotTakeAllConnections(t *testing.T) {
	g := newTurnstile(80, 80/mostOpenShare)
	liar, guest := netip.MustParseAddr("192.168.1.66"), netip.MustParseAddr("192.168.1.7")
	taken := 0
	for range 400 {
		if g.enter(liar) {
			taken++
		}
	}
	if taken != 80/mostOpenShare {
		t.Errorf("one address has %d of %d connections", taken, g.most)
	}
	if !g.enter(guest) {
		t.Error("another address is kept out")
	}
	for range taken {
		g.leave(liar)
	}
	g.leave(guest)
	if g.open != 0 || len(g.from) != 0 {
		t.Errorf("%d are open, of %v, when all have left", g.open, g.from)
	}
	for range g.most + 1 { // Many addresses together.
		g.enter(guest)
		guest = guest.Next()
	}
	if g.open != g.most {
		t.Errorf("%d are open, and %d may be", g.open, g.most)
	}
	a, b := source(&net.TCPAddr{IP: net.ParseIP("fd00::1")}), source(&net.TCPAddr{IP: net.ParseIP("fd00::2")})
	if a != b {
		t.Errorf("a host may choose: %v and %v", a, b)
	}
}
