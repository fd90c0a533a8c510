package election

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"
)

// What makes a datagram a heartbeat, as kinopio-hub 2.1.0 sends them.
const (
	heartbeatKind    = "kinopio-auto-leaf-heartbeat"
	protocolVersion  = 1
	maxHeartbeat     = 8 << 10 // Bytes.
	maxName          = 128     // Bytes of a node id or namespace.
	maxURL           = 512
	maxFallbacks     = 32
	maxRTT           = 600_000 // Milliseconds; more is no round trip.
	manifestVersion  = "1"
	manifestTime     = "2006-01-02T15:04:05.000Z07:00"
	largestJSInteger = 1<<53 - 1
)

// Manifest says where a leaf is. Its JSON form is that which leaves serve at
// /.well-known/kinopio-leader.json and which heartbeats carry.
type Manifest struct {
	Version            string   `json:"version"`
	ExpiresAt          string   `json:"expiresAt,omitempty"` // RFC 3339, UTC, milliseconds.
	LeaderEpoch        int64    `json:"leaderEpoch"`
	AdvertisedHostname string   `json:"advertisedHostname,omitempty"`
	WebsocketURL       string   `json:"websocketUrl,omitempty"`
	WSSURL             string   `json:"wssUrl,omitempty"`
	DiscoveryURL       string   `json:"discoveryUrl,omitempty"`
	FallbackServers    []string `json:"fallbackServers"`
	BridgeState        string   `json:"bridgeState,omitempty"`
	BackboneRTTMs      *float64 `json:"backboneRttMs"` // nil when not measured.
	LeaseExpiresAt     string   `json:"leaseExpiresAt,omitempty"`
	NodeID             string   `json:"nodeId"`
	DiscoveryNamespace string   `json:"discoveryNamespace"`
	IsLeader           bool     `json:"isLeader"`
	CandidateRole      Role     `json:"candidateRole"`
	Tickets            bool     `json:"tickets,omitempty"` // The leaf gives tickets to hubs of its account.

	// WebTransport (an array) and RootPEM say whom to trust at the leaf. Heartbeats do not carry them; agents
	// take them from the leader's leaf, see [reach].
	WebTransport json.RawMessage `json:"webTransport,omitempty"`
	RootPEM      string          `json:"rootPem,omitempty"`
}

// heartbeat is one datagram. The fields after the manifest are this version's own;
// 2.1.0 ignores them.
type heartbeat struct {
	Kind            string `json:"kind"`
	ProtocolVersion int    `json:"protocolVersion"`
	SentAt          string `json:"sentAt"`
	Manifest
	State State `json:"state,omitempty"`
	// Sequence grows with each heartbeat of a node, across its restarts. 0: not given.
	Sequence int64 `json:"seq,omitempty"`
	// Instance tells apart two agents that have the same node id.
	Instance string `json:"instance,omitempty"`
	// Reach is what the manifest at the leaf says of whom to trust, as [reach.digest] makes it. "": nothing.
	Reach string `json:"reach,omitempty"`
	// Local: the leaf is, or would be, reachable on its own machine only.
	Local bool `json:"local,omitempty"`
}

// A rejection says why a packet was not taken, as the word under which it is counted.
type rejection string

func (r rejection) Error() string { return "heartbeat rejected: " + string(r) }

const (
	rejectSize      rejection = "size"      // Larger than 8 KiB.
	rejectJSON      rejection = "json"      // Not a JSON object, or a field of another type.
	rejectKind      rejection = "kind"      // Not a heartbeat.
	rejectVersion   rejection = "version"   // Of another protocol.
	rejectNamespace rejection = "namespace" // Of another namespace.
	rejectField     rejection = "field"     // A field that cannot be.
	rejectProof     rejection = "proof"     // Without a valid proof of the secret.
	rejectReplay    rejection = "replay"    // Heard before.
	rejectOwnID     rejection = "own-id"    // Another agent has our node id.
	rejectRate      rejection = "rate"      // More than one host may send.
)

// parseHeartbeat reads a datagram of namespace. Its errors are rejections. Fields that
// are not known are ignored.
func parseHeartbeat(data []byte, namespace string) (*heartbeat, error) {
	if len(data) > maxHeartbeat {
		return nil, rejectSize
	}
	var head struct {
		Kind      string          `json:"kind"`
		Version   json.RawMessage `json:"protocolVersion"`
		Namespace string          `json:"discoveryNamespace"`
	}
	if err := json.Unmarshal(data, &head); err != nil {
		return nil, rejectJSON
	}
	switch {
	case head.Kind != heartbeatKind:
		return nil, rejectKind
	case !bytes.Equal(head.Version, []byte("1")):
		return nil, rejectVersion
	case head.Namespace != namespace:
		return nil, rejectNamespace
	}
	h := &heartbeat{}
	if err := json.Unmarshal(data, h); err != nil {
		return nil, rejectJSON
	}
	h.Manifest.setReach(reach{})
	if err := h.check(); err != nil {
		return nil, rejectField
	}
	return h, nil
}

// check says which field cannot be.
func (h *heartbeat) check() error {
	if err := h.Manifest.check(); err != nil {
		return err
	}
	for _, text := range []string{h.SentAt, h.Instance, string(h.State), h.Reach} {
		if err := checkText(text); err != nil {
			return err
		}
	}
	if h.Sequence < 0 || h.Sequence > largestJSInteger {
		return fmt.Errorf("seq %d is not a count", h.Sequence)
	}
	return nil
}

// check says which field of what somebody else has written cannot be. Whatever passes may be
// kept, served and printed.
func (m *Manifest) check() error {
	if err := checkName("nodeId", m.NodeID); err != nil {
		return err
	}
	for _, text := range append([]string{m.Version, m.ExpiresAt, m.LeaseExpiresAt, m.DiscoveryNamespace, m.WebsocketURL, m.WSSURL, m.DiscoveryURL, m.AdvertisedHostname, m.BridgeState, string(m.CandidateRole)}, m.FallbackServers...) {
		if err := checkText(text); err != nil {
			return err
		}
	}
	if len(m.FallbackServers) > maxFallbacks {
		return errors.New("fallbackServers are too many")
	}
	if m.LeaderEpoch < 0 || m.LeaderEpoch > largestJSInteger {
		return fmt.Errorf("leaderEpoch %d is not an epoch", m.LeaderEpoch)
	}
	if err := m.reach().check(); err != nil {
		return err
	}
	if r := m.BackboneRTTMs; r != nil && !(*r >= 0 && *r <= maxRTT) {
		return errors.New("backboneRttMs is not a round-trip time")
	}
	return nil
}

// checkText: terminals obey control characters, and texts are printed.
func checkText(text string) error {
	switch {
	case len(text) > maxURL:
		return errors.New("a text is too long")
	case strings.ContainsFunc(text, unprintable):
		return errors.New("a text contains control characters")
	}
	return nil
}

func unprintable(r rune) bool { return !unicode.IsGraphic(r) || r == '\uFFFD' }

func checkName(field, value string) error {
	switch {
	case value == "":
		return fmt.Errorf("%s is empty", field)
	case len(value) > maxName:
		return fmt.Errorf("%s is longer than %d bytes", field, maxName)
	case strings.ContainsFunc(value, func(r rune) bool { return unicode.IsSpace(r) || unprintable(r) }):
		return fmt.Errorf("%s %q contains blanks or control characters", field, value)
	}
	return nil
}

// record is what the machine needs of a heartbeat. A sender without a count is put in
// order by its clock; whether that is right plays no part.
func (h *heartbeat) record(proven bool) Record {
	r := Record{
		NodeID: h.NodeID, Leads: h.IsLeader, Role: h.CandidateRole, State: h.State,
		Epoch: h.LeaderEpoch, RTT: rttOf(h.BackboneRTTMs), Order: h.Sequence, Proven: proven, Local: h.Local, Source: h,
	}
	if r.Leads && h.SentAt != "" { // Multicast DNS does not tell all of it.
		r.About = h.WSSURL + " " + h.DiscoveryURL + " " + h.BridgeState
		if h.Reach != "" {
			r.About += " " + h.Reach
		}
	}
	if r.Order == 0 {
		if at, err := time.Parse(time.RFC3339, h.SentAt); err == nil {
			r.Order = max(at.UnixMilli(), 0)
		}
	}
	if r.Role == RoleStopped {
		r.Leads = false
	}
	return r
}

func rttOf(milliseconds *float64) RTT {
	if milliseconds == nil {
		return Unmeasured
	}
	return RTT(math.Round(*milliseconds))
}

func (r RTT) milliseconds() *float64 {
	if r == Unmeasured {
		return nil
	}
	f := float64(r)
	return &f
}

// encode writes a heartbeat, with a proof at its end if there is a key.
func (h *heartbeat) encode(key *proofKey) ([]byte, error) {
	h.Kind, h.ProtocolVersion, h.Version = heartbeatKind, protocolVersion, manifestVersion
	if h.FallbackServers == nil {
		h.FallbackServers = []string{}
	}
	data, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("encode heartbeat: %w", err)
	}
	if key != nil {
		data = key.seal(data)
	}
	if len(data) > maxHeartbeat {
		return nil, fmt.Errorf("encode heartbeat: %d bytes, and %d are allowed: shorten the list of backbone servers", len(data), maxHeartbeat)
	}
	return data, nil
}
