//go:build !js

package hub_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
	"github.com/kinopio-hub/kinopio-hub/v3/transport"
)

// ownCertificate is one for 127.0.0.1, and what trusts it.
func ownCertificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, roots
}

// failure is why a hub that tries once does not connect.
func failure(t *testing.T, cfg hub.Config) error {
	t.Helper()
	cfg.FailFast = true
	h, err := hub.Open(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if err = h.Connected(soon(t)); err == nil {
		t.Fatalf("connected to %s", h.Status().Server)
	}
	return err
}

func TestServersThatBeginWithTLS(t *testing.T) {
	certificate, roots := ownCertificate(t)
	start := func(first bool) string {
		s := startServer(t, func(o *server.Options) {
			o.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
			o.TLS, o.TLSHandshakeFirst, o.TLSTimeout = true, first, 2
		})
		return s.Addr().String()
	}
	first, usual, plain := start(true), start(false), startServer(t, nil).Addr().String()
	trust := &hub.TLSConfig{RootCAs: roots}
	for _, scheme := range []string{"nats://", "tls://"} {
		h := openHub(t, hub.Config{Servers: []string{scheme + first}, TLS: trust, TLSFirst: true})
		if err := h.Scope("a").Variable("b").Pub(soon(t), 1); err != nil {
			t.Error(err)
		}
		h.Close()
		openHub(t, hub.Config{Servers: []string{scheme + usual}, TLS: trust}).Close()
		if err := failure(t, hub.Config{Servers: []string{scheme + first}, TLS: trust, ReconnectTimeout: 300 * time.Millisecond}); !strings.Contains(err.Error(), "TLSFirst") || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a silent server gave %v, want a hint at TLSFirst", err)
		}
		for _, other := range []string{usual, plain} {
			if err := failure(t, hub.Config{Servers: []string{scheme + other}, TLS: trust, TLSFirst: true}); !strings.Contains(err.Error(), "does not begin with TLS") {
				t.Errorf("a server that does not begin with TLS gave %v", err)
			}
		}
	}
}

// A recorder dials nowhere, and keeps what it was to dial.
type recorder struct{ urls chan string }

func (recorder) Schemes() []string { return []string{"nats", "wss"} }

func (r recorder) Dial(_ context.Context, url string) (net.Conn, error) {
	r.urls <- url
	return nil, transport.ErrUnreachable
}

// Internationalized hosts go to name servers, TLS and HTTP as those know them.
func TestInternationalizedHosts(t *testing.T) {
	for url, want := range map[string]string{
		"nats://Bücher.example":              "nats://xn--bcher-kva.example:4222",
		"wss://例え.テスト:8443/x":                "wss://xn--r8jz45g.xn--zckzah:8443/x",
		"wss://faß.example/%C3%A4":           "wss://xn--fa-hia.example:443/%C3%A4",
		"nats://u:p%C3%9F@büro.local:1":      "nats://u:p%C3%9F@xn--bro-hoa.local:1",
		"nats://under_score.example":         "nats://under_score.example:4222",
		"nats://[::1]:5":                     "nats://[::1]:5",
		"wss://XN--BCHER-KVA.example":        "wss://xn--bcher-kva.example:443",
		"wss://b%C3%BCcher.example/a?b=%2Fc": "wss://xn--bcher-kva.example:443/a?b=%2Fc",
	} {
		dialer := recorder{make(chan string, 100)}
		h, err := hub.Open(context.Background(), hub.Config{Servers: []string{url}, Dialers: []transport.Dialer{dialer}})
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		if got := <-dialer.urls; got != want {
			t.Errorf("%s is dialed as %s, want %s", url, got, want)
		}
		h.Close()
	}
	if _, err := hub.Open(context.Background(), hub.Config{Dialers: []transport.Dialer{nil}}); !errors.Is(err, hub.ErrInvalidConfig) || !strings.Contains(err.Error(), "Dialers") {
		t.Errorf("no dialer among the dialers: %v", err)
	}
	if _, err := hub.Open(context.Background(), hub.Config{Servers: []string{"wss://xn--ü.example"}}); !errors.Is(err, hub.ErrInvalidConfig) || !strings.Contains(err.Error(), "Servers[0]") {
		t.Errorf("a host that is no name gave %v", err)
	}
}

// What is escaped in a path stays so: %2F is no slash.
func TestEscapedPathsAreKept(t *testing.T) {
	asked := make(chan string, 100)
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.RequestURI
		w.WriteHeader(http.StatusNotFound)
	}))
	defer web.Close()
	for _, path := range []string{"/a%2Fb/%7Ec", "/a%2fb?x=%2F&y=a+b%20c", "/%E4", "/a//b/../c", "/ä", "/?x", "?x=1", "/a;b,c"} {
		failure(t, hub.Config{Servers: []string{strings.Replace(web.URL, "http", "ws", 1) + path}})
		want := path
		switch path {
		case "/ä":
			want = "/%C3%A4"
		case "?x=1":
			want = "/?x=1"
		}
		if got := <-asked; got != want {
			t.Errorf("%s is asked for as %s", path, got)
		}
	}
}

// Options go before what stands in a URL, which counts if there are none.
func TestOptionsGoBeforeCredentialsInURLs(t *testing.T) {
	s := startServer(t, func(o *server.Options) {
		o.Users = []*server.User{{Username: "right", Password: "p"}, {Username: "url", Password: "p:@/"}}
	})
	at := s.Addr().String()
	asks := func(a hub.Auth) hub.Authenticator {
		return func(context.Context, string) (hub.Auth, error) { return a, nil }
	}
	right, wrong := hub.Auth{User: "right", Password: "p"}, hub.Auth{User: "right", Password: "x"}
	for name, c := range map[string]struct {
		url  string
		auth hub.Auth
		ask  hub.Authenticator
		ok   bool
	}{
		"options beside a wrong URL":           {"wrong:x@", right, nil, true},
		"options beside a token in the URL":    {"token@", right, nil, true},
		"wrong options beside a right URL":     {"right:p@", wrong, nil, false},
		"a URL alone":                          {"url:p%3A%40%2F@", hub.Auth{}, nil, true},
		"an authenticator beside a wrong URL":  {"wrong:x@", hub.Auth{}, asks(right), true},
		"a wrong one beside a right URL":       {"right:p@", hub.Auth{}, asks(wrong), false},
		"one that gives nothing, beside a URL": {"right:p@", hub.Auth{}, asks(hub.Auth{}), true},
		"nothing":                              {"", hub.Auth{}, nil, false},
	} {
		h, err := hub.Open(context.Background(), hub.Config{Servers: []string{"nats://" + c.url + at}, Auth: c.auth, Authenticator: c.ask, FailFast: true})
		if err != nil {
			t.Fatal(err)
		}
		if err = h.Connected(soon(t)); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
		h.Close()
	}
}

// An authenticator that takes longer than an attempt is named, is not called beside itself, and its
// answer is used when it has come; the hub can be closed whatever it does.
func TestSlowAuthenticatorIsNamed(t *testing.T) {
	s := startServer(t, func(o *server.Options) { o.Authorization = "t" })
	var calls, beside atomic.Int64
	heeds := func(ctx context.Context, _ string) (hub.Auth, error) {
		<-ctx.Done()
		return hub.Auth{}, ctx.Err()
	}
	sleeps := func(context.Context, string) (hub.Auth, error) {
		calls.Add(1)
		if beside.Add(1) > 1 {
			t.Error("called beside itself")
		}
		defer beside.Add(-1)
		time.Sleep(700 * time.Millisecond) // what it waits for
		return hub.Auth{Token: "t"}, nil
	}
	for _, ask := range []hub.Authenticator{heeds, sleeps} {
		err := failure(t, hub.Config{Servers: []string{s.ClientURL()}, Authenticator: ask, ReconnectTimeout: 200 * time.Millisecond})
		if !strings.Contains(err.Error(), "authenticator") || !strings.Contains(err.Error(), "ReconnectTimeout is 200ms") || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a slow authenticator gave %v", err)
		}
	}
	calls.Store(0)
	waitFor(t, "the last call to end", func() bool { return beside.Load() == 0 })
	h := openHub(t, hub.Config{Servers: []string{s.ClientURL()}, Authenticator: sleeps, ReconnectTimeout: 300 * time.Millisecond, ReconnectWait: time.Millisecond, RetryDelay: time.Millisecond})
	if n := calls.Load(); n < 1 || n > 3 {
		t.Errorf("called %d times", n)
	}
	h.Close()
	never := make(chan struct{})
	defer close(never)
	stuck, err := hub.Open(context.Background(), hub.Config{Servers: []string{s.ClientURL()}, Authenticator: func(context.Context, string) (hub.Auth, error) {
		<-never
		return hub.Auth{}, nil
	}, ReconnectTimeout: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	stuck.Close()
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("Close waited %v for an authenticator that never returns", took)
	}
}
