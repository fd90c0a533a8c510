//go:build !js

package transporttest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// ServeWS starts WebSocket peers on this machine, over TLS when secure: roots is then what a
// client must trust. stop ends them and returns when all have.
func ServeWS(secure bool) (peers Peers, roots *x509.CertPool, stop func(), err error) {
	s := newServers()
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	addr, roots, err := s.serveWS(secure)
	if err != nil {
		return nil, nil, nil, err
	}
	scheme := "ws"
	if secure {
		scheme = "wss"
	}
	peers = Peers{}
	for _, b := range []Behaviour{Echo, Goodbye, Cut, Stall, Watch, Plain, Text, Failure} {
		peers[b] = scheme + "://" + addr + "/" + string(b)
	}
	hang, err := listenTCP()
	if err != nil {
		return nil, nil, nil, err
	}
	s.serve(hang, Hang, func(c net.Conn) Peer { return tcpPeer{c.(*net.TCPConn)} })
	peers[Hang] = scheme + "://" + hang.Addr().String()
	untrusted, _, err := s.serveWS(true)
	if err != nil {
		return nil, nil, nil, err
	}
	peers[Untrusted] = "wss://" + untrusted + "/" + string(Echo)
	refused, err := refusedAddr()
	if err != nil {
		return nil, nil, nil, err
	}
	peers[Refused] = scheme + "://" + refused
	return peers, roots, s.stop, nil
}

// serveWS serves the behaviours by path.
func (s *servers) serveWS(secure bool) (addr string, roots *x509.CertPool, err error) {
	l, err := listenTCP()
	if err != nil {
		return "", nil, err
	}
	addr = l.Addr().String()
	if secure {
		var config *tls.Config
		if config, roots, err = selfSigned(); err != nil {
			_ = l.Close()
			return "", nil, err
		}
		l = tls.NewListener(l, config)
	}
	server := &http.Server{
		Handler:  http.HandlerFunc(s.handleWS),
		ErrorLog: log.New(io.Discard, "", 0), // handshakes fail here on purpose
	}
	s.closers = append(s.closers, server)
	s.running.Go(func() { _ = server.Serve(l) })
	return addr, roots, nil
}

func (s *servers) handleWS(w http.ResponseWriter, r *http.Request) {
	if !s.enter() { // the server does not wait for connections that were taken over
		return
	}
	defer s.running.Done()
	b := Behaviour(strings.TrimPrefix(r.URL.Path, "/"))
	if b == Plain {
		_, _ = io.WriteString(w, "just a page\n")
		return
	}
	// A page of any origin may come: there is nothing here but test data.
	c, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return
	}
	switch b {
	case Text:
		_ = c.Write(context.Background(), websocket.MessageText, []byte("text"))
		b = Echo // until the client goes
	case Failure:
		_ = c.Close(websocket.StatusInternalError, "on purpose")
		return
	}
	s.play(b, wsPeer{websocket.NetConn(context.Background(), c, websocket.MessageBinary), c})
}

// enter counts the caller as running, which it ends by running.Done, unless the servers stop.
func (s *servers) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.stopped {
		s.running.Add(1)
	}
	return !s.stopped
}

type wsPeer struct {
	net.Conn
	ws *websocket.Conn
}

// Cut goes without the closing handshake.
func (p wsPeer) Cut() { _ = p.ws.CloseNow() }

func selfSigned() (*tls.Config, *x509.CertPool, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:     []string{"localhost"},
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, err
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, roots, nil
}
