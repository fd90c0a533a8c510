package election

import (
	"context"
	"strings"
	"time"
)

// effect carries out what the machine wants done.
func (a *Agent) effect(e Effect) {
	switch e.Kind {
	case Send:
		a.send(e.Record)
	case StartLeaf:
		a.startLeaf(e.Epoch)
	case StopLeaf:
		a.stopLeaf()
	case Verify:
		a.verify(e.Record)
	case Hold:
		a.hold(e.Record)
	case Ended:
		a.ended = true
	}
}

// send a heartbeat by multicast, and while this agent leads by multicast DNS. What
// cannot be sent is sent again in a second, so errors are told and no more.
func (a *Agent) send(r Record) {
	now := time.Now()
	sequence, err := a.id.next()
	if err != nil {
		a.config.Logger.Warn("election", "error", err)
	}
	h := &heartbeat{SentAt: now.UTC().Format(manifestTime), State: r.State, Sequence: sequence, Instance: a.id.instance, Local: r.Local}
	if a.leaf != nil && a.leaf.leaf != nil {
		if m := a.leaf.leaf.Manifest(); m != nil && r.Leads {
			h.Manifest, h.Reach = *m, m.reach().digest()
			h.Manifest.setReach(reach{})
		}
	}
	until := now.Add(Lease)
	h.NodeID, h.DiscoveryNamespace = a.id.node, a.config.DiscoveryNamespace
	h.LeaderEpoch, h.IsLeader, h.CandidateRole, h.BackboneRTTMs = r.Epoch, r.Leads, r.Role, r.RTT.milliseconds()
	h.ExpiresAt = until.UTC().Format(manifestTime)
	if r.Leads {
		h.LeaseExpiresAt = h.ExpiresAt
	}
	data, err := h.encode(a.key)
	if err == nil {
		err = a.bus.Send(data)
	}
	if err != nil {
		a.config.Logger.Debug("heartbeat is not sent", "error", err)
	}
	if a.mdns == nil {
		return
	}
	if !r.Leads {
		if a.announced {
			a.announced = false
			if err := a.mdns.Goodbye(); err != nil {
				a.config.Logger.Debug("multicast DNS goodbye", "error", err)
			}
		}
		return
	}
	l, err := announcement(h, a.key, until)
	if err == nil {
		err = a.mdns.Announce(l)
		a.announced = true
	}
	if err != nil {
		a.config.Logger.Debug("multicast DNS announcement", "error", err)
	}
}

func (a *Agent) startLeaf(epoch int64) {
	ctx, cancel := context.WithCancel(a.ctx)
	r := &running{cancel: cancel, started: make(chan struct{})}
	a.leaf = r
	a.work.Go(func() {
		l, err := a.config.Starter.Start(ctx, Term{NodeID: a.id.node, Epoch: epoch})
		if err != nil {
			close(r.started)
			cancel()
			a.tell(outcome{event: Event{Kind: LeafFailed, Err: strings.TrimPrefix(err.Error(), "start leaf: ")}, of: r})
			return
		}
		r.made = l
		close(r.started)
		a.tell(outcome{event: Event{Kind: LeafStarted}, of: r, leaf: l})
		select {
		case <-l.Done():
			l.Stop(a.ctx)
			problem := "it does not say why"
			if err := l.Err(); err != nil {
				problem = err.Error()
			}
			a.tell(outcome{event: Event{Kind: LeafDied, Err: problem}, of: r})
		case <-ctx.Done():
		}
	})
}

// stopLeaf ends the leaf, or its start. LeafStopped is told when nothing is left.
func (a *Agent) stopLeaf() {
	was := a.leaf
	is := &running{} // What is told of the old one is not heard any more.
	a.leaf = is
	if was == nil {
		was = &running{cancel: func() {}, started: make(chan struct{})}
		close(was.started)
	}
	a.work.Go(func() {
		was.cancel()
		<-was.started
		if was.made != nil {
			was.made.Stop(a.ctx)
		}
		a.tell(outcome{event: Event{Kind: LeafStopped}, of: is})
	})
}

// verify reads the manifest of a leader: where it was read before, else where its record says
// that it is. So nobody who copies its name takes its place while it is there.
func (a *Agent) verify(r Record) {
	h, ok := r.Source.(*heartbeat)
	known, proven := a.confirmed[r.NodeID], ""
	if ok && r.Proven {
		proven = h.Reach
	}
	a.work.Go(func() {
		ctx, cancel := context.WithTimeout(a.ctx, verifyTimeout)
		defer cancel()
		var found *Manifest
		var err error
		var url string
		if ok {
			url = h.DiscoveryURL
			if found, err = a.ver.either(ctx, known, &h.Manifest, proven); err != nil {
				a.config.Logger.Debug("a leader is not confirmed", "node", r.NodeID, "error", err)
			}
		}
		event := Event{Kind: Verified, Node: r.NodeID}
		if found != nil {
			event.OK, event.Epoch, event.RTT, event.Local = true, found.LeaderEpoch, rttOf(found.BackboneRTTMs), found.place() == OnMachine
		}
		a.tell(outcome{event: event, manifest: found, url: url, err: err})
	})
}

// hold keeps a connection to where the leader's leaf was seen.
func (a *Agent) hold(r Record) {
	seen := a.confirmed[r.NodeID]
	key := ""
	if seen != nil && r.NodeID != "" {
		key = r.NodeID + " " + seen.DiscoveryURL
	}
	if key == a.held {
		return
	}
	a.unhold()
	a.held, a.unhold = key, func() {}
	if key == "" {
		return
	}
	ctx, cancel := context.WithCancel(a.ctx)
	a.unhold = cancel
	a.work.Go(func() {
		if hold(ctx, seen) {
			a.tell(outcome{event: Event{Kind: Dead, Node: r.NodeID}})
		}
	})
}
