//go:build !js

package transporttest

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/webtransport-go"
)

// ServeWT starts WebTransport peers on this machine, which open the stream, as leaves do; hash is that of their certificate, as browsers are told it (SHA-256,
// base64). stop ends them and returns when all have.
func ServeWT() (peers Peers, hash string, stop func(), err error) {
	s := newServers()
	defer func() {
		if err != nil {
			s.stop()
		}
	}()
	addr, hash, err := s.serveWT()
	if err != nil {
		return nil, "", nil, err
	}
	peers = Peers{}
	for _, b := range []Behaviour{Echo, Goodbye, Cut, Stall, Hang, Plain} {
		peers[b] = "https://" + addr + "/" + string(b)
	}
	other, _, err := s.serveWT()
	if err != nil {
		return nil, "", nil, err
	}
	peers[Untrusted] = "https://" + other + "/" + string(Echo)
	closed, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return nil, "", nil, err
	}
	peers[Refused] = "https://" + closed.LocalAddr().String() + "/" + string(Echo)
	return peers, hash, s.stop, closed.Close()
}

// serveWT serves the behaviours by path.
func (s *servers) serveWT() (addr, hash string, err error) {
	config, _, err := selfSigned()
	if err != nil {
		return "", "", err
	}
	sum := sha256.Sum256(config.Certificates[0].Certificate[0])
	udp, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return "", "", err
	}
	server := &webtransport.Server{CheckOrigin: func(*http.Request) bool { return true }} // there is nothing here but test data
	server.H3 = &http3.Server{
		Handler:     http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.handleWT(server, w, r) }),
		TLSConfig:   &tls.Config{Certificates: config.Certificates, MinVersion: tls.VersionTLS13, NextProtos: []string{"h3"}},
		QUICConfig:  &quic.Config{EnableDatagrams: true, EnableStreamResetPartialDelivery: true, MaxIncomingStreams: 8, MaxIncomingUniStreams: 8, KeepAlivePeriod: time.Second, MaxIdleTimeout: 4 * time.Second},
		Logger:      slog.New(slog.DiscardHandler),
		ConnContext: func(ctx context.Context, c *quic.Conn) context.Context { return context.WithValue(ctx, quicKey{}, c) },
	}
	webtransport.ConfigureHTTP3Server(server.H3)
	s.closers = append(s.closers, server, udp)
	s.running.Go(func() { _ = server.Serve(udp) })
	return udp.LocalAddr().String(), base64.StdEncoding.EncodeToString(sum[:]), nil
}

type quicKey struct{} // of the QUIC connection in a request's context

func (s *servers) handleWT(server *webtransport.Server, w http.ResponseWriter, r *http.Request) {
	if !s.enter() {
		return
	}
	defer s.running.Done()
	b := Behaviour(strings.TrimPrefix(r.URL.Path, "/"))
	switch b {
	case Plain:
		_, _ = io.WriteString(w, "just a page\n")
		return
	case Hang:
		select {
		case <-r.Context().Done():
		case <-s.done:
		}
		return
	}
	session, err := server.Upgrade(w, r)
	if err != nil {
		return
	}
	stream, err := session.OpenStreamSync(session.Context())
	if err != nil {
		return
	}
	if _, err := stream.Write(nil); err != nil { // it begins with the first write, also of nothing
		return
	}
	conn, _ := r.Context().Value(quicKey{}).(*quic.Conn)
	s.play(b, wtPeer{stream, session, conn})
}

// wtPeer is the stream of a session.
type wtPeer struct {
	*webtransport.Stream
	session *webtransport.Session
	quic    *quic.Conn
}

func (p wtPeer) LocalAddr() net.Addr  { return p.session.LocalAddr() }
func (p wtPeer) RemoteAddr() net.Addr { return p.session.RemoteAddr() }

// Close ends the stream by FIN, and the session when the client has had time to read it.
func (p wtPeer) Close() error {
	err := p.Stream.Close()
	select {
	case <-p.session.Context().Done():
	case <-time.After(patience):
	}
	_ = p.session.CloseWithError(0, "")
	return err
}

// Cut goes without an end of the stream.
func (p wtPeer) Cut() { _ = p.quic.CloseWithError(1, "") }
