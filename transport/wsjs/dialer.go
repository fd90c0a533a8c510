//go:build js

// Package wsjs is the transport of Go programs compiled for js/wasm: the WebSocket of the
// browser or of Node as a net.Conn. It uses syscall/js alone and runs with Go's stock
// wasm_exec.js.
package wsjs

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"syscall/js"

	"github.com/kinopio-hub/kinopio-hub/v3/transport"
)

// A Dialer opens ws:// and wss:// URLs. User, password and fragment of a URL are not sent.
//
// A browser does not tell why a WebSocket could not be opened: nothing there, a certificate
// that is not trusted, a permission that is missing and an answer that is no WebSocket are all
// transport.ErrUnreachable. It also cannot be told to receive less: what the peer sends while
// nobody reads is kept in memory.
//
// The zero value is ready.
type Dialer struct {
	// New is the constructor to use in place of the global WebSocket, for example that of the
	// package ws in a version of Node that has none.
	New js.Value

	funcs *funcs // counts in tests; nil does not
}

var _ transport.Dialer = Dialer{}

// Schemes returns "ws" and "wss".
func (Dialer) Schemes() []string { return []string{"ws", "wss"} }

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
	if err := ctx.Err(); err != nil {
		return fail(err)
	}
	constructor := d.New
	if constructor.IsUndefined() {
		constructor = js.Global().Get("WebSocket")
	}
	if constructor.Type() != js.TypeFunction {
		return fail(errors.New("there is no WebSocket here; set Dialer.New"))
	}
	socket, err := construct(constructor, target)
	if err != nil {
		return fail(err)
	}
	c := newConn(socket, transport.Redact(rawURL), d.funcs)
	select {
	case <-c.opened:
		return c, nil
	case <-c.ended:
		return fail(fmt.Errorf("%w: the browser does not say why", transport.ErrUnreachable))
	case <-ctx.Done():
		_ = c.Close()
		return fail(ctx.Err())
	}
}

// parse returns the URL as the constructor takes it.
func parse(rawURL string) (string, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		// The error is not told: it quotes parts of the URL, among them a password.
		return "", fmt.Errorf("%w: it cannot be parsed", transport.ErrURL)
	}
	if u.Scheme != "ws" && u.Scheme != "wss" {
		return "", fmt.Errorf("%w: want the scheme ws or wss", transport.ErrURL)
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

// construct calls the constructor, which throws on what the browser forbids beforehand, such
// as ws:// on a page that came over https.
func construct(constructor js.Value, url string) (socket js.Value, err error) {
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
	return constructor.New(url), nil
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
