//go:build !js

package native

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/coder/websocket"

	"github.com/kinopio-hub/kinopio-hub/v3/transport"
)

// maxHeader bounds the answer to the request that opens a WebSocket.
const maxHeader = 64 << 10

// upgrade makes a WebSocket of tcp. The caller closes tcp when it fails.
func (d Dialer) upgrade(ctx context.Context, tcp net.Conn, u *url.URL, name string) (net.Conn, error) {
	stream := tcp
	if u.Scheme == "wss" {
		config, err := d.tlsConfig(u.Hostname(), transport.ReachOf(ctx))
		if err != nil {
			return nil, err
		}
		secure := tls.Client(tcp, config)
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, tlsError(err)
		}
		stream = secure
		transport.Progress(ctx)
	}
	raw := &corked{Conn: stream}
	handOver := func(context.Context, string, string) (net.Conn, error) { return raw, nil }
	client := &http.Client{
		Transport: &http.Transport{
			DialContext:            handOver,
			DialTLSContext:         handOver,
			DisableKeepAlives:      true,
			MaxResponseHeaderBytes: maxHeader,
		},
		// As in a browser: a WebSocket follows no redirection, which could lead anywhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	target := *u
	target.User, target.Fragment = nil, ""
	ws, _, err := websocket.Dial(ctx, target.String(), &websocket.DialOptions{HTTPClient: client, HTTPHeader: d.Header})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", transport.ErrHandshake, err)
	}
	return newWSConn(ws, raw, name), nil
}

// tlsConfig is for a server at host. Where the server's root is known, no other one counts but those that
// the caller has named.
func (d Dialer) tlsConfig(host string, known *transport.Reach) (*tls.Config, error) {
	config := d.TLS.Clone()
	if config == nil {
		config = &tls.Config{}
	}
	if config.ServerName == "" {
		config.ServerName, _, _ = strings.Cut(host, "%") // The zone of fe80::1%eth0 is this host's own.
	}
	config.NextProtos = []string{"http/1.1"} // WebSocket over HTTP/2 is another protocol
	if known == nil || known.RootPEM == "" {
		return config, nil
	}
	if config.RootCAs == nil {
		config.RootCAs = x509.NewCertPool()
	} else {
		config.RootCAs = config.RootCAs.Clone()
	}
	if !config.RootCAs.AppendCertsFromPEM([]byte(known.RootPEM)) {
		return nil, fmt.Errorf("%w: the root that the server is known by is no certificate", transport.ErrUntrusted)
	}
	return config, nil
}

// tlsError tells what was refused from what broke while it was being decided.
func tlsError(err error) error {
	if header, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return fmt.Errorf("%w: no TLS there: %s", transport.ErrHandshake, header.Msg)
	}
	return fmt.Errorf("%w: %w", transport.ErrUntrusted, err)
}
