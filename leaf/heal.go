package leaf

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
)

const (
	backoffFirst = 250 * time.Millisecond
	backoffMost  = 30 * time.Second
	// After so long in health, the next failure is again the first.
	backoffForget = time.Minute
)

// backoff is the pause before attempt n to start again; the first is at once.
func backoff(n int) time.Duration {
	switch {
	case n <= 0:
		return 0
	case n > 10:
		return backoffMost
	}
	return min(backoffFirst<<(n-1), backoffMost)
}

// mender starts again what has died. It belongs to the watcher's goroutine.
type mender struct {
	leaf *Leaf
	last *Status

	attempts int
	next     time.Time // When to try; zero: nothing is broken.
	healthy  time.Time // Since when.
}

// look starts again what is broken, if it is time to, and says when to look next.
func (m *mender) look(now time.Time) time.Duration {
	l := m.leaf
	cause := l.failure()
	if cause == nil {
		if m.healthy.IsZero() {
			m.healthy = now
		}
		if now.Sub(m.healthy) > backoffForget {
			m.attempts = 0
		}
		m.next = time.Time{}
		return lookSettled
	}
	m.healthy = time.Time{}
	if m.next.IsZero() {
		m.next = now.Add(backoff(m.attempts))
		l.log.note(fmt.Errorf("starting again: %w", cause))
		l.setPhase(PhaseRestarting)
		l.report(m.last)
	}
	if wait := m.next.Sub(now); wait > 0 {
		return wait
	}
	m.attempts++
	if err := l.restart(false); err != nil {
		l.log.note(err)
		pause := backoff(m.attempts)
		m.next = now.Add(pause)
		return pause
	}
	m.next, m.healthy = time.Time{}, now
	return lookSettled
}

// restart starts what is not running; all of it when everything is asked for. Ports
// stay, unless another program has taken one that nobody had asked for. What could be
// started runs even after an error.
func (l *Leaf) restart(everything bool) error {
	l.life.Lock()
	defer l.life.Unlock()
	if l.ctx.Err() != nil {
		return nil // Stop has begun: nothing shall start any more.
	}
	var failed error
	if disc := l.disc; disc == nil || everything || ended(disc.done) {
		if disc != nil {
			disc.stop()
		}
		set := *l.set
		next, err := startDiscovery(&set, l.cert.config(), l.web)
		if errors.Is(err, ErrPortInUse) && l.fixed.Discovery == 0 {
			set.Ports.Discovery = 0
			next, err = startDiscovery(&set, l.cert.config(), l.web)
		}
		if err == nil {
			set.Ports.Discovery = next.port
		}
		failed = err
		l.mu.Lock()
		l.disc, l.set = next, &set
		l.mu.Unlock()
	}
	if srv := l.srv; srv == nil || everything || l.log.failure() != nil || !srv.Running() || ended(srv.monitor.done) || ended(srv.front.closed()) {
		l.her.gone()
		end(srv)
		l.log.again()
		set := *l.set
		next, ports, err := startServer(&set, l.cert.config(), l.log)
		if errors.Is(err, ErrPortInUse) {
			l.log.again()
			set.Ports = l.fixed.only(set.Ports)
			next, ports, err = startServer(&set, l.cert.config(), l.log)
		}
		var her *herald
		if err == nil {
			set.Ports = ports
			l.openWebTransport(&set, next)
			var deaf error
			if her, deaf = l.startHerald(&set, next); deaf != nil {
				l.log.note(deaf) // The watcher tries again.
			}
		} else {
			set.Ports = l.set.Ports
		}
		failed = errors.Join(failed, err)
		l.mu.Lock()
		l.srv, l.set, l.her = next, &set, her
		l.mu.Unlock()
	}
	if failed == nil {
		l.mu.Lock()
		l.restarts++
		l.mu.Unlock()
		l.setPhase(PhaseRunning)
	}
	return failed
}

func ended(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// only keeps the ports that were asked for, and frees the rest but for Discovery,
// whose listener is not the server's.
func (p Ports) only(ports Ports) Ports {
	p.Discovery = ports.Discovery
	return p
}

// placeWatch says when the LAN address of a leaf has changed. It belongs to the
// watcher's goroutine.
type placeWatch struct {
	next  time.Time
	seen  netip.Addr // By the look before: where to go.
	since time.Time  // That has been so.
}

func (p *placeWatch) look(now time.Time, s *settings) (to netip.Addr, move bool) {
	if now.Before(p.next) || (!s.autoLAN && !(s.autoHost && s.lan.IsUnspecified())) {
		return to, false
	}
	p.next = now.Add(s.lookup.every)
	current := s.lan
	if s.lan.IsUnspecified() {
		current, _ = netip.ParseAddr(s.AdvertisedHostname)
	}
	to, after := s.lookup.next(current, s.lookup.detect(), s.lookup.present())
	if to == current {
		p.seen = netip.Addr{}
		return to, false
	}
	if to != p.seen { // An interface that comes up may still be getting its addresses.
		p.seen, p.since = to, now
		return to, false
	}
	if now.Sub(p.since) < after {
		return to, false
	}
	p.seen = netip.Addr{}
	return to, true
}

// move takes the leaf to another address of this machine: a new certificate, the LAN
// listeners and new URLs. Clients are told to leave first, as at a stop; those on
// loopback come back to the same port.
func (l *Leaf) move(to netip.Addr, last *Status) {
	set := *l.settings()
	from := set.AdvertisedHostname
	bound := !set.lan.IsUnspecified()
	if bound {
		set.lan, set.LANBindAddress = to, to.String()
	}
	if set.autoHost {
		set.AdvertisedHostname = to.String()
	}
	set.Logger.Info("this machine's LAN address has changed", "from", from, "to", to)
	if l.cert.ca != nil {
		if err := l.cert.issue(&set); err != nil {
			l.log.note(fmt.Errorf("move to %s: %w", to, err))
			return
		}
	}
	if !bound { // The listeners are on all addresses.
		l.mu.Lock()
		l.set = &set
		l.mu.Unlock()
		return
	}
	l.setPhase(PhaseRestarting)
	l.report(last)
	l.life.Lock()
	l.sendAway(l.ctx)
	l.mu.Lock()
	l.set = &set
	l.mu.Unlock()
	l.life.Unlock()
	if err := l.restart(true); err != nil {
		l.log.note(fmt.Errorf("move to %s: %w", to, err)) // What is missing now is mended.
	}
}
