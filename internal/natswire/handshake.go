package natswire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/plainjson"
	"github.com/kinopio-hub/kinopio-hub/v3/transport"
)

// Options say how a connection begins.
type Options struct {
	Name string // shown by the server's monitoring
	Echo bool   // the client's own messages come back to its subscriptions
	// Secure makes TLS of the connection, if the server, or whoever dialed, wants it.
	Secure func(ctx context.Context, conn net.Conn, info ServerInfo) (net.Conn, error)
	// Identify adds to CONNECT who the client is. nonce is to be signed, if it is not "".
	Identify func(me *plainjson.Writer, nonce string) error
	// Silence is the error of a server that says nothing at all.
	Silence string
	Errors  Errors
}

// Handshake is what comes before anything else: INFO, then CONNECT and PING. The PONG comes when the server has
// accepted who the client is; what is written before is dealt with after that. It closes nothing, and reads as long as
// conn lets it.
func Handshake(ctx context.Context, conn net.Conn, r Receiver, b *Bursts, o *Options) (*Conn, error) {
	w := newConn(conn, r, b, o.Errors)
	return w, w.handshake(ctx, o)
}

func (w *Conn) handshake(ctx context.Context, o *Options) error {
	var op operation
	begun := time.Now()
	if err := w.next(&op); err != nil {
		if ctx.Err() != nil && w.to == 0 {
			err = errors.New(o.Silence)
		}
		return err
	}
	if op.kind == opErr {
		return fmt.Errorf("nats: %s", op.text)
	}
	if op.kind != opInfo {
		return fmt.Errorf("%w: want INFO first", ErrProtocol)
	}
	info, err := w.info(&op)
	if err != nil {
		return err
	}
	if !info.Headers {
		return fmt.Errorf("%w: the server knows no headers: want nats-server 2.2 or later, with headers", ErrProtocol)
	}
	w.measured.Store(int64(max(1, time.Since(begun)))) // until more is known
	transport.Progress(ctx)
	conn, err := o.Secure(ctx, w.conn, info)
	if err != nil {
		return err
	}
	transport.Progress(ctx)
	if conn != w.conn && w.from < w.to {
		return fmt.Errorf("%w: the server says more before TLS", ErrProtocol)
	}
	w.conn = conn
	var me plainjson.Writer
	me.Text("name", o.Name).Text("lang", "kinopio-hub").Text("version", "3").Int("protocol", 1).
		Bool("verbose", false).Bool("pedantic", false).Bool("tls_required", false).
		Bool("echo", o.Echo).Bool("headers", true).Bool("no_responders", true)
	if err := o.Identify(&me, info.Nonce); err != nil {
		return fmt.Errorf("credentials: %w", err)
	}
	if _, err := w.conn.Write([]byte("CONNECT " + me.String() + "\r\nPING\r\n")); err != nil {
		return err
	}
	w.expectPong(w.accept(time.Now()))
	return nil
}

// accept is what the first PONG does.
func (w *Conn) accept(asked time.Time) func() {
	return func() {
		w.measured.Store(int64(max(1, time.Since(asked))))
		close(w.accepted)
	}
}

// Accepted is closed when the server has accepted who the client is.
func (w *Conn) Accepted() <-chan struct{} { return w.accepted }

func (w *Conn) isAccepted() bool {
	select {
	case <-w.accepted:
		return true
	default:
		return false
	}
}
