package transport

import "context"

// A Reach is what a server says of itself, for a Dialer that has more ways to it than its URL, or that can
// trust it without a CA of the system. Whoever passes it on believes it.
type Reach struct {
	// WebTransport is a JSON array of ways for browsers, each with its url (https) and certificateHashes (SHA-256 of the
	// certificates that may be shown there, base64), or "". A Dialer takes whichever way is usable first, and of two the
	// one of these; without them nothing is later than it would be. It uses none that leads elsewhere
	// than to a LAN, to this machine or to the host of the URL that is dialed.
	WebTransport string
	// RootPEM is the only root that the certificate of a wss URL may come from, PEM. "": those that
	// are trusted anyway.
	RootPEM string
}

type reachKey struct{}

// WithReach tells a Dialer what is known of the server that is dialed. It may be nil.
func WithReach(ctx context.Context, r *Reach) context.Context {
	if r == nil {
		return ctx
	}
	return context.WithValue(ctx, reachKey{}, r)
}

// ReachOf is what [WithReach] was given, or nil.
func ReachOf(ctx context.Context) *Reach {
	r, _ := ctx.Value(reachKey{}).(*Reach)
	return r
}

// A Described connection says by which way it goes, and why not by a better one, in words.
type Described interface{ Description() string }

// A Late hears of a way that opens after Dial has returned without it: a browser may hold one up for a minute.
type Late struct {
	// Life ends what still goes on.
	Life context.Context
	// Opened is called with the URL that was dialed, from any goroutine, and must not wait. Who dials that URL again within
	// a second or two gets the way.
	Opened func(url string)
}

type lateKey struct{}

// WithLate lets a Dialer go on with a way that it does not wait for any longer; without it nothing goes on.
func WithLate(ctx context.Context, l *Late) context.Context {
	return context.WithValue(ctx, lateKey{}, l)
}

// LateOf is what [WithLate] was given, or nil.
func LateOf(ctx context.Context) *Late {
	l, _ := ctx.Value(lateKey{}).(*Late)
	return l
}
