package hub

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/natswire"
	"github.com/kinopio-hub/kinopio-hub/v3/transport"
)

// A link is one connection as the hub sees it: a wire, and an inbox of its own on it.
type link struct {
	hub    *Hub
	wire   wire
	flow   congestible // wire, if it is one
	target target
	// isolated: the server is not of one system with the configured ones,
	isolated  atomic.Bool
	deaf      atomic.Int64  // since then, in ns since the intake's start
	limit     int           // the largest payload, in bytes
	trip      time.Duration // the round trip, if it was measured before anything else
	hasty     bool          // it was chosen while others had not answered yet
	inbox     string        // "_INBOX.<hub>.<link>.", each answer adds a token; subscribed to by the first request
	inboxOpen bool          // a request has been sent: the inbox is subscribed to. The outbox is locked

	leave chan struct{} // closed when the server says that it is about to stop
	left  sync.Once

	shutOff bool         // the intake's: nothing passes any more
	heard   atomic.Int64 // when the server last said something, in ns since the intake's start

	mu       sync.Mutex
	refusals []string        // what the server did not take
	reported map[string]bool // what was told of it, once

	// answered gets one value, nil or why not, when it is known whether the server accepts the hub; nil: it has.
	answered chan error

	noInbox atomic.Pointer[PermissionError] // why no answers come; nil: they do
	noMarks atomic.Pointer[PermissionError] // why no move can be proved

	measured   atomic.Int64  // when the distance was last measured, in ns since 1970
	unanswered atomic.Int64  // requests sent by this link that wait for their answer
	quiet      chan struct{} // a token when unanswered falls to 0
}

// target is a server that a hub may be on, and how the hub came by it.
type target struct {
	url   string
	via   string          // viaConfigured or viaLeaf
	node  string          // which leaf it is, if that is known: in other LANs others have the same URL
	reach transport.Reach // other ways to it, and whom to trust there
	// alone: the server is known to be a system of its own. unproven: that is not known.
	alone, unproven bool
}

const (
	viaConfigured = "configured"
	viaLeaf       = "leaf"
)

// String is the server without credentials.
func (t target) String() string {
	if t.url == "" {
		return ""
	}
	return transport.Redact(t.url)
}

// is says that t is the same server as other.
func (t target) is(other target) bool {
	return t.url == other.url && (t.node == "" || other.node == "" || t.node == other.node)
}

// key is a name for a server among others that may have the same URL.
func (t target) key() string { return t.url + " " + t.node }

// openLink connects to t; its server is still to accept the hub.
func (h *Hub) openLink(ctx context.Context, t target) (*link, error) {
	l := &link{
		hub:    h,
		target: t,
		inbox:  h.inboxes() + strconv.FormatUint(h.links.Add(1), 36) + ".",
		leave:  make(chan struct{}),
		quiet:  make(chan struct{}, 1),
	}
	w, err := h.engine.dial(h.withReach(ctx, t), t.url, l)
	if err != nil {
		return nil, err
	}
	l.wire, l.limit = w, w.MaxPayload()
	l.flow, _ = w.(congestible)
	l.measured.Store(time.Now().UnixNano())
	l.hears()
	return l, nil
}

// accepted returns when the server has accepted the hub.
func (l *link) accepted(ctx context.Context) error {
	var err error
	select {
	case <-l.wire.Accepted():
		l.hears()
		transport.Progress(ctx)
		return nil
	case <-l.wire.Done():
		err = l.wire.Cause()
	case <-ctx.Done():
		err = fmt.Errorf("%w (%w)", ctx.Err(), context.Cause(ctx))
	}
	return fmt.Errorf("%w to %s: %w", ErrConnect, l.target, err)
}

// expectAcceptance ends the link if its server does not accept the hub within timeout.
func (l *link) expectAcceptance(timeout time.Duration) {
	l.answered = make(chan error, 1)
	l.hub.wg.Go(func() {
		ctx, cancel := context.WithTimeout(l.hub.ctx, timeout)
		defer cancel()
		err := l.accepted(ctx)
		l.answered <- err
		if err != nil {
			l.wire.Disconnect()
		}
	})
}

// awaitAcceptance returns when it is known whether the server accepts the hub.
func (l *link) awaitAcceptance() error {
	if l.answered == nil {
		return nil
	}
	err := <-l.answered
	l.answered = nil
	return err
}

// inboxes begins the subjects that what is for this hub alone comes on.
func (h *Hub) inboxes() string { return h.cfg.InboxPrefix + "." + h.id + "." }

// openInbox subscribes to what is answered to requests by l, before the first. The outbox is locked.
func (l *link) openInbox() error {
	if v := l.noInbox.Load(); v != nil {
		return v
	}
	if l.inboxOpen {
		return nil
	}
	_, err := l.wire.Subscribe(l.inbox+"*", "", nil)
	l.inboxOpen = err == nil
	return err
}

// receive is the wire's: messages in the order of the stream.
func (l *link) Receive(batch []natswire.Inbound) (idle bool) {
	return l.hub.intake.receive(l, batch)
}

// shut lets nothing through any more and closes the connection.
func (l *link) shut() {
	l.hub.intake.shut(l)
	l.wire.Disconnect()
}

// whileAlive is a context for what has to be waited for as long as l lives, which its pings
// find out.
func (h *Hub) whileAlive(l *link) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(h.ctx, h.cfg.PingInterval*time.Duration(h.cfg.MaxPingOut+1))
	h.spawn(func() {
		select {
		case <-l.wire.Done():
			cancel()
		case <-ctx.Done():
		}
	})
	return ctx, cancel
}

// hears notes that the server has said something.
func (l *link) hears() { l.heard.Store(int64(time.Since(l.hub.intake.start))) }

// silence is for how long the server has said nothing.
func (l *link) silence() time.Duration {
	return time.Since(l.hub.intake.start) - time.Duration(l.heard.Load())
}

// isolates notes whether the server is of one system with the configured ones, which it was at since
// for the last time.
func (l *link) isolates(isolated bool, since time.Time) {
	if isolated && !l.isolated.Load() {
		l.deaf.Store(int64(since.Sub(l.hub.intake.start)))
	}
	l.isolated.Store(isolated)
}

// apart is for how long the server has not been of one system with the configured ones.
func (l *link) apart() time.Duration {
	return time.Since(l.hub.intake.start) - time.Duration(l.deaf.Load())
}

// congested says that what has been published by l is still to be written.
func (l *link) congested() bool { return l.flow != nil && l.flow.Congested() }

// isLeaving says whether the server has said that it is about to stop.
func (l *link) isLeaving() bool {
	select {
	case <-l.leave:
		return true
	default:
		return false
	}
}

func (l *link) Leaving() { l.left.Do(func() { close(l.leave) }) }

// refusalsKept bounds what is remembered of a server's refusals.
const refusalsKept = 64

// answer takes what came to an inbox: a mark of a move, or the answer to a request. in.mu is held.
func (h *Hub) answer(l *link, m *inbound) (idle bool) {
	if token, ok := strings.CutPrefix(m.Subject, l.inbox); ok {
		h.intake.scratch = Message{Subject: m.Subject, Reply: m.Reply, Header: m.Header, Data: m.Data, hub: h, link: l}
		if m.Header != nil {
			h.keeper().take(&h.intake.scratch)
		}
		h.requests.answer(token, &h.intake.scratch)
		return true
	}
	if o := h.intake.over; o != nil {
		if text, ok := strings.CutPrefix(m.Subject, o.subject); ok {
			if mark, err := strconv.Atoi(text); err == nil && mark != 0 {
				o.mark(l, mark)
			}
		}
	}
	return false
}
