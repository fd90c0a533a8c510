//go:build js

// Package wtjs is the WebTransport of browsers for Go programs compiled for js/wasm: a session, whose one bidirectional
// stream the server opens, as a net.Conn. It uses syscall/js alone and runs with Go's stock wasm_exec.js.
package wtjs

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"syscall/js"

	"github.com/kinopio-hub/kinopio-hub/v3/transport"
)

// A Dialer opens https:// URLs, user, password and fragment of which are not sent. Certificates are known by their hash.
//
// A browser does not tell why a session could not be opened: nothing there, another certificate, an origin that is refused, a
// permission that is missing and an answer that is no session are all transport.ErrUnreachable. Chromium holds up a page's
// next sessions for each that has failed or was called off in the last minutes, and keeps the QUIC connection of one that was
// called off until the server answers or ends it.
type Dialer struct {
	// CertificateHashes are the SHA-256 of the certificates that may be shown, base64. None: those that the browser trusts.
	CertificateHashes []string
	// New is the constructor to use in place of the global WebTransport.
	New js.Value

	funcs *funcs // counts in tests; nil does not
}

var _ transport.Dialer = Dialer{}

// Schemes returns "https".
func (Dialer) Schemes() []string { return []string{"https"} }

// Available says whether there is WebTransport here: not in insecure pages, nor in Node.
func (d Dialer) Available() bool { return d.constructor().Type() == js.TypeFunction }

func (d Dialer) constructor() js.Value {
	if d.New.IsUndefined() {
		return js.Global().Get("WebTransport")
	}
	return d.New
}

// Open is Dial with other hashes.
func (d Dialer) Open(ctx context.Context, rawURL string, certificateHashes []string) (net.Conn, error) {
	d.CertificateHashes = certificateHashes
	return d.Dial(ctx, rawURL)
}

// Dial keeps the contract of [transport.Dialer]. Goroutines that wait for its stream need the
// event loop: do not call it, Read or Write in a js.Func without a goroutine of their own.
func (d Dialer) Dial(ctx context.Context, rawURL string) (net.Conn, error) {
	fail := func(err error) (net.Conn, error) {
		return nil, &transport.Error{Op: "dial", URL: transport.Redact(rawURL), Err: err}
	}
	target, err := parse(rawURL)
	if err != nil {
		return fail(err)
	}
	hashes, err := d.hashes()
	if err != nil {
		return fail(err)
	}
	if err := ctx.Err(); err != nil {
		return fail(err)
	}
	constructor := d.constructor()
	if constructor.Type() != js.TypeFunction {
		return fail(fmt.Errorf("%w: there is no WebTransport here", transport.ErrUnreachable))
	}
	session, err := construct(constructor, target, hashes)
	if err != nil {
		return fail(err)
	}
	c := newConn(session, transport.Redact(rawURL), d.funcs)
	select {
	case <-c.opened:
		return c, nil
	case <-c.ended:
		select {
		case <-c.opened: // it opened and ended at once: Read tells what it brought, and why it ended
			return c, nil
		default:
		}
		return fail(fmt.Errorf("%w: %w", transport.ErrUnreachable, c.cause()))
	case <-ctx.Done():
		_ = c.Close()
		return fail(ctx.Err())
	}
}

// hashes are CertificateHashes as the constructor takes them.
func (d Dialer) hashes() (all []any, err error) {
	for i, hash := range d.CertificateHashes {
		sum, err := base64.StdEncoding.DecodeString(hash)
		if err != nil || len(sum) != 32 {
			return nil, fmt.Errorf("CertificateHashes[%d] %q: want a SHA-256 in base64", i, hash)
		}
		value := js.Global().Get("Uint8Array").New(len(sum))
		js.CopyBytesToJS(value, sum)
		all = append(all, map[string]any{"algorithm": "sha-256", "value": value})
	}
	return all, nil
}

// parse returns the URL as the constructor takes it.
func parse(rawURL string) (string, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		// The error is not told: it quotes parts of the URL, among them a password.
		return "", fmt.Errorf("%w: it cannot be parsed", transport.ErrURL)
	}
	if u.Scheme != "https" {
		return "", fmt.Errorf("%w: want the scheme https", transport.ErrURL)
	}
	if u.Hostname() == "" {
		return "", fmt.Errorf("%w: no host", transport.ErrURL)
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return "", fmt.Errorf("%w: want a port from 1 to 65535", transport.ErrURL)
		}
	}
	u.User, u.Fragment = nil, ""
	return u.String(), nil
}

// construct calls the constructor, which throws on what the browser forbids beforehand.
func construct(constructor js.Value, url string, hashes []any) (session js.Value, err error) {
	defer func() {
		switch e := recover().(type) {
		case nil:
		case js.Error:
			cause := transport.ErrUnreachable
			if name := e.Value.Get("name"); name.Type() == js.TypeString && name.String() == "SyntaxError" {
				cause = transport.ErrURL
			}
			err = fmt.Errorf("%w: %w", cause, e)
		default:
			panic(e)
		}
	}()
	options := map[string]any{}
	if len(hashes) > 0 {
		options["serverCertificateHashes"] = hashes
	}
	return constructor.New(url, options), nil
}

// failure is what a promise was rejected with, as an error.
func failure(cause js.Value) error {
	if cause.Type() == js.TypeObject {
		if message := cause.Get("message"); message.Type() == js.TypeString && message.String() != "" {
			return errors.New(message.String())
		}
	}
	return errors.New("the browser does not say why")
}

// funcs makes the js.Funcs of a dialer, and counts those that were not released.
type funcs struct{ live int }

func (f *funcs) of(fn func(js.Value)) js.Func {
	if f != nil {
		f.live++
	}
	return js.FuncOf(func(_ js.Value, args []js.Value) any {
		if len(args) > 0 {
			fn(args[0])
		} else {
			fn(js.Undefined())
		}
		return nil
	})
}

func (f *funcs) release(fn js.Func) {
	if f != nil {
		f.live--
	}
	fn.Release()
}
