package election

import (
	"net/netip"
	"net/url"
	"strings"
	"time"
)

// step tells the machine what has happened, and before that if the place of this agent's leaf has changed.
func (a *Agent) step(e Event) {
	if a.slept() {
		a.happened(Event{Kind: Woke})
	}
	if now := time.Now(); e.Kind == LeafStarted || now.Sub(a.placedAt) > time.Second {
		a.placedAt = now
		if place := a.whereLeaf(); place != a.place && place != PlaceUnknown {
			a.place = place
			a.happened(Event{Kind: Placed, Place: place})
		}
	}
	a.happened(e)
}

// slept tells whether the wall clock has gone far ahead of the other one since the last time, which it does while a machine sleeps.
func (a *Agent) slept() bool {
	now := time.Now()
	since := a.stepped
	a.stepped = now
	return !since.IsZero() && now.Round(0).Sub(since.Round(0))-now.Sub(since) > wokenAfter
}

// whereLeaf is from where this agent's leaf can be reached, or could be if it was started.
func (a *Agent) whereLeaf() Place {
	if a.leaf != nil && a.leaf.leaf != nil {
		return a.leaf.leaf.Manifest().place()
	}
	if p, ok := a.config.Starter.(Placer); ok {
		return p.Place()
	}
	return PlaceUnknown
}

// place is from where the leaf of m can be reached.
func (m *Manifest) place() Place {
	if m == nil {
		return PlaceUnknown
	}
	u, err := url.Parse(m.DiscoveryURL)
	if err != nil || u.Hostname() == "" {
		return PlaceUnknown
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil && ip.IsLoopback() || strings.EqualFold(u.Hostname(), "localhost") {
		return OnMachine
	}
	return OnLAN
}
