package hub

import (
	"context"
	"net/url"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/plainjson"
	"github.com/kinopio-hub/kinopio-hub/v3/transport"
)

// reachMost is what a manifest may say of other ways and of its root each, in bytes.
const reachMost = 16 << 10

// readReach reads how else a leaf may be reached, and whom to trust there.
func readReach(r *plainjson.Reader) transport.Reach {
	reach := transport.Reach{WebTransport: r.Raw("webTransport"), RootPEM: r.Text("rootPem")}
	if len(reach.WebTransport) > reachMost || len(reach.RootPEM) > reachMost {
		return transport.Reach{}
	}
	return reach
}

// withReach tells who dials t what is known of it, and hears of a way that opens later.
func (h *Hub) withReach(ctx context.Context, t target) context.Context {
	if t.reach == (transport.Reach{}) {
		return ctx
	}
	ctx = transport.WithLate(ctx, &transport.Late{Life: h.ctx, Opened: func(url string) {
		select {
		case h.lateWay <- url:
		default: // another one is about to be taken
		}
	}})
	return transport.WithReach(ctx, &t.reach)
}

// takeLateWay lets the leaf at url be tried again, and if the hub is on it already makes the better way its own.
func (s *searcher) takeLateWay(url string) {
	s.forgive(url)
	here := s.h.where()
	if here.via != viaLeaf || here.url != url {
		return // the probe that follows takes it there
	}
	if err := s.h.submit(proposal{targets: []target{here}, again: true, reason: "faster", done: make(chan error, 1)}); err != nil {
		s.h.cfg.Logger.Debug("the hub stays on its way to the leaf", "err", err)
	}
	s.place()
}

// mayTell says whether a manifest at address is believed when it says whom to trust: anybody on the way
// may have written one that came without TLS.
func mayTell(address string) bool {
	from, err := url.Parse(address)
	return err == nil && (from.Scheme == "https" || where(from.Hostname()) == onLoopback)
}

// way is by which way the connection goes, in words, "" where there was no choice.
func (l *link) way() string {
	if w, ok := l.wire.(transport.Described); ok {
		return w.Description()
	}
	return ""
}
