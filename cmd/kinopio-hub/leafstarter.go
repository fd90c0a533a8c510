package main

import (
	"context"
	"encoding/json"
	"errors"
	"sync/atomic"

	"github.com/kinopio-hub/kinopio-hub/v3/election"
	"github.com/kinopio-hub/kinopio-hub/v3/leaf"
)

// leafStarter gives the election leaves of this machine.
type leafStarter struct {
	config leaf.Config
	agent  chan *election.Agent // Has the agent once it is known.
	last   atomic.Pointer[leaf.Leaf]
}

// changed lets the leaf look whether it leads: hubs that wait for that are told at once.
func (s *leafStarter) changed() {
	if l := s.last.Load(); l != nil {
		l.LeadershipChanged()
	}
}

// Place is from where a leaf could be reached that is started now.
func (s *leafStarter) Place() election.Place {
	if s.config.OnMachineOnly() {
		return election.OnMachine
	}
	return election.OnLAN
}

func (s *leafStarter) follow(a *election.Agent) { s.agent <- a }

func (s *leafStarter) Start(ctx context.Context, term election.Term) (election.Leaf, error) {
	var agent *election.Agent
	select {
	case agent = <-s.agent:
		s.agent <- agent
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	c := s.config
	c.NodeID = term.NodeID
	c.Leadership = func() leaf.Leadership {
		epoch, until, role, leads := agent.Leadership()
		return leaf.Leadership{Epoch: epoch, LeaseExpiresAt: until, Role: string(role), IsLeader: leads}
	}
	l, err := leaf.Start(ctx, c)
	if listen, ok := errors.AsType[*leaf.ListenError](err); ok && listen.Role == "discovery" && c.Ports.Discovery != 0 {
		// Without a LAN, or on all addresses, the leaf's listener meets the one on loopback,
		// which already serves what this machine needs.
		c.Ports.Discovery = 0
		l, err = leaf.Start(ctx, c)
	}
	if err != nil {
		return nil, err
	}
	s.last.Store(l)
	return &electedLeaf{l}, nil
}

// electedLeaf is a leaf as the election sees it. It mends itself, so it never ends
// unasked.
type electedLeaf struct{ *leaf.Leaf }

func (l *electedLeaf) Done() <-chan struct{} { return nil }
func (l *electedLeaf) Err() error            { return nil }

func (l *electedLeaf) Manifest() *election.Manifest {
	m := l.Leaf.Manifest()
	if m == nil {
		return nil
	}
	ways, err := json.Marshal(m.WebTransport)
	if err != nil || len(m.WebTransport) == 0 {
		ways = nil
	}
	return &election.Manifest{
		Version: m.Version, ExpiresAt: m.ExpiresAt, LeaderEpoch: m.LeaderEpoch, AdvertisedHostname: m.AdvertisedHostname,
		WebsocketURL: m.WebsocketURL, WSSURL: m.WSSURL, DiscoveryURL: m.DiscoveryURL, FallbackServers: m.FallbackServers,
		BridgeState: string(m.BridgeState), BackboneRTTMs: m.BackboneRTTMs, LeaseExpiresAt: m.LeaseExpiresAt,
		NodeID: m.NodeID, DiscoveryNamespace: m.DiscoveryNamespace, IsLeader: m.IsLeader, CandidateRole: election.Role(m.CandidateRole),
		Tickets: m.Tickets, WebTransport: ways, RootPEM: m.RootPEM,
	}
}

// leafManifest is a leader's manifest as it is served; nil when no leader was seen. A leaf of
// 2.1.0 does not tell its bridge's state, so nor is it told here.
func leafManifest(m *election.Manifest) *leaf.Manifest {
	if m == nil {
		return nil
	}
	var ways []leaf.WebTransport
	if len(m.WebTransport) > 0 && json.Unmarshal(m.WebTransport, &ways) != nil {
		ways = nil // It was checked to be JSON, not to be this: without it pages come by WebSocket.
	}
	return &leaf.Manifest{
		Version: leaf.ManifestVersion, ExpiresAt: m.ExpiresAt, LeaderEpoch: m.LeaderEpoch, AdvertisedHostname: m.AdvertisedHostname,
		WebsocketURL: m.WebsocketURL, WSSURL: m.WSSURL, DiscoveryURL: m.DiscoveryURL, FallbackServers: m.FallbackServers,
		BridgeState: leaf.BridgeState(m.BridgeState), BackboneRTTMs: m.BackboneRTTMs, LeaseExpiresAt: m.LeaseExpiresAt,
		NodeID: m.NodeID, DiscoveryNamespace: m.DiscoveryNamespace, IsLeader: m.IsLeader, CandidateRole: string(m.CandidateRole),
		Tickets: m.Tickets, WebTransport: ways, RootPEM: m.RootPEM,
	}
}
