package hub

import (
	"errors"
	"time"
)

// A proposal is a server that discovery found.
type proposal struct {
	target target
	reason string
	done   chan error // takes one result: why the hub did not move there, or nil
}

// discover looks for the leaf's manifest, again and again, and proposes the leaf to the
// session. Nothing that fails here disturbs the connection that there is.
func (h *Hub) discover() {
	client := manifestClient(h.cfg.TLS)
	defer client.CloseIdleConnections()
	if h.Connected(h.ctx) != nil && h.ctx.Err() != nil {
		return
	}
	interval := h.cfg.Discovery.CacheTTL
	timer := time.NewTimer(0)
	defer timer.Stop()
	var refused refusal
	for {
		select {
		case <-timer.C:
		case <-h.ctx.Done():
			return
		}
		leaf, err := h.fetchManifest(h.ctx, client)
		switch {
		case h.ctx.Err() != nil:
			return
		case errors.Is(err, errNoLeader):
			refused = refusal{}
		case err != nil:
			h.cfg.Logger.Debug("no leaf", "err", err)
		case refused.holds(leaf, time.Now()):
		default:
			if err := h.propose(target{leaf, viaLeaf}, "leaf found"); err != nil {
				refused = refused.again(leaf, time.Now(), interval)
			} else {
				refused = refusal{}
			}
		}
		if h.cfg.Discovery.NoBackgroundProbe {
			return
		}
		timer.Reset(interval)
	}
}

// propose asks the session to move, and waits for what comes of it.
func (h *Hub) propose(t target, reason string) error {
	p := proposal{t, reason, make(chan error, 1)}
	select {
	case h.proposals <- p:
	case <-h.ctx.Done():
		return ErrDisposed
	}
	select {
	case err := <-p.done:
		return err
	case <-h.ctx.Done():
		return ErrDisposed
	}
}

// A refusal remembers a leaf that the hub could not move to, so that it is not tried at
// every look: each time twice as long as before, up to a minute.
type refusal struct {
	leaf  string
	pause time.Duration
	until time.Time
}

func (r refusal) holds(leaf string, now time.Time) bool {
	return r.leaf == leaf && now.Before(r.until)
}

func (r refusal) again(leaf string, now time.Time, first time.Duration) refusal {
	if r.leaf != leaf {
		r = refusal{leaf: leaf, pause: first}
	} else {
		r.pause = min(2*r.pause, time.Minute)
	}
	r.until = now.Add(r.pause)
	return r
}
