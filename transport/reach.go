package transport

import "context"

// A Reach is what a server says of itself, for a Dialer that has more ways to it than its URL, or that can
// trust it without a CA of the system. Whoever passes it on believes it.
type Reach struct {
	// WebTransport are ways for browsers. A Dialer takes whichever way is usable first, and of two the
	// one of these; without them nothing is later than it would be.
	WebTransport []WebTransport
	// RootPEM is the only root that the certificate of a wss URL may come from, PEM. Empty: those that
	// are trusted anyway.
	RootPEM string
}

// WebTransport is one way.
type WebTransport struct {
	URL    string   // https
	Hashes []string // SHA-256 of the certificates that may be shown there, base64
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
