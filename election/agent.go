package election

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/election/mdns"
)

// AgentStatus is a picture of an agent at one moment; its JSON form is what the CLI prints.
type AgentStatus struct {
	State                State            `json:"state"`
	Role                 Role             `json:"role"`
	Leader               *Manifest        `json:"leader"` // As it was read at the leader's leaf; this agent's own when it leads; nil when none was seen.
	NodeID               string           `json:"nodeId"`
	BackboneRTTMs        *float64         `json:"backboneRttMs"` // Whole milliseconds; nil when not measured.
	LeaderEpoch          int64            `json:"leaderEpoch"`
	LeaderMissingGraceMs int64            `json:"leaderMissingGraceMs"`
	PreemptionStreak     int              `json:"preemptionStreak"`
	LastError            string           `json:"lastError"`
	LocalLeaf            *Manifest        `json:"localLeaf"` // Of this agent's leaf, if there is one.
	MDNSAvailable        bool             `json:"mdnsAvailable"`
	Peers                int              `json:"peers"`    // Agents that are heard.
	Warnings             []string         `json:"warnings"` // What a person should know; at most a few, without a final dot.
	Rejected             map[string]int64 `json:"rejected"` // Packets that were not taken, by reason.
}

// Agent takes part in the election of one namespace. Its methods may be called from any
// goroutine.
type Agent struct {
	config Config
	key    *proofKey
	id     *identity
	bus    bus
	mdns   *mdns.Responder // nil when it is not available.
	ver    *verifier
	began  time.Time

	events chan outcome
	stop   chan struct{}
	once   sync.Once
	done   chan struct{}
	work   sync.WaitGroup // Everything in the background, the loop excepted.
	ctx    context.Context
	cancel context.CancelFunc

	// The loop's own.
	m         *Machine
	leaf      *running
	announced bool
	confirmed map[string]*Manifest // What was read of leaders, by node; of those that are heard.
	refused   []refusedClaim
	warned    []string
	wrong     []string  // What does not work on the LAN, as the bus says,
	asked     time.Time // when it was asked.
	stepped   time.Time // When the machine was told something.
	place     Place     // As the machine knows it,
	placedAt  time.Time // when it was asked for.
	// Without a secret: heartbeats that prove one were heard.
	sealedHeard bool
	unhold      context.CancelFunc
	held        string
	ended       bool

	mu       sync.Mutex
	status   AgentStatus
	rejected map[string]int64
	until    time.Time // The end of this agent's lease.
}

// outcome is an event from the background. Those of a leaf that is no longer this
// agent's are dropped.
type outcome struct {
	event    Event
	of       *running
	leaf     Leaf
	manifest *Manifest // Verified.
	url      string    // Verified: where the manifest was said to be.
	err      error     // Verified: why it is not confirmed.
}

// running is a leaf, or one that is being started.
type running struct {
	cancel  context.CancelFunc
	started chan struct{} // Closed when the start is over.
	made    Leaf          // Then; nil after an error.
	leaf    Leaf          // The loop's: the same, once it has heard of it.
}

// Enable joins the election, and returns at once: OnChange and Status tell how it goes.
// ctx bounds nothing but Enable; [Agent.Stop] leaves. Without multicast DNS (port 5353
// cannot be shared) the agent goes on, and without an interface it waits for one.
//
// Errors: *[ConfigError]; those of the cache directory and the socket. After an error
// nothing is left.
func Enable(ctx context.Context, c Config) (*Agent, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c, key, err := c.normalize()
	if err != nil {
		return nil, fmt.Errorf("enable election: %w", err)
	}
	id, err := openIdentity(c.CacheDir, c.NodeID)
	if err != nil {
		return nil, fmt.Errorf("enable election: %w", err)
	}
	a := &Agent{
		config: c, key: key, id: id, bus: c.bus, ver: newVerifier(c.DiscoveryNamespace), began: time.Now(),
		events: make(chan outcome), stop: make(chan struct{}), done: make(chan struct{}), rejected: map[string]int64{}, confirmed: map[string]*Manifest{},
		m: nil, unhold: func() {},
	}
	if a.bus == nil {
		if a.bus, err = openLAN(c.Logger); err != nil {
			return nil, errors.Join(fmt.Errorf("enable election: %w", err), id.close())
		}
		if a.mdns, err = mdns.Open(mdns.Config{Logger: c.Logger}); err != nil {
			a.mdns = nil
			c.Logger.Warn("the election goes on without multicast DNS", "error", err)
		}
	}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	a.m = NewMachine(Options{NodeID: id.node, Grace: c.LeaderMissingGrace, FastFailover: c.FastFailover, WarmStandby: c.WarmStandby}, 0)
	a.picture()
	a.work.Go(func() {
		probe(a.ctx, c.BackboneServers, a.bridge, a.searching, func(rtt RTT) { a.tell(outcome{event: Event{Kind: Measured, RTT: rtt}}) })
	})
	go a.run()
	return a, nil
}

// Stop leaves: others are told, the leaf ends when its successor leads, at the latest after
// 1.5 s, and when Stop returns nothing is left. When ctx ends first, the leaf is stopped
// with that ctx and Stop still waits.
func (a *Agent) Stop(ctx context.Context) {
	a.once.Do(func() { close(a.stop) })
	select {
	case <-a.done:
	case <-ctx.Done():
		a.cancel()
		<-a.done
	}
}

// Done is closed when the agent has left.
func (a *Agent) Done() <-chan struct{} { return a.done }

// Status returns what is the case at this moment.
func (a *Agent) Status() AgentStatus {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.status
	s.Rejected = maps.Clone(a.rejected)
	return s
}

// Leadership says what this agent's leaf shall say of itself: its epoch, the end of its
// lease, its role, and whether it leads.
func (a *Agent) Leadership() (epoch int64, until time.Time, role Role, leads bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.status.LeaderEpoch, a.until, a.status.Role, a.status.State == Leading
}

// bridge is the round-trip time to the backbone that this agent's own leaf has measured at its bridge.
func (a *Agent) bridge() RTT {
	a.mu.Lock()
	defer a.mu.Unlock()
	m := a.status.LocalLeaf
	if m == nil || m.BridgeState != "connected" {
		return Unmeasured
	}
	return rttOf(m.BackboneRTTMs)
}

// searching: it matters now how near this agent is to the backbone.
func (a *Agent) searching() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.status.State != Leading && a.status.State != Following || a.status.PreemptionStreak > 0
}

// tell hands an event to the loop, unless that has ended.
func (a *Agent) tell(o outcome) {
	select {
	case a.events <- o:
	case <-a.done:
	}
}

// run owns the machine.
func (a *Agent) run() {
	defer a.finish()
	timer := time.NewTimer(0)
	defer timer.Stop()
	var announcements <-chan mdns.Announcement
	if a.mdns != nil {
		announcements = a.mdns.Announcements()
	}
	packets, stop := a.bus.Receive(), a.stop
	for !a.ended {
		select {
		case <-timer.C:
			a.step(Event{Kind: Tick})
		case <-stop:
			stop = nil
			a.step(Event{Kind: Stop})
		case p, ok := <-packets:
			if !ok {
				packets = nil
				continue
			}
			a.packet(p)
		case heard, ok := <-announcements:
			if !ok {
				announcements = nil
				continue
			}
			h, err := heartbeatOf(&heard, a.config.DiscoveryNamespace, a.key)
			if err != nil || h.NodeID != a.id.node { // Else it is what we announced.
				a.hear(h, err)
			}
		case o := <-a.events:
			if o.of != nil && o.of != a.leaf {
				continue
			}
			switch o.event.Kind {
			case Verified:
				a.confirm(o.event.Node, o.manifest)
				a.claimed(o.event.Node, o.url, o.err)
			case LeafStarted:
				a.leaf.leaf = o.leaf
			case LeafFailed, LeafDied, LeafStopped:
				a.leaf = nil
			}
			a.step(o.event)
		}
		timer.Reset(max(0, a.m.Wake()-time.Since(a.began)))
	}
}

// finish ends what is left, and waits for it.
func (a *Agent) finish() {
	a.cancel()
	a.unhold()
	if a.mdns != nil {
		if err := a.mdns.Close(); err != nil {
			a.config.Logger.Warn("close multicast DNS", "error", err)
		}
	}
	err := errors.Join(a.bus.Close())
	close(a.done) // tell no longer waits.
	a.work.Wait()
	if err = errors.Join(err, a.id.close()); err != nil {
		a.config.Logger.Warn("end of the election", "error", err)
	}
}

func (a *Agent) packet(p datagram) {
	data := p.data
	h, err := parseHeartbeat(data, a.config.DiscoveryNamespace)
	switch {
	case err != nil:
	case a.key != nil && !a.key.sealed(data):
		h, err = nil, rejectProof
	case a.key == nil && !a.sealedHeard && looksSealed(data):
		a.sealedHeard = true
	}
	if h != nil {
		h.inZone(p.netif)
	}
	a.hear(h, err)
}

func (a *Agent) hear(h *heartbeat, err error) {
	if err == nil && h.NodeID == a.id.node {
		if h.Instance == a.id.instance {
			return // What we sent.
		}
		err = rejectOwnID
	}
	if reason, ok := errors.AsType[rejection](err); ok {
		a.mu.Lock()
		a.rejected[string(reason)]++
		a.mu.Unlock()
		return
	}
	r := h.record(a.key != nil)
	a.step(Event{Kind: Heard, Record: &r})
}

// happened tells the machine of one event, and does what follows.
func (a *Agent) happened(e Event) {
	changed := false
	for _, effect := range a.m.Step(time.Since(a.began), &e) {
		if effect.Kind == Changed {
			changed = true
			continue
		}
		a.picture() // What is sent and served is what is the case now.
		a.effect(effect)
	}
	if changed {
		a.picture()
	}
	a.mu.Lock()
	now := a.status.Warnings
	a.mu.Unlock()
	if !slices.Equal(now, a.warned) {
		for _, w := range now {
			if !slices.Contains(a.warned, w) {
				a.config.Logger.Warn("election: " + w)
			}
		}
		a.warned, changed = now, true
	}
	if changed {
		if a.config.OnChange != nil {
			a.config.OnChange(a.Status())
		}
	}
}

// confirm keeps what was read of a leader; nil says that its leaf was not there.
func (a *Agent) confirm(node string, read *Manifest) {
	if read == nil {
		return // The machine forgets it when it has failed often enough.
	}
	for known := range a.confirmed {
		if !a.m.Knows(known) {
			delete(a.confirmed, known)
		}
	}
	if a.m.Knows(node) {
		a.confirmed[node] = read
	}
}

// picture takes the status for others to see.
func (a *Agent) picture() {
	s := a.m.Status()
	now := AgentStatus{
		State: s.State, Role: s.Role, NodeID: a.id.node, BackboneRTTMs: s.RTT.milliseconds(), LeaderEpoch: s.Epoch,
		LeaderMissingGraceMs: a.config.LeaderMissingGrace.Milliseconds(), PreemptionStreak: s.Streak,
		LastError: s.LastError, MDNSAvailable: a.mdns != nil, Peers: s.Peers,
	}
	if a.leaf != nil && a.leaf.leaf != nil {
		now.LocalLeaf = a.leaf.leaf.Manifest()
	}
	if r, ok := a.m.Leader(); ok {
		// What heartbeats say is what anybody can say: it is not passed on.
		if read := a.confirmed[r.NodeID]; read != nil && s.Confirmed {
			leader := *read
			leader.ExpiresAt = time.Now().Add(Lease).UTC().Format(manifestTime) // By our clock.
			leader.LeaseExpiresAt = leader.ExpiresAt
			now.Leader = &leader
		}
	} else if s.State == Leading {
		now.Leader = now.LocalLeaf
	}
	if at := time.Now(); at.Sub(a.asked) > time.Second {
		a.asked, a.wrong = at, a.bus.Problems()
	}
	now.Warnings = a.warnings(now.LocalLeaf)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.status, a.until = now, time.Now().Add(Lease)
}
