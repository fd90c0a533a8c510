package leaf

import (
	"errors"
	"fmt"
	"time"
)

const (
	lookSettled = time.Second            // Connections, round trips, certificates.
	lookWaiting = 100 * time.Millisecond // The server does not say when a bridge has come up.
)

// watch is the goroutine that observes the leaf, mends it and reports changes.
func (l *Leaf) watch(last Status) {
	defer close(l.watched)
	timer := time.NewTimer(0)
	defer timer.Stop()
	mend := mender{leaf: l, last: &last}
	place := placeWatch{next: time.Now().Add(l.settings().lookup.every)}
	for {
		select {
		case <-l.quit:
			l.report(&last)
			return
		case <-l.wake:
		case <-timer.C:
		case <-l.discoveryDone():
		case most := <-l.payload:
			l.lowerPayload(most)
		}
		pause := lookSettled
		if l.ctx.Err() == nil {
			if to, move := place.look(time.Now(), l.settings()); move {
				l.move(to, &last)
			}
			if err := l.cert.keep(l.settings()); err != nil {
				l.log.note(err)
			}
			pause = min(pause, mend.look(time.Now()))
			l.keepWebTransport(time.Now())
		}
		l.observe()
		l.keepHerald().look()
		l.report(&last)
		if last.BridgeState != BridgeConnected && len(last.BackboneServers) > 0 && last.Phase == PhaseRunning {
			pause = min(pause, lookWaiting)
		}
		timer.Reset(min(pause, l.settings().lookup.every))
	}
}

// discoveryDone is closed when the manifest's listener has ended; nil while there is none.
func (l *Leaf) discoveryDone() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.disc == nil || l.phase != PhaseRunning {
		return nil // Its end is known, or meant.
	}
	return l.disc.done
}

// failure says what of the leaf has died, or nil.
func (l *Leaf) failure() error {
	l.mu.Lock()
	srv, disc := l.srv, l.disc
	l.mu.Unlock()
	var server, manifest error
	switch err := l.log.failure(); {
	case err != nil:
		server = fmt.Errorf("nats-server: %w", err)
	case srv == nil:
		server = errors.New("nats-server is down")
	case !srv.Running():
		server = errors.New("nats-server has ended")
	case ended(srv.front.closed()):
		server = errors.New("websocket listener has ended")
	case ended(srv.monitor.done):
		server = fmt.Errorf("monitor: %w", errors.Join(errors.New("has ended"), srv.monitor.err))
	}
	if disc == nil {
		manifest = errors.New("discovery listener is down")
	} else {
		select {
		case <-disc.done:
			manifest = fmt.Errorf("discovery listener: %w", errors.Join(errors.New("has ended"), disc.err))
		default:
		}
	}
	return errors.Join(server, manifest)
}

// observe asks the server what it does not tell.
func (l *Leaf) observe() {
	links, clients := 0, 0
	var rtt *float64
	if srv := l.server(); srv != nil {
		links, clients = srv.NumLeafNodes(), srv.NumClients()
		if clients > 0 && l.herald().alive() {
			clients--
		}
		if k := l.keeping(); clients > 0 && k != nil && k.Connected {
			clients--
		}
		if links > 0 {
			rtt = bridgeRTT(srv)
		}
	}
	l.log.mu.Lock()
	wasUp := l.log.bridge.up
	l.log.bridge.links(links)
	l.log.mu.Unlock()
	if links > 0 && !wasUp {
		l.probePayload()
	}
	if links > 0 && (!wasUp || time.Since(l.asked) > publicEvery) {
		l.asked = time.Now()
		l.probePublic()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rtt, l.connections = rtt, clients
}

func (l *Leaf) herald() *herald {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.her
}

// keepHerald connects the herald again if the server has cut it, as it does with clients that are too slow.
func (l *Leaf) keepHerald() *herald {
	h := l.herald()
	if h.alive() {
		return h
	}
	l.life.Lock()
	defer l.life.Unlock()
	if l.ctx.Err() != nil || l.srv == nil || !l.srv.Running() || l.her != h {
		return l.herald()
	}
	h.gone()
	next, err := l.startHerald(l.set, l.srv)
	if err != nil {
		l.set.Logger.Debug("the leaf is not asked over its bridge", "error", err)
		return h // The next look tries again.
	}
	l.mu.Lock()
	l.her = next
	l.mu.Unlock()
	return next
}

// LeadershipChanged lets the leaf ask Config.Leadership at once; it does so each second by itself. It never blocks.
func (l *Leaf) LeadershipChanged() { l.nudge() }

func (l *Leaf) report(last *Status) {
	now := l.Status()
	if sameStatus(now, *last) {
		return
	}
	*last = now
	if onChange := l.settings().OnChange; onChange != nil {
		onChange(now)
	}
}
