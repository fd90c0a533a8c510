// Package transport is the contract between a hub and the network: open a byte
// stream to one URL, and say in a typed way why that did not work or ended.
//
// Implementations: [github.com/kinopio-hub/kinopio-hub/v3/transport/native] (TCP, ws
// and wss, not for js), [github.com/kinopio-hub/kinopio-hub/v3/transport/wsjs] (the
// browser's WebSocket). The suite in transporttest proves the contract for each.
package transport

import (
	"context"
	"errors"
	"net"
	"net/url"
	"strings"
)

// A Dialer opens byte streams. Implementations are safe for concurrent use.
type Dialer interface {
	// Schemes lists, in lower case, the URL schemes that Dial serves.
	Schemes() []string

	// Dial opens a stream to url and returns when bytes can be written.
	//
	//   - ctx bounds the dial only: when it ends first, Dial returns an error that
	//     wraps ctx.Err() and leaves nothing open. It does not end the stream.
	//   - A failure is an *[Error] whose Err wraps one of the sentinels below where
	//     the cause can be known; a browser often cannot know it ([ErrUnreachable]).
	//
	// Of the returned net.Conn:
	//
	//   - Write waits while the peer does not read, and never keeps p.
	//   - Read returns io.EOF after the peer has closed cleanly, and an *Error that
	//     wraps [ErrUnclean] when the stream broke. What had arrived before is read first.
	//   - Close may be called any number of times from any goroutine, and unblocks Read
	//     and Write, which then fail with net.ErrClosed.
	//   - Deadlines hold: an expired one fails with os.ErrDeadlineExceeded, and a later
	//     one makes the stream usable again for reading.
	Dial(ctx context.Context, url string) (net.Conn, error)
}

type progressKey struct{}

// WithProgress lets a Dialer tell of each sign of life of the peer while it dials: it calls fn, which
// must not wait, from any goroutine. Whoever dials knows then which of several peers to wait for.
func WithProgress(ctx context.Context, fn func()) context.Context {
	return context.WithValue(ctx, progressKey{}, fn)
}

// Progress tells of a sign of life to whoever has asked for it by [WithProgress].
func Progress(ctx context.Context) {
	if fn, ok := ctx.Value(progressKey{}).(func()); ok {
		fn()
	}
}

// The causes that callers may branch on, with errors.Is.
var (
	// ErrURL: the URL cannot be used at all (no host, unknown scheme, not a URL).
	ErrURL = errors.New("invalid URL")
	// ErrUnreachable: nothing answered there (refused, no route, unknown host), or a
	// browser that does not say which.
	ErrUnreachable = errors.New("unreachable")
	// ErrUntrusted: TLS was refused, because of the certificate or the handshake.
	ErrUntrusted = errors.New("TLS not trusted")
	// ErrHandshake: something answered that does not speak the protocol asked for.
	ErrHandshake = errors.New("handshake refused")
	// ErrUnclean: an open stream ended without a proper close.
	ErrUnclean = errors.New("connection lost")
)

// Error says what failed, on which URL (without credentials and query), and why.
type Error struct {
	Op  string // "dial", "read" or "write"
	URL string
	Err error
}

func (e *Error) Error() string { return e.Op + " " + e.URL + ": " + e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Redact returns rawURL without user, password, query and fragment, fit for logs and errors.
// Of what is no URL with a host, only what follows the last "@" is returned: a password may be before it.
func Redact(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil || u.Host == "" {
		if i := strings.LastIndex(rawURL, "@"); i >= 0 {
			return "…" + rawURL[i:]
		}
		return rawURL
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return u.String()
}
