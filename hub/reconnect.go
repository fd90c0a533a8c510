package hub

import (
	"context"
	"errors"
	"time"
)

// reconnectRequest is a call of Reconnect.
type reconnectRequest struct {
	ctx  context.Context
	done chan error // takes one result without anyone waiting for it
}

var errReconnecting = errors.New("the hub goes on connecting")

// Reconnect makes a fresh connection, to a server chosen as for the first one, and returns
// when the hub is on it. Names, and while the old connection works messages, are kept.
func (h *Hub) Reconnect(ctx context.Context) error {
	r, start := reconnectRequest{ctx, make(chan error, 1)}, time.Now()
	select {
	case h.reconnects <- r:
	case <-h.ctx.Done():
		return ErrDisposed
	case <-ctx.Done():
		return ctxError(ctx, errReconnecting, start)
	}
	select {
	case err := <-r.done:
		return err
	case <-h.ctx.Done():
		return ErrDisposed
	case <-ctx.Done():
		return ctxError(ctx, errReconnecting, start)
	}
}
