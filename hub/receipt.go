package hub

import (
	"context"
	"time"
)

// A receipt is what becomes of a batch of messages.
type receipt struct {
	msgs     []OutMsg
	size     int              // bytes that count against the limit while it waits
	sending  func(*link) bool // prepares a request; false: it is no longer wanted
	failed   func(error)      // tells a request that it was not sent
	deadline time.Time
	done     chan struct{}
	err      error
}

// handedOver is the receipt of all batches that went straight to a link.
var handedOver = func() *receipt {
	r := &receipt{done: make(chan struct{})}
	close(r.done)
	return r
}()

func failedReceipt(err error) *receipt {
	r := &receipt{done: make(chan struct{}), err: err}
	close(r.done)
	return r
}

// Done is closed when the batch is with a link, or will not be sent.
func (r *receipt) Done() <-chan struct{} { return r.done }

// Wait returns when Done is closed, with Err, or when ctx ends; the batch may then still be
// sent.
func (r *receipt) Wait(ctx context.Context) error {
	start := time.Now()
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return ctxError(ctx, ErrDisconnected, start)
	}
}

// Settled says whether Done is closed.
func (r *receipt) Settled() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// Err is nil while the batch waits and when it was handed over.
func (r *receipt) Err() error {
	if r.Settled() {
		return r.err
	}
	return nil
}
