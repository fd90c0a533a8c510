package leaf

import (
	"net"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// Phase is where a leaf is in its life.
type Phase string

const (
	PhaseStarting Phase = "starting"
	PhaseRunning  Phase = "running"
	PhaseStopping Phase = "stopping" // Clients are leaving.
	PhaseStopped  Phase = "stopped"
	PhaseFailed   Phase = "failed" // A listener or the server has died; LastError says why.
)

// Status is a picture of a leaf at one moment. Its JSON form is what the CLI prints.
type Status struct {
	Phase              Phase       `json:"phase"`
	BridgeState        BridgeState `json:"bridgeState"`
	WebsocketURL       string      `json:"websocketUrl"` // The same as WSSURL; ws:// when TLS is off.
	WSSURL             string      `json:"wssUrl"`
	DiscoveryURL       string      `json:"discoveryUrl"`
	ClientURL          string      `json:"clientUrl"`  // Loopback only.
	MonitorURL         string      `json:"monitorUrl"` // Loopback only.
	RuntimeVersion     string      `json:"runtimeVersion"`
	LANBindAddress     string      `json:"lanBindAddress"`
	AdvertisedHostname string      `json:"advertisedHostname"`
	NodeID             string      `json:"nodeId"`
	DiscoveryNamespace string      `json:"discoveryNamespace"`
	BackboneServers    []string    `json:"backboneServers"` // Without credentials.
	BackboneRTTMs      *float64    `json:"backboneRttMs"`   // nil when not measured.
	Ports              Ports       `json:"ports"`
	RuntimeDir         string      `json:"runtimeDir"`
	LogFile            string      `json:"logFile"`
	LastError          string      `json:"lastError,omitempty"`
	LastBridgeError    string      `json:"lastBridgeError,omitempty"` // Stays after the bridge has recovered.
	Connections        int         `json:"connections"`
	Manifest           *Manifest   `json:"manifest"` // nil unless running.
	TLS                TLSStatus   `json:"tls"`
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
	Mode       TLSMode     `json:"mode"`
	CertFile   string      `json:"certFile,omitempty"`   // The public chain.
	CACertFile string      `json:"caCertFile,omitempty"` // The root that browsers must trust.
	NotAfter   *time.Time  `json:"notAfter,omitempty"`
	Trust      TrustStatus `json:"trust"`
}

// TrustState says how it stands with the browsers of this machine.
type TrustState string

const (
	TrustInstalled TrustState = "installed"
	TrustSkipped   TrustState = "skipped"
	TrustFailed    TrustState = "failed"
	TrustExternal  TrustState = "external" // Not ours to install: the caller's certificate.
)

// TrustStatus says whether the root was put into this machine's trust stores.
type TrustStatus struct {
	State              TrustState `json:"state"`
	Platform           string     `json:"platform"`
	Strategy           string     `json:"strategy"` // How it was or would be done; "none" if not at all.
	Detail             string     `json:"detail"`
	Attempted          bool       `json:"attempted"`
	RequiresUserAction bool       `json:"requiresUserAction"`
}

// Status returns what is known at this moment. It may be called at any time from any
// goroutine, after Stop as well.
func (l *Leaf) Status() Status {
	l.mu.Lock()
	phase, rtt, connections := l.phase, l.rtt, l.connections
	ports, websocketURL, discoveryURL := l.ports, l.websocketURL, l.discoveryURL // Set by Start, while the manifest is being asked for.
	l.mu.Unlock()
	l.log.mu.Lock()
	bridge, lastBridgeError, lastError := l.log.bridge.state(), l.log.bridge.lastError, l.log.lastError
	l.log.mu.Unlock()
	if phase != PhaseRunning && phase != PhaseStopping && phase != PhaseStarting {
		bridge = BridgeDisconnected
	}

	s := Status{
		Phase:              phase,
		BridgeState:        bridge,
		WebsocketURL:       websocketURL,
		WSSURL:             websocketURL,
		DiscoveryURL:       discoveryURL,
		ClientURL:          "nats://" + loopback(ports.Client),
		MonitorURL:         "http://" + loopback(ports.Monitor),
		RuntimeVersion:     server.VERSION,
		LANBindAddress:     l.set.LANBindAddress,
		AdvertisedHostname: l.set.AdvertisedHostname,
		NodeID:             l.set.NodeID,
		DiscoveryNamespace: l.set.DiscoveryNamespace,
		BackboneServers:    append([]string{}, l.set.backbone.shown...),
		BackboneRTTMs:      rtt,
		Ports:              ports,
		RuntimeDir:         l.dir.path,
		LogFile:            l.dir.logFile(),
		LastError:          lastError,
		LastBridgeError:    lastBridgeError,
		Connections:        connections,
		TLS:                l.cert.status,
	}
	if phase == PhaseRunning {
		s.Manifest = l.manifest(s)
	}
	return s
}

// Manifest is what the discovery listener serves: nil unless the leaf is running. It
// is made anew at each call, because it expires.
func (l *Leaf) Manifest() *Manifest { return l.Status().Manifest }

// manifest describes a leaf that leads because nobody elects: the only one of its
// namespace, without a lease.
func (l *Leaf) manifest(s Status) *Manifest {
	return &Manifest{
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
	}
}

// sameStatus ignores what changes by itself: round-trip times and expiry.
func sameStatus(a, b Status) bool {
	return a.Phase == b.Phase && a.BridgeState == b.BridgeState && a.Connections == b.Connections &&
		a.LastError == b.LastError && a.LastBridgeError == b.LastBridgeError &&
		(a.BackboneRTTMs == nil) == (b.BackboneRTTMs == nil)
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
