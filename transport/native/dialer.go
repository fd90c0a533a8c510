//go:build !js

// Package native is the transport of programs that have sockets: plain TCP for the NATS
// protocol, and WebSocket with or without TLS. The other one, for programs in a browser or in
// Node, is [github.com/kinopio-hub/kinopio-hub/v3/transport/wsjs].
package native

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"

	"github.com/kinopio-hub/kinopio-hub/v3/transport"
)

// A Dialer opens streams to these URLs:
//
//	nats://host[:4222]         TCP; the NATS protocol makes TLS of it where the server wants it
//	tls://host[:4222]          the same
//	tcp://host:port            TCP
//	ws://host[:80][/path]      WebSocket, one binary message each Write
//	wss://host[:443][/path]    the same over TLS
//
// User and password in a URL are left to the protocol inside: they are not sent by the dialer.
// The zero value is ready; it trusts what the operating system trusts.
type Dialer struct {
	// TLS is for wss only. Nil is the default of crypto/tls. The server's name is taken from
	// the URL where it is empty.
	TLS *tls.Config
	// Header is sent with the request that opens a WebSocket.
	Header http.Header
}

var _ transport.Dialer = Dialer{}

// Schemes returns the schemes above.
func (Dialer) Schemes() []string { return []string{"nats", "tls", "tcp", "ws", "wss"} }

// Dial keeps the contract of [transport.Dialer].
func (d Dialer) Dial(ctx context.Context, rawURL string) (net.Conn, error) {
	name := transport.Redact(rawURL)
	fail := func(err error) (net.Conn, error) {
		if ctx.Err() != nil {
			err = ctx.Err() // what follows from it says less
		}
		return nil, &transport.Error{Op: "dial", URL: name, Err: err}
	}
	u, addr, err := parse(rawURL)
	if err != nil {
		return fail(err)
	}
	tcp, err := dialTCP(ctx, addr)
	if err != nil {
		return fail(err)
	}
	transport.Progress(ctx)
	if u.Scheme != "ws" && u.Scheme != "wss" {
		return &tcpConn{Conn: tcp, url: name}, nil
	}
	conn, err := d.upgrade(ctx, tcp, u, name)
	if err != nil {
		_ = tcp.Close()
		return fail(err)
	}
	return conn, nil
}

// parse returns the URL and the address to dial.
func parse(rawURL string) (u *url.URL, addr string, err error) {
	u, err = url.Parse(rawURL)
	if err != nil {
		// The error is not told: it quotes parts of the URL, among them a password.
		return nil, "", fmt.Errorf("%w: it cannot be parsed", transport.ErrURL)
	}
	if err := ToASCII(u); err != nil {
		return nil, "", err
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"nats": "4222", "tls": "4222", "ws": "80", "wss": "443", "tcp": ""}[u.Scheme]
	}
	switch n, err := strconv.Atoi(port); {
	case !known(u.Scheme):
		return nil, "", fmt.Errorf("%w: want one of the schemes %v", transport.ErrURL, Dialer{}.Schemes())
	case u.Hostname() == "":
		return nil, "", fmt.Errorf("%w: no host", transport.ErrURL)
	case err != nil || n < 1 || n > 65535:
		return nil, "", fmt.Errorf("%w: want a port from 1 to 65535", transport.ErrURL)
	}
	return u, net.JoinHostPort(u.Hostname(), port), nil
}

func known(scheme string) bool {
	switch scheme {
	case "nats", "tls", "tcp", "ws", "wss":
		return true
	}
	return false
}

// dialTCP leaves the defaults of package net as they are: no delay of small packets, and
// keepalive probes from 15 seconds of silence on.
func dialTCP(ctx context.Context, addr string) (net.Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", addr)
	if e, ok := errors.AsType[*net.OpError](err); ok {
		err = e.Err // the address is in the URL
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", transport.ErrUnreachable, err)
	}
	return c, nil
}
