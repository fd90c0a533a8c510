package hub

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kinopio-hub/kinopio-hub/transport"
)

// A link is one connection as the hub sees it: a wire, an inbox of its own on it, and a
// gate that can hold messages back while a move puts them in order.
type link struct {
	hub    *Hub
	wire   wire
	target target
	// isolated: the server is not of one system with the configured ones. The session's.
	isolated bool
	limit    int    // the largest payload, in bytes
	inbox    string // "_INBOX.<hub>.<link>.", each answer and marker adds a token

	leave chan struct{} // closed when the server says that it is about to stop
	left  sync.Once

	gate    gate
	scratch Message // of the message that is being delivered
	run     Run     // of the run that is being delivered

	marks sync.Mutex
	mark  map[string]chan struct{}

	refused    atomic.Pointer[error] // why the server did not take a subscription that a move needs
	measured   atomic.Int64          // when the distance was last measured, in ns since 1970
	unanswered atomic.Int64          // requests sent by this link that wait for their answer
	quiet      chan struct{}         // a token when unanswered falls to 0
}

// target is a server that a hub may be on, and how the hub came by it.
type target struct {
	url string
	via string // viaConfigured or viaLeaf
	// alone: the server is known to be a system of its own
	alone bool
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

// openLink connects to t.
func (h *Hub) openLink(ctx context.Context, t target) (*link, error) {
	l := &link{
		hub:    h,
		target: t,
		inbox:  "_INBOX." + h.id + "." + strconv.FormatUint(h.links.Add(1), 36) + ".",
		leave:  make(chan struct{}),
		mark:   map[string]chan struct{}{},
		quiet:  make(chan struct{}, 1),
	}
	l.gate.seed, l.gate.remembers = h.seed, h.standby != nil
	w, err := h.engine.dial(ctx, t.url, l)
	if err != nil {
		return nil, err
	}
	l.wire, l.limit = w, w.maxPayload()
	l.measured.Store(time.Now().UnixNano())
	if _, err = w.subscribe(l.inbox+"*", "", nil); err != nil {
		w.close()
		return nil, err
	}
	return l, nil
}

// receive is the wire's: messages in the order of the stream. Around a move nothing is calm.
func (l *link) receive(batch []inbound) (calm bool) {
	g := &l.gate
	count, size := 0, 0
	var now time.Time
	if g.remembers {
		now = time.Now()
	}
	g.mu.Lock()
	calm = g.rule == ruleSteady && !g.holds
	if !calm || g.remembers {
		batch = unroll(batch)
	}
	for i := range batch {
		m := &batch[i]
		n, bytes := m.weight()
		count += n
		size += bytes
		switch {
		case g.shut:
		case m.route == nil:
			calm = l.answer(m) && calm
		case m.run != nil:
			calm = l.deliverRun(m) && calm
		case g.holds && !m.route.entry.shared():
			g.held = append(g.held, *m)
		case g.counts(m):
			if g.remembers && !m.route.entry.shared() {
				g.remember(m, now)
			}
			calm = l.deliver(m) && calm
		}
	}
	g.mu.Unlock()
	l.hub.traffic.inMessages.Add(uint64(count))
	l.hub.traffic.inBytes.Add(uint64(size))
	l.hub.batchEnd()
	return calm
}

// deliver hands one message to the handles of its name. The gate is locked. calm is as in receiver.
func (l *link) deliver(m *inbound) (calm bool) {
	if id := takeID(m); id != "" && l.hub.cfg.Moves == MovesIDs && !m.route.entry.shared() {
		if !m.route.entry.reader.note(m.subject, id, &l.hub.missing) {
			return true
		}
	}
	l.scratch = Message{Subject: m.subject, Reply: m.reply, Header: m.header, Data: m.data, hub: l.hub, link: l}
	return m.route.entry.deliver(&l.scratch)
}

// release delivers what was held back, in order, and holds no more.
func (l *link) release() {
	g := &l.gate
	g.mu.Lock()
	for i := range g.held {
		if g.counts(&g.held[i]) {
			l.deliver(&g.held[i])
		}
	}
	g.held, g.holds = nil, false
	g.mu.Unlock()
	l.hub.batchEnd()
}

// conclude delivers what was held back, except for the entries that another link serves, and
// then shuts.
func (l *link) conclude(served map[*entry]bool) {
	g := &l.gate
	g.mu.Lock()
	for i := range g.held {
		if !served[g.held[i].route.entry] {
			l.deliver(&g.held[i])
		}
	}
	g.held, g.shut = nil, true
	g.mu.Unlock()
	l.hub.batchEnd()
	l.shut()
}

// shut lets nothing through any more and closes the connection.
func (l *link) shut() {
	l.gate.mu.Lock()
	l.gate.shut, l.gate.held = true, nil
	l.gate.mu.Unlock()
	l.wire.close()
}

// whileAlive is a context for what has to be waited for as long as l lives, which its pings
// find out.
func (h *Hub) whileAlive(l *link) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(h.ctx, h.cfg.PingInterval*time.Duration(h.cfg.MaxPingOut+1))
	h.spawn(func() {
		select {
		case <-l.wire.done():
			cancel()
		case <-ctx.Done():
		}
	})
	return ctx, cancel
}

// isLeaving says whether the server has said that it is about to stop.
func (l *link) isLeaving() bool {
	select {
	case <-l.leave:
		return true
	default:
		return false
	}
}

func (l *link) leaving() { l.left.Do(func() { close(l.leave) }) }

// trouble takes what the server complains of. What a move asked for is the move's affair; the
// server says no more than "maximum subscriptions exceeded" of which one was too many.
func (l *link) trouble(err error) {
	ours := strings.Contains(err.Error(), l.hub.registry.prefix)
	if ours || strings.Contains(err.Error(), "maximum subscriptions exceeded") {
		l.refused.Store(&err)
	}
	if !ours || l.hub.registry.always {
		l.hub.report(err)
	}
}

// refusal is errRefused if the server has refused what a move needs.
func (l *link) refusal() error {
	if why := l.refused.Load(); why != nil {
		return fmt.Errorf("%w: %s: %w", errRefused, l.target, *why)
	}
	return nil
}

// answer takes what came to the link's inbox: a marker, which somebody waits for, or the answer
// to a request.
func (l *link) answer(m *inbound) (calm bool) {
	var arrived chan struct{}
	l.marks.Lock()
	if len(l.mark) > 0 {
		arrived = l.mark[m.subject]
		delete(l.mark, m.subject)
	}
	l.marks.Unlock()
	if arrived != nil {
		close(arrived)
		return false
	}
	if token, ok := strings.CutPrefix(m.subject, l.inbox); ok {
		l.scratch = Message{Subject: m.subject, Reply: m.reply, Header: m.header, Data: m.data, hub: l.hub, link: l}
		l.hub.requests.answer(token, &l.scratch)
	}
	return true
}

// expect returns a channel that is closed when a message on subject arrives.
func (l *link) expect(subject string) <-chan struct{} {
	arrived := make(chan struct{})
	l.marks.Lock()
	l.mark[subject] = arrived
	l.marks.Unlock()
	return arrived
}

func (l *link) forget(subject string) {
	l.marks.Lock()
	delete(l.mark, subject)
	l.marks.Unlock()
}
