package leaf

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/kinopio-hub/kinopio-hub/v3/tlsca"
)

// Phase is where a leaf is in its life.
type Phase string

const (
	PhaseStarting   Phase = "starting"
	PhaseRunning    Phase = "running"
	PhaseRestarting Phase = "restarting" // A listener or the server has died, or moves to another address; LastError says why.
	PhaseStopping   Phase = "stopping"   // Clients are leaving.
	PhaseStopped    Phase = "stopped"
)

// Status is a picture of a leaf at one moment. Its JSON form is what the CLI prints.
type Status struct {
	Phase              Phase              `json:"phase"`
	BridgeState        BridgeState        `json:"bridgeState"`
	WebsocketURL       string             `json:"websocketUrl"` // The same as WSSURL; ws:// when TLS is off.
	WSSURL             string             `json:"wssUrl"`
	DiscoveryURL       string             `json:"discoveryUrl"`
	ClientURL          string             `json:"clientUrl"`  // Loopback only.
	MonitorURL         string             `json:"monitorUrl"` // Loopback only.
	RuntimeVersion     string             `json:"runtimeVersion"`
	LANBindAddress     string             `json:"lanBindAddress"`
	AdvertisedHostname string             `json:"advertisedHostname"`
	NodeID             string             `json:"nodeId"`
	DiscoveryNamespace string             `json:"discoveryNamespace"`
	BackboneServers    []string           `json:"backboneServers"` // Without credentials.
	BackboneRTTMs      *float64           `json:"backboneRttMs"`   // nil when not measured.
	Ports              Ports              `json:"ports"`
	RuntimeDir         string             `json:"runtimeDir"`
	LogFile            string             `json:"logFile"`
	LastError          string             `json:"lastError"`       // null in JSON when there is none.
	LastBridgeError    string             `json:"lastBridgeError"` // Likewise; stays after the bridge has recovered.
	Connections        int                `json:"connections"`
	Restarts           int                `json:"restarts"` // How often something was started again.
	Access             AccessStatus       `json:"access"`
	Manifest           *Manifest          `json:"manifest"` // nil unless running.
	TLS                TLSStatus          `json:"tls"`
	WebTransport       WebTransportStatus `json:"webTransport"`
	Keeper             *KeeperStatus      `json:"keeper"` // nil when no values are kept.
}

// MarshalJSON writes every field in every state: null where there is nothing to say.
func (s Status) MarshalJSON() ([]byte, error) {
	type fields Status
	return json.Marshal(struct {
		fields
		LastError       *string `json:"lastError"`
		LastBridgeError *string `json:"lastBridgeError"`
	}{fields(s), given(s.LastError), given(s.LastBridgeError)})
}

// MarshalJSON: see [Status.MarshalJSON].
func (k KeeperStatus) MarshalJSON() ([]byte, error) {
	type fields KeeperStatus
	return json.Marshal(struct {
		fields
		Dir       *string `json:"dir"`
		LastError *string `json:"lastError"`
	}{fields(k), given(k.Dir), given(k.LastError)})
}

// MarshalJSON: see [Status.MarshalJSON].
func (t TLSStatus) MarshalJSON() ([]byte, error) {
	type fields TLSStatus
	return json.Marshal(struct {
		fields
		CertFile    *string `json:"certFile"`
		CACertFile  *string `json:"caCertFile"`
		Fingerprint *string `json:"fingerprint"`
	}{fields(t), given(t.CertFile), given(t.CACertFile), given(t.Fingerprint)})
}

func given(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// TLSMode says where the certificate of the LAN listeners comes from.
type TLSMode string

const (
	TLSGenerated TLSMode = "generated" // From this machine's own CA.
	TLSProvided  TLSMode = "provided"  // From the caller's files.
	TLSOff       TLSMode = "off"
)

// TLSStatus describes the certificate of the LAN listeners.
type TLSStatus struct {
	Mode       TLSMode    `json:"mode"`
	CertFile   string     `json:"certFile"`   // The public chain.
	CACertFile string     `json:"caCertFile"` // The root that browsers must trust.
	NotAfter   *time.Time `json:"notAfter"`
	// Fingerprint is the lower-case hexadecimal SHA-256 of the certificate; it changes with each renewal.
	Fingerprint string      `json:"fingerprint"`
	Trust       TrustStatus `json:"trust"`
}

// TrustState, TrustStatus: see package tlsca.
type (
	TrustState  = tlsca.TrustState
	TrustStatus = tlsca.TrustStatus
)

const (
	TrustInstalled = tlsca.TrustInstalled
	TrustSkipped   = tlsca.TrustSkipped
	TrustFailed    = tlsca.TrustFailed
	TrustExternal  = tlsca.TrustExternal
)

// Status returns what is known at this moment. It may be called at any time from any
// goroutine, after Stop as well.
func (l *Leaf) Status() Status {
	l.mu.Lock()
	set, phase, rtt, connections, restarts, trusted := l.set, l.phase, l.rtt, l.connections, l.restarts, l.trust
	var wt *wtListener
	var wtFailed error
	if l.srv != nil {
		wt, wtFailed = l.srv.wt, l.srv.wtFailed
	}
	l.mu.Unlock()
	secured := l.cert.shown()
	if trusted.State != "" {
		secured.Trust = trusted
	}
	l.log.mu.Lock()
	bridge, lastBridgeError, lastError := l.log.bridge.state(), l.log.bridge.lastError, l.log.lastError
	l.log.mu.Unlock()
	if phase == PhaseStopped || phase == PhaseRestarting {
		bridge = BridgeDisconnected
	}
	websocketURL := l.url(set, "ws", set.Ports.WebSocket)

	s := Status{
		Phase:              phase,
		BridgeState:        bridge,
		WebsocketURL:       websocketURL,
		WSSURL:             websocketURL,
		DiscoveryURL:       l.url(set, "http", set.Ports.Discovery) + ManifestPath,
		ClientURL:          "nats://" + loopback(set.Ports.Client),
		MonitorURL:         "http://" + loopback(set.Ports.Monitor),
		RuntimeVersion:     server.VERSION,
		LANBindAddress:     set.LANBindAddress,
		AdvertisedHostname: set.AdvertisedHostname,
		NodeID:             set.NodeID,
		DiscoveryNamespace: set.DiscoveryNamespace,
		BackboneServers:    append([]string{}, set.backbone.shown...),
		BackboneRTTMs:      rtt,
		Ports:              set.Ports,
		RuntimeDir:         l.dir.path,
		LogFile:            l.dir.logFile(),
		LastError:          lastError,
		LastBridgeError:    lastBridgeError,
		Connections:        connections,
		Restarts:           restarts,
		Access:             l.access(set),
		TLS:                secured,
		WebTransport:       l.webTransport(set, wt, wtFailed),
		Keeper:             l.keeping(),
	}
	if phase == PhaseRunning {
		s.Manifest = l.manifest(s)
	}
	return s
}

// access describes who may use a leaf with settings s.
func (l *Leaf) access(s *settings) AccessStatus {
	return AccessStatus{
		Mode:           s.access.mode,
		OpenToLAN:      s.access.mode == accessOpen && !s.lan.IsLoopback(),
		AllowedOrigins: append([]string{}, s.AllowedOrigins...),
		MaxConnections: s.MaxConnections,
		MaxPayload:     s.MaxPayload,
	}
}

// Manifest is what the discovery listener serves: nil unless the leaf is running. It
// is made anew at each call, because it expires.
func (l *Leaf) Manifest() *Manifest { return l.Status().Manifest }

// manifest describes a leaf: without an election it leads, as the only one of its
// namespace, and has no lease.
func (l *Leaf) manifest(s Status) *Manifest {
	m := &Manifest{
		Version:            ManifestVersion,
		ExpiresAt:          time.Now().Add(manifestLife).UTC().Format(timeFormat),
		AdvertisedHostname: s.AdvertisedHostname,
		WebsocketURL:       s.WebsocketURL,
		WSSURL:             s.WSSURL,
		DiscoveryURL:       s.DiscoveryURL,
		FallbackServers:    s.BackboneServers,
		BridgeState:        s.BridgeState,
		BackboneRTTMs:      s.BackboneRTTMs,
		NodeID:             s.NodeID,
		DiscoveryNamespace: s.DiscoveryNamespace,
		IsLeader:           true,
		CandidateRole:      "leader",
		Tickets:            l.settings().access.tickets != nil,
		WebTransport:       s.WebTransport.Endpoints,
	}
	if l.cert.ca != nil {
		m.RootPEM = string(l.cert.ca.RootPEM())
	}
	m.PublicAddresses = l.publicAddresses(l.settings())
	if ask := l.settings().Leadership; ask != nil {
		ask().write(m)
	}
	return m
}

// sameStatus ignores what changes by itself: round-trip times and expiry.
func sameStatus(a, b Status) bool {
	return a.Phase == b.Phase && a.BridgeState == b.BridgeState && a.Connections == b.Connections &&
		a.LastError == b.LastError && a.LastBridgeError == b.LastBridgeError &&
		(a.BackboneRTTMs == nil) == (b.BackboneRTTMs == nil) && a.Restarts == b.Restarts &&
		a.WSSURL == b.WSSURL && a.DiscoveryURL == b.DiscoveryURL && a.Ports == b.Ports &&
		sameKeeper(a.Keeper, b.Keeper) && a.Access.MaxPayload == b.Access.MaxPayload && a.TLS.Fingerprint == b.TLS.Fingerprint &&
		a.WebTransport.Enabled == b.WebTransport.Enabled && a.WebTransport.Error == b.WebTransport.Error &&
		slices.EqualFunc(a.WebTransport.Endpoints, b.WebTransport.Endpoints, func(a, b WebTransport) bool {
			return a.URL == b.URL && slices.Equal(a.CertificateHashes, b.CertificateHashes)
		})
}

// sameKeeper: how much is kept changes all the time, and is not told by itself.
func sameKeeper(a, b *KeeperStatus) bool {
	return a == nil && b == nil || a != nil && b != nil && a.Connected == b.Connected && a.LastError == b.LastError
}
