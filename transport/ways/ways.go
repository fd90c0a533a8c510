// Package ways dials a server by whichever of its ways opens first: WebTransport, if a manifest has named it, or a WebSocket.
// npm/src/ways.ts is the same for JavaScript; both are tested by testdata/ways.json.
package ways

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/transport"
)

const (
	// hedge is how long WebTransport may take before the WebSocket is tried beside it. In a LAN it takes 5 to 30 ms.
	hedge = 100 * time.Millisecond
	// giveUp is how long whoever dials waits for it at all. Nothing answers where a firewall drops UDP, Firefox waits for its
	// user, and Chromium for the end of a time of its own.
	giveUp = 900 * time.Millisecond
)

// Sessions opens sessions by WebTransport.
type Sessions interface {
	// Available says whether there is WebTransport here.
	Available() bool
	// Open opens a session to an https URL whose certificate has one of the hashes, SHA-256 in base64. What it returns keeps
	// the contract of [transport.Dialer.Dial].
	Open(ctx context.Context, url string, certificateHashes []string) (net.Conn, error)
}

// A Dialer dials by a WebSocket and, where a [transport.Reach] names ways for it, by WebTransport beside it: that comes
// first, and makes a WebSocket at most a tenth of a second later than it would be. All dialing of a page belongs to one
// Dialer, as the browser counts the page's failures.
type Dialer struct {
	webSocket transport.Dialer
	sessions  Sessions

	mu       sync.Mutex
	failures failures
	turn     int                 // which of a server's addresses is tried
	late     map[string]*attempt // those that nobody waits for, by the key of their way
}

var _ transport.Dialer = (*Dialer)(nil)

// New returns a Dialer that makes WebSockets and sessions by the two.
func New(webSocket transport.Dialer, sessions Sessions) *Dialer {
	return &Dialer{webSocket: webSocket, sessions: sessions, late: map[string]*attempt{}}
}

// Schemes returns those of the WebSocket.
func (d *Dialer) Schemes() []string { return d.webSocket.Schemes() }

// Dial keeps the contract of [transport.Dialer]. The connection is [transport.Described] if there was a choice.
func (d *Dialer) Dial(ctx context.Context, rawURL string) (net.Conn, error) {
	reach := transport.ReachOf(ctx)
	if reach == nil || ctx.Err() != nil || !d.sessions.Available() {
		return d.webSocket.Dial(ctx, rawURL)
	}
	a := d.attemptOf(usable(reach.WebTransport, rawURL))
	if a == nil {
		return d.webSocket.Dial(ctx, rawURL)
	}
	r := &race{d: d, url: rawURL, session: a}
	return r.run(ctx)
}

// attemptOf is the attempt to wait for: one that nobody waits for any more and that has opened since, a new one, or one that
// still goes on. nil: there is none to make now.
func (d *Dialer) attemptOf(ways []way) *attempt {
	d.mu.Lock()
	defer d.mu.Unlock()
	var going *attempt
	for i := range ways {
		w := ways[(d.turn+i)%len(ways)]
		a := d.late[w.key()]
		switch {
		case a == nil:
		case a.opened():
			return d.take(a)
		case going == nil:
			going = a
		}
	}
	if len(d.late) < mostLate && d.failures.pause(time.Now()) == 0 {
		for i := range ways {
			w := ways[(d.turn+i)%len(ways)]
			if d.late[w.key()] == nil {
				return d.begin(w)
			}
		}
	}
	if going != nil {
		return d.take(going)
	}
	return nil
}

// race is one Dial with a choice.
type race struct {
	d         *Dialer
	url       string
	session   *attempt
	why       string // WebTransport is not waited for, or has failed; "": neither
	webSocket chan outcome
	whySocket error
	cancel    context.CancelFunc // of the WebSocket, when it is tried
}

type outcome struct {
	conn net.Conn
	err  error
}

func (r *race) run(ctx context.Context) (net.Conn, error) {
	defer r.callOffWebSocket()
	beside, enough := time.NewTimer(r.session.hedge(time.Now())), time.NewTimer(giveUp)
	defer beside.Stop()
	defer enough.Stop()
	done := r.session.done
	for {
		select {
		case <-done:
			done = nil
			if r.session.err == nil {
				return described{r.session.conn, "by WebTransport"}, nil
			}
			r.why = r.session.err.Error()
			r.d.failed()
			r.tryWebSocket(ctx)
		case <-beside.C:
			r.tryWebSocket(ctx)
		case <-enough.C:
			if r.why == "" {
				r.why = fmt.Sprintf("no answer within %d ms: does a firewall drop UDP to that port?", giveUp.Milliseconds())
			}
		case o := <-r.webSocket:
			r.webSocket = nil
			if r.whySocket = o.err; o.err == nil {
				if done != nil {
					r.d.keepLate(r.session, r.url, transport.LateOf(ctx))
				}
				why := cmp.Or(r.why, fmt.Sprintf("no answer within %d ms", hedge.Milliseconds()))
				return described{o.conn, fmt.Sprintf("by WebSocket, as WebTransport to %s failed: %s", r.session.way.URL, why)}, nil
			}
		case <-ctx.Done():
			if done != nil {
				r.d.callOff(r.session)
			}
			return nil, &transport.Error{Op: "dial", URL: transport.Redact(r.url), Err: ctx.Err()}
		}
		if r.why != "" && r.whySocket != nil {
			if done != nil {
				r.d.keepLate(r.session, r.url, transport.LateOf(ctx))
			}
			return nil, &transport.Error{Op: "dial", URL: transport.Redact(r.url), Err: fmt.Errorf("%w: by WebTransport to %s: %s; by WebSocket: %w", transport.ErrUnreachable, r.session.way.URL, r.why, r.whySocket)}
		}
	}
}

func (r *race) tryWebSocket(ctx context.Context) {
	if r.cancel != nil {
		return
	}
	ctx, r.cancel = context.WithCancel(ctx)
	r.webSocket = make(chan outcome, 1)
	go func() {
		conn, err := r.d.webSocket.Dial(ctx, r.url)
		r.webSocket <- outcome{conn, err}
	}()
}

// callOffWebSocket closes the WebSocket that nobody wants.
func (r *race) callOffWebSocket() {
	if r.cancel == nil {
		return
	}
	r.cancel()
	if pending := r.webSocket; pending != nil {
		go func() {
			if o := <-pending; o.conn != nil {
				_ = o.conn.Close()
			}
		}()
	}
}

// described is a connection with how it came about.
type described struct {
	net.Conn
	way string
}

func (d described) Description() string { return d.way }
