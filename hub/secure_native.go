//go:build !js

package hub

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/natswire"
)

// errPlain: the URL asks for TLS, and the server has none.
var errPlain = errors.New("the server does not offer TLS, which tls:// wants: want nats:// or another port")

// secureFirst makes TLS of a TCP connection before the server has said anything, for Config.TLSFirst.
func secureFirst(ctx context.Context, conn net.Conn, u *url.URL, cfg *Config) (net.Conn, error) {
	if !cfg.TLSFirst || u.Scheme == "ws" || u.Scheme == "wss" {
		return conn, nil
	}
	safe, err := startTLS(ctx, conn, u, cfg)
	if header, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		err = fmt.Errorf("TLSFirst: the server does not begin with TLS (%s): want TLSFirst false, or handshake_first in the server's configuration", header.Msg)
	}
	return safe, err
}

// silence says what may be wrong with a server that has taken the connection and says nothing.
func silence(u *url.URL, cfg *Config) string {
	if cfg.TLSFirst || u.Scheme == "ws" || u.Scheme == "wss" {
		return "the server says nothing"
	}
	return "the server says nothing: if it wants TLS first (handshake_first in its configuration), set TLSFirst"
}

// secure makes TLS of a TCP connection where the server or the URL wants it. A NATS server says
// so in its INFO, which is not encrypted; WebSockets have theirs from the transport.
func secure(ctx context.Context, conn net.Conn, u *url.URL, cfg *Config, info natswire.ServerInfo) (net.Conn, error) {
	if u.Scheme == "ws" || u.Scheme == "wss" || cfg.TLSFirst {
		return conn, nil
	}
	if u.Scheme == "tls" && !info.TLSRequired && !info.TLSAvailable {
		return nil, errPlain
	}
	if !info.TLSRequired && u.Scheme != "tls" {
		return conn, nil
	}
	return startTLS(ctx, conn, u, cfg)
}

func startTLS(ctx context.Context, conn net.Conn, u *url.URL, cfg *Config) (net.Conn, error) {
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
