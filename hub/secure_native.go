//go:build !js

package hub

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/url"
)

// errPlain: the URL asks for TLS, and the server has none.
var errPlain = errors.New("the server does not offer TLS, which tls:// wants: want nats:// or another port")

// secure makes TLS of a TCP connection where the server or the URL wants it. A NATS server says
// so in its INFO, which is not encrypted; WebSockets have theirs from the transport.
func secure(ctx context.Context, conn net.Conn, u *url.URL, cfg *Config, info protoServer) (net.Conn, error) {
	if u.Scheme == "ws" || u.Scheme == "wss" {
		return conn, nil
	}
	if u.Scheme == "tls" && !info.tlsRequired && !info.tlsAvailable {
		return nil, errPlain
	}
	if !info.tlsRequired && u.Scheme != "tls" {
		return conn, nil
	}
	settings := &tls.Config{MinVersion: tls.VersionTLS12}
	if cfg.TLS != nil {
		settings = cfg.TLS.Clone()
	}
	if settings.ServerName == "" {
		settings.ServerName = u.Hostname()
	}
	safe := tls.Client(conn, settings)
	if err := safe.HandshakeContext(ctx); err != nil {
		return nil, err
	}
	return safe, nil
}
