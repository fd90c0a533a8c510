//go:build !js

package native_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/kinopio-hub/kinopio-hub/v3/transport"
	"github.com/kinopio-hub/kinopio-hub/v3/transport/native"
)

// authority makes a root, and a certificate of it for 127.0.0.1.
func authority(t *testing.T) (rootPEM string, server tls.Certificate) {
	t.Helper()
	key := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	rootKey, serverKey := key(), key()
	root := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	rootDER, err := x509.CreateCertificate(rand.Reader, root, root, rootKey.Public(), rootKey)
	if err != nil {
		t.Fatal(err)
	}
	leaf := &x509.Certificate{SerialNumber: big.NewInt(2), NotBefore: root.NotBefore, NotAfter: root.NotAfter, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, root, serverKey.Public(), rootKey)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: rootDER})),
		tls.Certificate{Certificate: [][]byte{leafDER}, PrivateKey: serverKey}
}

// A root that the server is known by is trusted, and nobody else is: who has a certificate of another one hears not
// one byte inside of TLS.
func TestKnownRootIsTheOnlyOneTrusted(t *testing.T) {
	right, certificate := authority(t)
	wrong, _ := authority(t)
	var mu sync.Mutex
	requests, connections := 0, 0
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		requests++
		mu.Unlock()
		ws, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer ws.CloseNow()
		_ = ws.Write(r.Context(), websocket.MessageBinary, []byte("hello"))
		_, _, _ = ws.Read(r.Context())
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		mu.Lock()
		defer mu.Unlock()
		switch state {
		case http.StateNew:
			connections++
		case http.StateActive: // Something was read.
			requests++
		}
	}
	server.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
	server.StartTLS()
	defer server.Close()
	url := "wss://" + server.Listener.Addr().String()
	systemPool := x509.NewCertPool()
	systemPool.AppendCertsFromPEM([]byte(wrong))
	for name, c := range map[string]struct {
		dialer native.Dialer
		reach  *transport.Reach
		ok     bool
	}{
		"the right root":                  {reach: &transport.Reach{RootPEM: right}, ok: true},
		"the right root beside one's own": {dialer: native.Dialer{TLS: &tls.Config{RootCAs: systemPool}}, reach: &transport.Reach{RootPEM: right}, ok: true},
		"another root":                    {reach: &transport.Reach{RootPEM: wrong}},
		"no root":                         {reach: &transport.Reach{}},
		"nothing known":                   {},
		"no certificate":                  {reach: &transport.Reach{RootPEM: "nonsense"}},
		"another root, beside one's own":  {dialer: native.Dialer{TLS: &tls.Config{RootCAs: systemPool}}, reach: &transport.Reach{RootPEM: wrong}},
	} {
		t.Run(name, func(t *testing.T) {
			mu.Lock()
			requests, connections = 0, 0
			mu.Unlock()
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			conn, err := c.dialer.Dial(transport.WithReach(ctx, c.reach), url)
			if err == nil {
				got := make([]byte, 5)
				if _, err := conn.Read(got); err != nil || !bytes.Equal(got, []byte("hello")) {
					t.Errorf("read %q, %v", got, err)
				}
				conn.Close()
			}
			if ok := err == nil; ok != c.ok {
				t.Fatalf("got %v", err)
			}
			if c.ok {
				return
			}
			if !errors.Is(err, transport.ErrUntrusted) {
				t.Errorf("got %v, want one that says that TLS is not trusted", err)
			}
			mu.Lock()
			defer mu.Unlock()
			if requests != 0 || connections == 0 && name != "no certificate" { // The connection may have ended before it was taken.
				t.Errorf("%d connections were made, by which %d requests came", connections, requests)
			}
		})
	}
}
