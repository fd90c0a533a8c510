//go:build !js

package hub

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/kinopio-hub/kinopio-hub/transport"
)

// natsEngine speaks the NATS protocol through nats.go: one nats.Conn a wire, one server a
// conn, nats.go's own reconnect off, since the hub alone decides where to be.
//
// nats.go would run one goroutine a subscription, which loses the order between them. Here
// all subscriptions of a wire share one channel, which is emptied whenever nats.go's reader
// comes back for more bytes: messages keep the order of the stream, cost no switch of
// goroutines, and a receiver that is busy slows the server down instead of losing messages.
type natsEngine struct {
	cfg     *Config
	dialers map[string]transport.Dialer
}

// chanSize bounds what one read can bring: nats.go parses at most 32 KiB between two reads
// of the socket (TLS may hold back as much again), and no message is shorter than 13 bytes.
const chanSize = 8192

func newNatsEngine(cfg *Config) *natsEngine {
	return &natsEngine{cfg: cfg, dialers: dialersOf(cfg)}
}

type natsWire struct {
	conn     *nats.Conn
	receiver receiver
	messages chan *nats.Msg
	ended    chan struct{}
	err      error // of the end; read after ended is closed

	draining sync.Mutex // held while messages are taken off the channel and received
	batch    []inbound

	stream *dialOnce
	routes sync.Map // *nats.Subscription → *leg

	mu      sync.Mutex           // held while a subscription is made
	retired []*nats.Subscription // still in routes until nats.go has forgotten them
}

func (e *natsEngine) dial(ctx context.Context, server string, r receiver) (wire, error) {
	fail := func(err error) (wire, error) {
		if ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
			err = fmt.Errorf("%w (%w)", err, context.Cause(ctx))
		}
		return nil, fmt.Errorf("%w to %s: %w", ErrConnect, transport.Redact(server), err)
	}
	u, err := url.Parse(server)
	if err != nil {
		return fail(transport.ErrURL)
	}
	dialer := e.dialers[u.Scheme]
	if dialer == nil {
		return fail(fmt.Errorf("%w: nothing here dials the scheme %q", transport.ErrURL, u.Scheme))
	}
	websocket := u.Scheme == "ws" || u.Scheme == "wss"
	w := &natsWire{
		receiver: r,
		messages: make(chan *nats.Msg, chanSize),
		ended:    make(chan struct{}),
	}
	stream := &dialOnce{ctx: ctx, dialer: dialer, url: server, secure: websocket, wire: w}

	opts := nats.GetDefaultOptions()
	bare := url.URL{Scheme: "nats", User: u.User, Host: u.Host}
	if u.Scheme == "tls" {
		bare.Scheme = "tls"
	}
	opts.Servers = []string{bare.String()}
	opts.Name = e.cfg.Name
	opts.AllowReconnect = false
	opts.NoEcho = e.cfg.NoEcho
	opts.PingInterval = e.cfg.PingInterval
	opts.MaxPingsOut = e.cfg.MaxPingOut
	opts.Timeout = e.cfg.ReconnectTimeout
	opts.FlusherTimeout = opts.PingInterval * time.Duration(e.cfg.MaxPingOut+1)
	opts.CustomDialer = stream
	opts.SkipHostLookup = true
	opts.SkipSubjectValidation = true // checkName is stricter
	opts.IgnoreDiscoveredServers = true
	opts.WriteBufferSize = writeBuffer
	if !websocket && e.cfg.TLS != nil {
		opts.TLSConfig = e.cfg.TLS
	}
	opts.LameDuckModeHandler = func(*nats.Conn) { r.leaving() }
	opts.AsyncErrorCB = func(_ *nats.Conn, sub *nats.Subscription, err error) {
		if _, ended := errors.AsType[*transport.Error](err); !ended && !errors.Is(err, net.ErrClosed) { // done tells of that
			r.trouble(natsTrouble(sub, err))
		}
	}
	opts.ClosedCB = func(c *nats.Conn) {
		w.err = c.LastError()
		if w.err == nil {
			w.err = transport.ErrUnclean
		}
		close(w.ended)
	}

	auth := e.cfg.Auth
	if e.cfg.Authenticator != nil {
		if auth, err = e.cfg.Authenticator(ctx, transport.Redact(server)); err == nil {
			err = auth.check()
		}
	}
	if err == nil {
		err = auth.apply(&opts)
	}
	if err != nil {
		return fail(fmt.Errorf("credentials: %w", err))
	}

	stop := context.AfterFunc(ctx, stream.abort)
	conn, err := opts.Connect()
	if !stop() && err == nil {
		conn.Close()
		err = ctx.Err()
	}
	if err != nil {
		stream.abort()
		if stream.err != nil {
			err = stream.err // nats.go may have replaced it by a less telling one
		}
		return fail(err)
	}
	w.conn, w.stream = conn, stream
	return w, nil
}

// natsTrouble gives an asynchronous error of nats.go the hub's own kind.
func natsTrouble(sub *nats.Subscription, err error) error {
	if errors.Is(err, nats.ErrPermissionViolation) {
		return fmt.Errorf("%w: %w", ErrPermission, err)
	}
	if sub != nil {
		return fmt.Errorf("subscription %s: %w", sub.Subject, err)
	}
	return err
}

// dialOnce is nats.go's dialer for one wire: it has the context that nats.go's own lacks.
type dialOnce struct {
	ctx    context.Context
	dialer transport.Dialer
	url    string
	secure bool // the transport does TLS itself, or there is none
	wire   *natsWire
	err    error // of Dial; read after Connect has returned

	mu     sync.Mutex
	conn   net.Conn
	stream *drainedConn
	over   bool
}

// SkipTLSHandshake tells nats.go not to add TLS of its own.
func (d *dialOnce) SkipTLSHandshake() bool { return d.secure }

func (d *dialOnce) Dial(string, string) (net.Conn, error) {
	conn, err := d.dialer.Dial(d.ctx, d.url)
	if err != nil {
		d.err = err
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.over {
		conn.Close()
		return nil, context.Cause(d.ctx)
	}
	d.conn = conn
	d.stream = &drainedConn{Conn: conn, wire: d.wire}
	return d.stream, nil
}

// abort closes what was dialled, now or as soon as it opens.
func (d *dialOnce) abort() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.over = true
	if d.conn != nil {
		d.conn.Close()
	}
}

// hurry bounds the writing that is under way.
func (d *dialOnce) hurry(bound time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.conn != nil {
		d.conn.SetWriteDeadline(time.Now().Add(bound))
	}
}

// drainedConn empties the wire's channel before each read of the socket. It also measures
// the server's distance on the way: the first thing that a client says, CONNECT and PING, is
// the first that the server answers.
type drainedConn struct {
	net.Conn
	wire     *natsWire
	said     atomic.Int64 // when, in ns since 1970
	distance atomic.Int64 // ns
}

func (c *drainedConn) Read(p []byte) (int, error) {
	c.wire.drain()
	n, err := c.Conn.Read(p)
	if c.distance.Load() == 0 {
		if said := c.said.Load(); said != 0 {
			c.distance.Store(max(1, time.Now().UnixNano()-said))
		}
	}
	return n, err
}

func (c *drainedConn) Write(p []byte) (int, error) {
	if c.said.Load() == 0 {
		c.said.Store(time.Now().UnixNano())
	}
	return c.Conn.Write(p)
}

// drain hands on everything that nats.go has parsed so far.
func (w *natsWire) drain() {
	if len(w.messages) == 0 && w.draining.TryLock() {
		w.draining.Unlock() // nobody else is in the middle of handing on, either
		return
	}
	w.draining.Lock()
	defer w.draining.Unlock()
	var last *nats.Subscription
	var route *leg
	var known bool
	for {
		select {
		case m := <-w.messages:
			if m.Sub != last {
				last = m.Sub
				route, known = w.route(last)
			}
			if !known {
				continue
			}
			w.batch = append(w.batch, inbound{route: route, subject: m.Subject, reply: m.Reply, header: Header(m.Header), data: m.Data})
			continue
		default:
		}
		break
	}
	if len(w.batch) > 0 {
		w.receiver.receive(w.batch)
		clear(w.batch)
		w.batch = w.batch[:0]
	}
}

// route finds what sub was made for. The first message may be here before subscribe has
// written it down; false means that nobody wants the message any more.
func (w *natsWire) route(sub *nats.Subscription) (*leg, bool) {
	route, ok := w.routes.Load(sub)
	if !ok {
		w.mu.Lock()
		route, ok = w.routes.Load(sub)
		w.mu.Unlock()
	}
	if !ok {
		return nil, false
	}
	return route.(*leg), true
}

func (w *natsWire) publish(m OutMsg) error {
	var err error
	if len(m.Header) > 0 {
		err = w.conn.PublishMsg(&nats.Msg{Subject: m.Subject, Reply: m.Reply, Header: nats.Header(m.Header), Data: m.Data})
	} else if m.Reply != "" {
		err = w.conn.PublishRequest(m.Subject, m.Reply, m.Data)
	} else {
		err = w.conn.Publish(m.Subject, m.Data)
	}
	return w.explain(err)
}

func (w *natsWire) subscribe(subject, queue string, route *leg) (wireSub, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	sub, err := w.conn.ChanQueueSubscribe(subject, queue, w.messages)
	if err != nil {
		return nil, w.explain(err)
	}
	w.routes.Store(sub, route)
	return sub, nil
}

// retire relies on nats.go's Drain: for a subscription with a channel it sends UNSUB, waits
// for the server's answer to a PING, and forgets the subscription then.
func (w *natsWire) retire(s wireSub) error {
	sub := s.(*nats.Subscription)
	w.mu.Lock()
	w.retired = append(w.retired, sub)
	w.mu.Unlock()
	return w.explain(sub.Drain())
}

func (w *natsWire) flush(ctx context.Context) error {
	if _, ok := ctx.Deadline(); !ok { // nats.go insists on one; the end of the connection ends it, too
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Hour)
		defer cancel()
	}
	if err := w.conn.FlushWithContext(ctx); err != nil {
		return w.explain(err)
	}
	gone := w.takeGone()
	w.drain()
	for _, sub := range gone {
		w.routes.Delete(sub)
	}
	return nil
}

// takeGone returns the retired subscriptions that nats.go has forgotten. Their last messages
// may still be in the channel: their routes are needed until it has been emptied once more.
func (w *natsWire) takeGone() (gone []*nats.Subscription) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.retired = slices.DeleteFunc(w.retired, func(sub *nats.Subscription) bool {
		if sub.IsValid() {
			return false
		}
		gone = append(gone, sub)
		return true
	})
	return gone
}

func (w *natsWire) distance() time.Duration { return time.Duration(w.stream.stream.distance.Load()) }

func (w *natsWire) maxPayload() int { return int(w.conn.MaxPayload()) }

// close gives what nats.go still has to write a moment: without that bound, a peer that has
// stopped reading would make Close wait for nats.go's lock.
//
// A server that is still taking UNSUBs when it sees the connection end takes those
// subscriptions off twice (clearAccountSubs beside processUnsub, nats-server 2.15), and other
// servers then believe that nobody listens, although another client does. So it must have
// answered them before.
func (w *natsWire) close() {
	w.stream.hurry(closing)
	if w.unsubscribing() {
		_ = w.conn.FlushTimeout(closing) // whatever comes of it, the connection ends
	}
	w.conn.Close()
}

// unsubscribing says whether the server has not answered to all that was retired.
func (w *natsWire) unsubscribing() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.ContainsFunc(w.retired, (*nats.Subscription).IsValid)
}

func (w *natsWire) done() <-chan struct{} { return w.ended }
func (w *natsWire) cause() error          { return w.err }

// explain gives nats.go's errors the hub's sentinels.
func (w *natsWire) explain(err error) error {
	switch {
	case err == nil:
		return nil
	case slices.Contains([]error{nats.ErrConnectionClosed, nats.ErrConnectionDraining, nats.ErrBadSubscription, nats.ErrConnectionReconnecting}, err):
		return fmt.Errorf("%w: %w", ErrDisconnected, err)
	case errors.Is(err, nats.ErrMaxPayload):
		return fmt.Errorf("%w: %w", ErrMessageTooLarge, err)
	case errors.Is(err, nats.ErrBadSubject):
		return fmt.Errorf("%w: %w", ErrInvalidName, err)
	case errors.Is(err, nats.ErrTimeout), errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: %w", ErrTimeout, err)
	}
	if w.conn.IsClosed() {
		return fmt.Errorf("%w: %w", ErrDisconnected, err)
	}
	return err
}
