package hub

import (
	"context"
	"errors"
	"time"
)

// DiscoveryState is one word for how the search for the leaf on the LAN goes.
type DiscoveryState string

const (
	// DiscoveryIdle: not looking; turned off, or not yet connected.
	DiscoveryIdle DiscoveryState = "idle"
	// DiscoveryPermissionNeeded: the browser would ask its user, who has not clicked yet.
	DiscoveryPermissionNeeded DiscoveryState = "permission-needed"
	// DiscoveryPermissionDenied: the browser refuses the local network to this page.
	DiscoveryPermissionDenied DiscoveryState = "permission-denied"
	// DiscoveryProbing: looking, and nothing is known yet.
	DiscoveryProbing DiscoveryState = "probing"
	// DiscoveryNoLeader: the place of the manifest answers, and names no usable leaf.
	DiscoveryNoLeader DiscoveryState = "no-leader"
	// DiscoveryUnreachable: the manifest or the leaf could not be reached. A browser does not
	// say whether nothing answers or the certificate is not trusted.
	DiscoveryUnreachable DiscoveryState = "untrusted-or-unreachable"
	// DiscoverySwitching: on the way to the leaf.
	DiscoverySwitching DiscoveryState = "switching"
	// DiscoveryLocal: on the leaf.
	DiscoveryLocal DiscoveryState = "local"
	// DiscoveryIsolated: on the leaf, which is not one system with the configured servers.
	DiscoveryIsolated DiscoveryState = "isolated"
)

// DiscoveryStatus says how the search for the leaf goes.
type DiscoveryStatus struct {
	State  DiscoveryState
	Detail string // in words for a developer; "" if there is nothing to add
}

// DiscoveryStatus is how the search for the leaf goes now.
func (h *Hub) DiscoveryStatus() DiscoveryStatus {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.discovery
}

// OnDiscovery calls fn with each new DiscoveryStatus, in order, until stop.
func (h *Hub) OnDiscovery(fn func(DiscoveryStatus)) (stop func()) { return h.onDiscovery.add(fn) }

// setDiscovery changes the status.
func (h *Hub) setDiscovery(state DiscoveryState, detail string) {
	s := DiscoveryStatus{state, detail}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.discovery == s {
		return
	}
	h.discovery = s
	h.cfg.Logger.Debug("discovery", "state", state, "detail", detail)
	h.events.put(func() { h.onDiscovery.notify(s, h.observerFailed) }, changesKept)
}

var errLooking = errors.New("the search for the leaf goes on")

// RequestLocalNetwork looks for the leaf now, and where the browser demands a permission lets
// it ask its user, for up to a minute. Call it when the user has clicked something that says
// so. It returns what came of it; an error only if there was no look: ErrInvalidConfig without
// discovery, ErrDisposed, or what ended ctx.
func (h *Hub) RequestLocalNetwork(ctx context.Context) (DiscoveryStatus, error) {
	if !h.cfg.Discovery.Enabled {
		return h.DiscoveryStatus(), configError("Discovery.Enabled", false, "true, to look for a leaf")
	}
	probed, start := make(chan struct{}), time.Now()
	select {
	case h.discoveryRequests <- probed:
	case <-h.ctx.Done():
		return h.DiscoveryStatus(), ErrDisposed
	case <-ctx.Done():
		return h.DiscoveryStatus(), ctxError(ctx, errLooking, start)
	}
	select {
	case <-probed:
		return h.DiscoveryStatus(), nil
	case <-h.ctx.Done():
		return h.DiscoveryStatus(), ErrDisposed
	case <-ctx.Done():
		return h.DiscoveryStatus(), ctxError(ctx, errLooking, start)
	}
}
