package leaf

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/kinopio-hub/kinopio-hub/v3/tlsca"
)

// A browser that asks its user for access to the LAN has completed TLS before, and sends the
// request after the answer. KINOPIO_PROMPT is how long the user thinks.
func TestBrowserThatAsksItsUserIsWaitedFor(t *testing.T) {
	t.Parallel()
	pause := 500 * time.Millisecond
	if text := os.Getenv("KINOPIO_PROMPT"); text != "" {
		var err error
		if pause, err = time.ParseDuration(text); err != nil {
			t.Fatalf("KINOPIO_PROMPT: %v", err)
		}
	}
	l, _ := startLeaf(t, config(t))
	for name, limit := range map[string]time.Duration{
		"of the manifest's header":     l.disc.server.ReadHeaderTimeout,
		"of the WebSocket's handshake": l.server().opts.Websocket.HandshakeTimeout,
	} {
		if limit < 60*time.Second {
			t.Errorf("the limit %s is %v, want a minute at least", name, limit)
		}
	}
	s := l.Status()
	open := func(port int) net.Conn {
		c, err := tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", at(port), trusting(t, l))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		return c
	}
	manifest, websocket := open(s.Ports.Discovery), open(s.Ports.WebSocket)
	time.Sleep(pause) // The user.
	for _, ask := range []struct {
		what   string
		conn   net.Conn
		path   string
		header string
		want   int
	}{
		{"manifest", manifest, ManifestPath, "", http.StatusOK},
		{"WebSocket", websocket, "/", "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
			http.StatusSwitchingProtocols},
	} {
		ask.conn.SetDeadline(time.Now().Add(patience))
		if _, err := fmt.Fprintf(ask.conn, "GET %s HTTP/1.1\r\nHost: leaf\r\n%s\r\n", ask.path, ask.header); err != nil {
			t.Errorf("%s after %v: %v", ask.what, pause, err)
			continue
		}
		res, err := http.ReadResponse(bufio.NewReader(ask.conn), nil)
		if err != nil {
			t.Errorf("%s after %v: %v", ask.what, pause, err)
			continue
		}
		res.Body.Close()
		if res.StatusCode != ask.want {
			t.Errorf("%s after %v: %s", ask.what, pause, res.Status)
		}
	}
}

// stuckStore is a trust store whose program never ends.
type stuckStore struct{}

func (stuckStore) Info() tlsca.StoreInfo {
	return tlsca.StoreInfo{Kind: "nss", Name: "stuck", Browsers: true}
}
func (stuckStore) Contains(ctx context.Context, _ tlsca.Anchor) (bool, error) {
	<-ctx.Done()
	return false, ctx.Err()
}
func (stuckStore) Install(ctx context.Context, _ tlsca.Anchor) error { <-ctx.Done(); return ctx.Err() }
func (stuckStore) Remove(ctx context.Context, _ tlsca.Anchor) error  { <-ctx.Done(); return ctx.Err() }

func TestTrustStoreThatHangsHoldsAStartUpForEightSeconds(t *testing.T) {
	t.Parallel()
	c := config(t)
	c.Trust = &tlsca.TrustOptions{Stores: []tlsca.Store{stuckStore{}}}
	begin := time.Now()
	l, _ := startLeaf(t, c)
	if took := time.Since(begin); took < 7900*time.Millisecond || took > 8*time.Second+patience/4 {
		t.Errorf("the start took %v", took)
	}
	s := l.Status()
	if trust := s.TLS.Trust; s.Phase != PhaseRunning || trust.State != TrustFailed || !trust.RequiresUserAction || !strings.Contains(trust.Detail, "stuck: context deadline") {
		t.Errorf("%s, trust %+v", s.Phase, trust)
	}
	connect(t, s.WSSURL, nats.Secure(trusting(t, l)))
}

func TestStartThatIsCalledOffWaitsForNoTrustStore(t *testing.T) {
	c := config(t)
	c.Trust = &tlsca.TrustOptions{Stores: []tlsca.Store{stuckStore{}}}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	begin := time.Now()
	if _, err := Start(ctx, c); err == nil || time.Since(begin) > trustPatience {
		t.Errorf("after %v: %v", time.Since(begin), err)
	}
	if left, _ := os.ReadDir(c.RuntimeDir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}
