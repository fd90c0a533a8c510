package lab

import (
	"encoding/json"
	"fmt"
	"time"
)

// What kinopio-hub 2.1.0 calls its heartbeats, and how long its leases and manifests hold.
const (
	heartbeatKind    = "kinopio-auto-leaf-heartbeat"
	heartbeatVersion = 1
	heartbeatEvery   = time.Second
	leaseTime        = 4 * time.Second
	manifestTime     = 5 * time.Second
	timeLayout       = "2006-01-02T15:04:05.000Z"
)

// Heartbeat is what a node of kinopio-hub 2.1.0 multicasts every second: the manifest's fields
// with four before them, as one JSON object. See docs/lan-wire.md.
type Heartbeat struct {
	Kind               string   `json:"kind"`
	ProtocolVersion    int      `json:"protocolVersion"`
	SentAt             string   `json:"sentAt"` // RFC 3339, UTC, milliseconds; all times here
	Version            string   `json:"version"`
	ExpiresAt          string   `json:"expiresAt"`
	LeaderEpoch        int64    `json:"leaderEpoch"`
	AdvertisedHostname string   `json:"advertisedHostname"`
	WebSocketURL       string   `json:"websocketUrl"`
	WSSURL             string   `json:"wssUrl"`
	DiscoveryURL       string   `json:"discoveryUrl"`
	FallbackServers    []string `json:"fallbackServers"`
	BridgeState        string   `json:"bridgeState"`
	BackboneRTTms      *int     `json:"backboneRttMs"` // null: not measured
	LeaseExpiresAt     string   `json:"leaseExpiresAt,omitempty"`
	NodeID             string   `json:"nodeId"`
	DiscoveryNamespace string   `json:"discoveryNamespace"`
	IsLeader           bool     `json:"isLeader"`
	CandidateRole      string   `json:"candidateRole"` // leader, follower, candidate, stopped
}

// encode returns the bytes of the heartbeat as it is sent at a time.
func (h Heartbeat) encode(now time.Time) ([]byte, error) {
	now = now.UTC()
	h.Kind, h.ProtocolVersion, h.Version = heartbeatKind, heartbeatVersion, "1"
	h.SentAt, h.ExpiresAt = now.Format(timeLayout), now.Add(manifestTime).Format(timeLayout)
	if h.IsLeader {
		h.LeaseExpiresAt = now.Add(leaseTime).Format(timeLayout)
		h.ExpiresAt = h.LeaseExpiresAt
	}
	if h.FallbackServers == nil {
		h.FallbackServers = []string{}
	}
	return json.Marshal(h)
}

// decode returns a heartbeat of a namespace, or why 2.1.0 ignores the packet.
func decode(packet []byte, namespace string) (h Heartbeat, err error) {
	if err := json.Unmarshal(packet, &h); err != nil {
		return h, fmt.Errorf("heartbeat: %w", err)
	}
	switch {
	case h.Kind != heartbeatKind:
		return h, fmt.Errorf("heartbeat: kind is %q, want %s", h.Kind, heartbeatKind)
	case h.ProtocolVersion != heartbeatVersion:
		return h, fmt.Errorf("heartbeat: protocolVersion is %d, want %d", h.ProtocolVersion, heartbeatVersion)
	case h.DiscoveryNamespace != namespace:
		return h, fmt.Errorf("heartbeat: discoveryNamespace is %q, want %q", h.DiscoveryNamespace, namespace)
	case h.NodeID == "":
		return h, fmt.Errorf("heartbeat: nodeId is empty")
	}
	return h, nil
}
