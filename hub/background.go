package hub

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Health is what a hub reports of itself every Config.HealthReport. Counts are since Open.
type Health struct {
	State         State
	Server        string // without credentials
	RTT           time.Duration
	Reconnects    int
	Moves         int
	InMessages    uint64
	OutMessages   uint64
	InBytes       uint64 // of payloads
	OutBytes      uint64
	Subscriptions int
	PendingBytes  int
}

// traffic counts what passes through a hub.
type traffic struct {
	inMessages, inBytes   atomic.Uint64
	outMessages, outBytes atomic.Uint64
}

// roundTrip measures how far l's server is, and remembers it.
func (h *Hub) roundTrip(l *link) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(h.ctx, h.cfg.Timeout)
	defer cancel()
	rtt, err := roundTrip(ctx, l.wire)
	if err == nil {
		h.count(func(st *Status) { st.RTT = rtt })
	}
	return rtt, err
}

// refreshDistance measures l in the background, if that was not done lately.
func (h *Hub) refreshDistance(l *link) {
	last, now := l.measured.Load(), time.Now().UnixNano()
	if now-last > int64(h.cfg.HealthReport) && l.measured.CompareAndSwap(last, now) {
		h.spawn(func() { _, _ = h.roundTrip(l) }) // without an answer the old figure stays
	}
}

// findNearer measures the other servers, side by side, and proposes the nearest if it is
// nearer than the current one by ReprobeGain.
func (h *Hub) findNearer(current *link, others []target) {
	measure := func(t target) (time.Duration, error) {
		l, err := h.connect(h.ctx, t, h.cfg.ReconnectTimeout, true)
		if err != nil {
			return 0, err
		}
		l.shut()
		return l.distance(), nil
	}
	// A fresh connection, like those that it is compared with.
	here, err := measure(current.target)
	if err != nil {
		return
	}
	found := make([]time.Duration, len(others)) // 0: no answer
	var wg sync.WaitGroup
	for i, t := range others {
		wg.Go(func() { found[i], _ = measure(t) }) // the next probe tries again
	}
	wg.Wait() // each ends with the hub
	nearest := -1
	best := here - h.cfg.ReprobeGain
	for i, trip := range found {
		if trip > 0 && trip <= best {
			nearest, best = i, trip
		}
	}
	if nearest >= 0 {
		// A failure has been told by OnMove, and the next probe tries again.
		_ = h.propose(others[nearest], "faster")
	}
}

// findPreferred proposes the first of the servers that answers, in their order.
func (h *Hub) findPreferred(servers []target) {
	l, err := h.race(h.ctx, servers, h.cfg.ReconnectTimeout)
	if err != nil {
		h.cfg.Logger.Debug("still on a later server of the list", "err", err)
		return
	}
	_ = h.proposeLink(l, "earlier in the list") // as in findNearer
}

// OnHealth calls fn every Config.HealthReport, until stop. It measures the round trip first.
func (h *Hub) OnHealth(fn func(Health)) (stop func()) {
	stop = h.onHealth.add(fn)
	h.reporting.Do(func() { h.spawn(h.reportHealth) })
	return stop
}

func (h *Hub) reportHealth() {
	tick := time.NewTicker(h.cfg.HealthReport)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-h.ctx.Done():
			return
		}
		h.mu.Lock()
		l := h.live
		h.mu.Unlock()
		if l != nil {
			h.roundTrip(l)
		}
		health := h.Health()
		h.events.put(func() { h.onHealth.notify(health, h.observerFailed) }, eventsKept)
	}
}

// Health is the report of this moment, with the round trip as it was last measured.
func (h *Hub) Health() Health {
	s := h.Status()
	sent, sentBytes := h.outbox.traffic()
	return Health{
		State: s.State, Server: s.Server, RTT: s.RTT, Reconnects: s.Reconnects, Moves: s.Moves,
		InMessages: h.traffic.inMessages.Load(), InBytes: h.traffic.inBytes.Load(),
		OutMessages: h.traffic.outMessages.Load() + sent, OutBytes: h.traffic.outBytes.Load() + sentBytes,
		Subscriptions: s.Subscriptions, PendingBytes: s.PendingBytes,
	}
}
