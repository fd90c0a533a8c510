package leaf

import (
	"encoding/json"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// ManifestPath is where a manifest is served.
const ManifestPath = "/.well-known/kinopio-leader.json"

// ManifestVersion is the version of the format that this package writes.
const ManifestVersion = "1"

// manifestLife is for how long a manifest without a lease may be believed.
const manifestLife = 5 * time.Second

// timeFormat is RFC 3339 in UTC with milliseconds, as JavaScript writes it.
const timeFormat = "2006-01-02T15:04:05.000Z07:00"

// Manifest tells where the leader of a namespace is. The JSON format is shared with
// kinopio-hub 2.x; consumers ignore fields that they do not know.
type Manifest struct {
	Version            string `json:"version"`
	ExpiresAt          string `json:"expiresAt"` // RFC 3339, UTC, milliseconds; refuse an expired manifest.
	LeaderEpoch        int64  `json:"leaderEpoch"`
	AdvertisedHostname string `json:"advertisedHostname"`
	// WebsocketURL and WSSURL carry the same URL, ws:// when TLS is off.
	WebsocketURL    string      `json:"websocketUrl"`
	WSSURL          string      `json:"wssUrl"`
	DiscoveryURL    string      `json:"discoveryUrl"`
	FallbackServers []string    `json:"fallbackServers"` // The backbone's URLs, without credentials.
	BridgeState     BridgeState `json:"bridgeState"`
	BackboneRTTMs   *float64    `json:"backboneRttMs"` // Whole milliseconds; nil when not measured.

	// WebTransport are the ways for browsers that need trust no CA, none if there is no listener.
	WebTransport []WebTransport `json:"webTransport,omitempty"`
	// RootPEM is the root of the certificate of WSSURL, for programs that are told whom to trust; "" if
	// the certificate was given by the caller, or there is none.
	RootPEM string `json:"rootPem,omitempty"`

	LeaseExpiresAt     string `json:"leaseExpiresAt,omitempty"`
	NodeID             string `json:"nodeId,omitempty"`
	DiscoveryNamespace string `json:"discoveryNamespace,omitempty"`
	IsLeader           bool   `json:"isLeader"`
	CandidateRole      string `json:"candidateRole"` // leader, follower, candidate or stopped.

	PublicAddresses []string `json:"publicAddresses,omitempty"` // That the backbone sees this LAN at.
	Tickets         bool     `json:"tickets,omitempty"`         // The leaf gives tickets to hubs of its account.
}

// Leadership is what a manifest says of the election.
type Leadership struct {
	Epoch          int64
	LeaseExpiresAt time.Time // Zero: there is no lease.
	Role           string    // leader, follower, candidate or stopped.
	IsLeader       bool
}

// write puts l into m. A manifest is good for as long as its lease.
func (l Leadership) write(m *Manifest) {
	m.LeaderEpoch, m.CandidateRole, m.IsLeader = l.Epoch, l.Role, l.IsLeader
	if l.IsLeader && !l.LeaseExpiresAt.IsZero() {
		m.LeaseExpiresAt = l.LeaseExpiresAt.UTC().Format(timeFormat)
		m.ExpiresAt = m.LeaseExpiresAt
	}
}

// ManifestHandler serves what current returns, at whatever path it is mounted, to
// pages of any origin unless origins are given: 200 with the manifest as JSON, or 204 when current returns nil
// (there is no leader). Only GET, HEAD and OPTIONS are answered otherwise than with
// 405. current is called for each GET and HEAD, from any goroutine.
//
// With origins (https://app.example.com), only their pages may read it, and only at an address, at
// localhost, at a name below .local or at an origin's own host: a page whose name was pointed here
// would be of the same origin as the manifest.
//
// A Go web application mounts it at [ManifestPath] of its own origin, with
// [Leaf.Manifest] as current.
func ManifestHandler(current func() *Manifest, origins ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		if len(origins) > 0 && !hostOf(r.Host, origins) {
			http.Error(w, "the manifest is not at this host", http.StatusMisdirectedRequest)
			return
		}
		allowOrigin(h, r, origins)
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		switch r.Method {
		case http.MethodGet, http.MethodHead:
		case http.MethodOptions:
			h.Set("Allow", allowedMethods)
			h.Set("Access-Control-Allow-Methods", allowedMethods)
			h.Set("Access-Control-Allow-Headers", "*")
			h.Set("Access-Control-Max-Age", "600")
			w.WriteHeader(http.StatusNoContent)
			return
		default:
			h.Set("Allow", allowedMethods)
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
			return
		}
		m := current()
		if m == nil {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		body, err := json.Marshal(m)
		if err != nil {
			http.Error(w, "manifest cannot be written", http.StatusInternalServerError)
			return
		}
		h.Set("Content-Type", "application/json; charset=utf-8")
		w.Write(append(body, '\n')) // net/http leaves the body of a HEAD out.
	})
}

// hostOf tells whether a Host header names an address, this machine, a name of the LAN, or an origin's host.
func hostOf(header string, origins []string) bool {
	host := header
	if h, _, err := net.SplitHostPort(header); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if _, err := netip.ParseAddr(host); err == nil || host == "localhost" || strings.HasSuffix(host, ".localhost") || strings.HasSuffix(host, ".local") {
		return true
	}
	return slices.ContainsFunc(origins, func(o string) bool {
		u, err := url.Parse(o)
		return err == nil && strings.EqualFold(u.Hostname(), host)
	})
}

// allowOrigin lets pages of origins read the answer, of any origin without a list. They also
// read its date, so that the clock which set a manifest's expiry judges it.
func allowOrigin(h http.Header, r *http.Request, origins []string) {
	h.Set("Access-Control-Expose-Headers", "Date")
	if len(origins) == 0 {
		h.Set("Access-Control-Allow-Origin", "*")
		return
	}
	h.Add("Vary", "Origin")
	if origin := r.Header.Get("Origin"); slices.Contains(origins, strings.ToLower(origin)) {
		h.Set("Access-Control-Allow-Origin", origin)
	}
}

const allowedMethods = "GET, HEAD, OPTIONS"
