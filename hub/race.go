package hub

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// finisher is how one attempt in a race ended.
type finisher struct {
	link *link
	err  error
}

// race connects to one of the targets, each attempt within timeout, and returns the link to
// keep; the others are closed. In latency mode all start together and the nearest of those
// that answer in time wins; otherwise each starts when the one before it has failed or has
// not answered for a while, and the first to answer wins. It returns when every attempt that
// it leaves behind has been called off.
func (h *Hub) race(ctx context.Context, targets []target, timeout time.Duration) (*link, error) {
	if len(targets) == 0 {
		return nil, fmt.Errorf("%w: no server to connect to", ErrConnect)
	}
	ctx, cancel := context.WithCancel(ctx)
	nearest := h.cfg.Selection == Latency && len(targets) > 1
	finish := make(chan finisher)
	start := time.Now()
	running, started := 0, 0
	run := func() {
		t := targets[started]
		started++
		running++
		h.wg.Go(func() { finish <- h.attempt(ctx, t, timeout) })
	}
	var best finisher
	var failures []error
	defer func() {
		cancel()
		left := running
		h.wg.Go(func() { // the losers end soon: their context has
			for range left {
				if f := <-finish; f.link != nil {
					f.link.shut()
				}
			}
		})
	}()
	next := time.NewTimer(stagger)
	defer next.Stop()
	var enough <-chan time.Time
	run()
	for nearest && started < len(targets) {
		run()
	}
	for {
		select {
		case f := <-finish:
			running--
			switch {
			case f.err != nil:
				failures = append(failures, f.err)
			case !nearest:
				return f.link, nil
			case best.link == nil:
				best = f
				timer := time.NewTimer(patience(time.Since(start)))
				defer timer.Stop()
				enough = timer.C
			case f.link.wire.distance() < best.link.wire.distance():
				best.link.shut()
				best = f
			default:
				f.link.shut()
			}
			if f.err != nil && started < len(targets) {
				run()
				next.Reset(stagger)
			}
			if running == 0 && best.link != nil {
				return best.link, nil
			}
			if running == 0 {
				return nil, errors.Join(failures...)
			}
		case <-next.C:
			if started < len(targets) {
				run()
				next.Reset(stagger)
			}
		case <-enough:
			return best.link, nil
		}
	}
}

// attempt connects to t within timeout.
func (h *Hub) attempt(ctx context.Context, t target, timeout time.Duration) finisher {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	l, err := h.openLink(ctx, t)
	return finisher{l, err}
}
