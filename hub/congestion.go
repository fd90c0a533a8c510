package hub

import (
	"context"
	"errors"
	"time"
)

var errCongested = errors.New("the connection is congested")

// enter locks o.mu when what is sent next can leave at once, or has to wait for a link anyway. While
// the link is congested it waits, without any lock, for at most limit (0: no limit), and fails when
// ctx ends. Who came first is first.
func (o *outbox) enter(ctx context.Context, limit time.Duration) error {
	if ctx.Err() != nil {
		return ctxError(ctx, errNotSent, time.Now())
	}
	o.mu.Lock()
	if o.crowd == 0 && (o.link == nil || !o.link.congested()) {
		return nil
	}
	o.crowd++
	o.mu.Unlock()
	if err := o.queue(ctx, limit); err != nil {
		o.mu.Lock()
		o.crowd--
		o.mu.Unlock()
		return err
	}
	o.crowd--
	return nil
}

// queue is enter for who has to wait.
func (o *outbox) queue(ctx context.Context, limit time.Duration) error {
	start := time.Now()
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	select {
	case o.turn <- struct{}{}:
		defer func() { <-o.turn }()
	case <-o.hub.ctx.Done():
	case <-ctx.Done():
		return ctxError(ctx, errCongested, start)
	}
	for {
		o.mu.Lock()
		l := o.link
		if o.closed || l == nil || !l.congested() {
			return nil
		}
		o.mu.Unlock()
		if ctx.Err() != nil {
			return ctxError(ctx, errCongested, start)
		}
		l.flow.AwaitRoom(ctx)
	}
}

// isOpen says that there is a link: what has not been sent yet waits for room on it.
func (o *outbox) isOpen() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.link != nil
}

var errNotSent = errors.New("not sent")

// publish hands one message to l, past the outbox. It waits while l is congested.
func (h *Hub) publish(l *link, m OutMsg) error {
	if l.congested() {
		l.flow.AwaitRoom(h.ctx)
	}
	err := l.wire.Publish(m.wire())
	if err == nil {
		h.traffic.outMessages.Add(1)
		h.traffic.outBytes.Add(uint64(len(m.Data)))
	}
	return err
}
