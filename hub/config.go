package hub

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/transport"
)

// Selection is how a hub orders several configured servers before it connects.
type Selection string

const (
	// Latency, the default, connects to the servers side by side and keeps the one with the shortest
	// round trip. One that was late to answer is looked at again, and then every Reprobe.
	Latency Selection = "latency"
	// Ordered is by preference: the first server of the list that answers within ReconnectTimeout, however near a
	// later one is. One that shows no sign of life for 750 ms (in a page for half of ReconnectTimeout) is passed over, and the
	// next time at once. A hub on a later server returns to an earlier one when that is there again, by a move.
	Ordered Selection = "ordered"
	// Random shuffles the servers once for a hub's life, and then is as Ordered, but stays where it is.
	Random Selection = "random"
)

// DemoServers are used, with a warning, when no server is configured. They belong to the
// NATS project and are for trying things out only.
var demoServers = []string{"wss://demo.nats.io:8443", "wss://demo.nats.io:4443"}

// NoReconnects, as MaxReconnects, makes the loss of a connection final: the hub's state is then StateError.
const NoReconnects = -2

// Config says how a hub connects. Its zero value works; each field's zero value stands for
// the default that its comment names.
type Config struct {
	// Servers are the URLs to connect to: nats, tls, ws or wss (in a browser ws and wss).
	// Nil means two public demo servers and a warning; an empty, non-nil list is an error.
	Servers []string
	// Selection orders Servers. Default Latency.
	Selection Selection
	// Name is shown by the servers' monitoring. Default "kinopio-hub".
	Name string
	// InboxPrefix begins the subjects of answers to this hub's requests, and of what it sends itself while it
	// moves, for servers that permit a user an inbox of its own only. Default "_INBOX".
	InboxPrefix string
	// NoEcho keeps the hub's own messages from its own subscriptions.
	NoEcho bool

	// ManualConnect waits for Connect instead of connecting at once.
	ManualConnect bool
	// FailFast makes a failed first connection final: the hub's state is then StateError.
	// Otherwise it goes on trying.
	FailFast bool
	// NoRetry makes a failed connection final, also later ones.
	NoRetry bool
	// MaxReconnects bounds the rounds of attempts after a lost connection. 0 and -1: no bound;
	// NoReconnects: none is made, the loss is final.
	MaxReconnects int
	// ReconnectTimeout bounds one attempt to connect. Default 5 s.
	ReconnectTimeout time.Duration
	// ReconnectWait is the least time between two attempts on the same server. Default 500 ms.
	ReconnectWait time.Duration
	// RetryDelay, RetryFactor and MaxRetryDelay are the backoff between rounds in which no
	// server could be reached: a random time up to the delay, which grows by the factor.
	// Defaults 1 s, 1.5 and 30 s.
	RetryDelay    time.Duration
	RetryFactor   float64
	MaxRetryDelay time.Duration

	// PingInterval and MaxPingOut find dead connections. Defaults 3 s and 3.
	PingInterval time.Duration
	MaxPingOut   int
	// Timeout bounds an operation that got no deadline of its own: a request, a publish that
	// waits for a connection, a flush. Default 3 s.
	Timeout time.Duration
	// Linger is how long a variable is followed after its last callback or watcher has ended, and ReadLinger how long, and
	// at most twice that, after its value was read for the last time: see [Variable.Release]. Defaults 5 s and 2 minutes.
	Linger     time.Duration
	ReadLinger time.Duration
	// PendingLimit bounds the bytes that wait while there is no connection, and those of messages
	// that came and wait for one before them. Default 8 MiB.
	PendingLimit int
	// HealthReport is the time between two calls of OnHealth. Default 5 s.
	HealthReport time.Duration
	// Reprobe is the time after which latency mode looks for a server that is nearer by at
	// least ReprobeGain. Defaults 10 minutes and 30 ms.
	Reprobe     time.Duration
	ReprobeGain time.Duration

	// Auth says who the hub is. Authenticator, if set, is asked before each connection instead.
	Auth          Auth
	Authenticator Authenticator

	// NoNumbers publishes bare messages. Otherwise each has a number in a header, Kseq, of 31 bytes and more,
	// by which other hubs keep each publisher's order, leave out copies, and ask for what got lost.
	NoNumbers bool
	// Repair says what is kept for those who ask, and how long this hub waits for what it asks for.
	Repair Repair
	// Standby keeps a second connection, without subscriptions, to the next-best of Servers,
	// so that the loss of the first costs one round trip. With one server it does nothing
	// until the hub is on a leaf.
	Standby bool

	// TLS is used natively for tls and wss servers and https manifests; a browser has its own.
	TLS *TLSConfig
	// TLSFirst begins TLS before the server says anything, for servers with handshake_first in their tls block. It is
	// used natively for nats and tls servers.
	TLSFirst bool

	// Discovery finds the leaf on the LAN.
	Discovery Discovery

	// Page is the web page that the hub runs in. Nil means the platform's own, which natively
	// and in Node is none.
	Page Page

	// Codec replaces JSON for values other than nil, []byte and string.
	Codec Codec
	// Logger gets readable lines at level Debug, and Warn for what needs attention, such as a
	// *slog.Logger does. Nil is silent.
	Logger Logger
	// Dialers open the connections. Nil means the platform's own.
	Dialers []transport.Dialer

	// onDenied and onLink are set by a bridge that has values of its own: see bridgeFunctions.KeepValues.
	onDenied func(subject string)
	onLink   func(online bool)

	leaves *leafRecords // of this hub
}

// Discovery says whether and how a hub looks for the leaf on its LAN.
type Discovery struct {
	// Enabled turns discovery on.
	Enabled bool
	// ManifestURL is where the leaf's manifest is served (http or https). In a browser the
	// default is the page's origin + /.well-known/kinopio-leader.json; natively there is none.
	ManifestURL string
	// Namespace, if set, is that of leaves which are asked for over the session (kinopio-hub leaf … --discovery-namespace):
	// then no ManifestURL is needed, and with one both ways are gone.
	Namespace string
	// NamespaceKey, as kinopio-hub leaf key prints it, is the public key of Namespace: leaves count only if they have signed
	// their answer with it. Without it a leaf is believed as far as the account is, and shown no credentials but a ticket.
	NamespaceKey string
	// NoBackgroundProbe looks once, after the first connection, instead of going on.
	NoBackgroundProbe bool
	// SwitchTimeout bounds the fetch of a manifest and, apart, the connection to a leaf. Default 1.5 s.
	SwitchTimeout time.Duration
	// CacheTTL is the time between two fetches of the manifest. Default 5 s.
	CacheTTL time.Duration
	// LocalNetwork is what a page does about the browser's permission. Default LocalNetworkAsk.
	LocalNetwork LocalNetwork
	// RequireBackbone says which leaves are good enough to move to, and to stay on. Default BackboneAlways.
	RequireBackbone Backbone
	// Credentials is what a leaf that was found is shown. Default CredentialsNone, or
	// CredentialsOwn with an Auth here.
	Credentials Credentials
	// Auth is what CredentialsOwn shows.
	Auth Auth
}

// Repair is about messages that get lost with a connection.
type Repair struct {
	// Bytes bounds what is kept of what was published lately. Default 8 MiB; below 0 nothing is kept.
	Bytes int
	// Age is how long it is kept. Default 10 s.
	Age time.Duration
	// Wait is how long messages wait for one before them that is missing. Default 5 s.
	Wait time.Duration
}

// Credentials says what a hub shows a leaf that discovery has found. Whoever serves the
// manifest, on most LANs anybody who wants to, names that leaf.
type Credentials string

const (
	// CredentialsNone, the default: nothing.
	CredentialsNone Credentials = "none"
	// CredentialsTicket: nothing but a ticket, which the leaf gives over the session of the configured servers and which
	// is good once, there. A leaf that gives none is not moved to. (With CredentialsNone tickets are used where leaves give
	// them.)
	CredentialsTicket Credentials = "ticket"
	// CredentialsSame: what the configured servers are shown, from Auth or Authenticator. A
	// token or password can then be used elsewhere by whoever runs the leaf, and with an nkey
	// it can log in to the configured servers for as long as it is connected.
	CredentialsSame Credentials = "same"
	// CredentialsOwn: Discovery.Auth, which is good for leaves only.
	CredentialsOwn Credentials = "own"
)

// Backbone says whether a leaf must be connected to its backbone, before a hub moves there and as long as
// it is there: a hub on a leaf that loses its backbone returns to the configured servers. A leaf
// that does not say, of kinopio-hub 2.1.0, is connected if messages come through.
type Backbone string

const (
	// BackboneAlways, the default: only a leaf that is connected to its backbone, so that nobody who was
	// heard on the configured servers is lost.
	BackboneAlways Backbone = "always"
	// BackboneConfigured: a leaf that has a backbone must be connected to it; one that has none is
	// a LAN of its own.
	BackboneConfigured Backbone = "configured"
	// BackboneNever: any leaf.
	BackboneNever Backbone = "never"
)

// longestPrefix bounds InboxPrefix, in bytes: with all that follows it has to fit into a server's line.
const longestPrefix = 256

// normalize returns cfg with its defaults filled in, or an error that names the field, the
// value and what would be right.
func (cfg Config) normalize() (Config, error) {
	if cfg.Servers == nil {
		cfg.Servers = demoServers
		if isLogger(cfg.Logger) {
			cfg.Logger.Warn("no servers configured: using the public demo servers, which are not for production", "servers", demoServers)
		}
	}
	if len(cfg.Servers) == 0 {
		return cfg, configError("Servers", cfg.Servers, "at least one URL, or nil for the demo servers")
	}
	servers := make([]string, len(cfg.Servers))
	for i, s := range cfg.Servers {
		canonical, err := canonicalURL(s)
		if err != nil {
			return cfg, configError(fmt.Sprintf("Servers[%d]", i), transport.Redact(s), err.Error())
		}
		servers[i] = canonical
	}
	cfg.Servers = servers
	switch cfg.Selection {
	case "":
		cfg.Selection = Latency
	case Latency, Ordered, Random:
	default:
		return cfg, configError("Selection", cfg.Selection, `"latency", "ordered" or "random"`)
	}
	switch cfg.Discovery.LocalNetwork {
	case "":
		cfg.Discovery.LocalNetwork = LocalNetworkAsk
	case LocalNetworkAsk, LocalNetworkAuto, LocalNetworkNever:
	default:
		return cfg, configError("Discovery.LocalNetwork", cfg.Discovery.LocalNetwork, `"ask", "auto" or "never"`)
	}
	switch cfg.Discovery.RequireBackbone {
	case "":
		cfg.Discovery.RequireBackbone = BackboneAlways
	case BackboneConfigured, BackboneAlways, BackboneNever:
	default:
		return cfg, configError("Discovery.RequireBackbone", cfg.Discovery.RequireBackbone, `"configured", "always" or "never"`)
	}
	if err := cfg.Discovery.checkCredentials(); err != nil {
		return cfg, err
	}
	if cfg.Name == "" {
		cfg.Name = "kinopio-hub"
	}
	if cfg.InboxPrefix == "" {
		cfg.InboxPrefix = "_INBOX"
	}
	if err := checkName(cfg.InboxPrefix, false); err != nil || len(cfg.InboxPrefix) > longestPrefix || strings.HasPrefix(cfg.InboxPrefix, "$") || strings.HasPrefix(cfg.InboxPrefix+".", ownPrefix) {
		return cfg, configError("InboxPrefix", cfg.InboxPrefix, `the beginning of a subject, such as "_INBOX_alice", without wildcards, of at most 256 bytes, and not $… or _KH, which are taken`)
	}
	for _, d := range []struct {
		name  string
		value *time.Duration
		def   time.Duration
	}{
		{"ReconnectTimeout", &cfg.ReconnectTimeout, 5 * time.Second},
		{"ReconnectWait", &cfg.ReconnectWait, 500 * time.Millisecond},
		{"RetryDelay", &cfg.RetryDelay, time.Second},
		{"MaxRetryDelay", &cfg.MaxRetryDelay, 30 * time.Second},
		{"PingInterval", &cfg.PingInterval, 3 * time.Second},
		{"Timeout", &cfg.Timeout, 3 * time.Second},
		{"Linger", &cfg.Linger, 5 * time.Second},
		{"ReadLinger", &cfg.ReadLinger, 2 * time.Minute},
		{"HealthReport", &cfg.HealthReport, 5 * time.Second},
		{"Reprobe", &cfg.Reprobe, 10 * time.Minute},
		{"ReprobeGain", &cfg.ReprobeGain, 30 * time.Millisecond},
		{"Repair.Age", &cfg.Repair.Age, 10 * time.Second},
		{"Repair.Wait", &cfg.Repair.Wait, 5 * time.Second},
		{"Discovery.SwitchTimeout", &cfg.Discovery.SwitchTimeout, 1500 * time.Millisecond},
		{"Discovery.CacheTTL", &cfg.Discovery.CacheTTL, 5 * time.Second},
	} {
		if *d.value < 0 {
			return cfg, configError(d.name, *d.value, "a positive duration, or 0 for the default "+d.def.String())
		}
		if *d.value == 0 {
			*d.value = d.def
		}
	}
	if cfg.Repair.Bytes == 0 {
		cfg.Repair.Bytes = 8 << 20
	}
	if cfg.RetryFactor == 0 {
		cfg.RetryFactor = 1.5
	}
	if !(cfg.RetryFactor >= 1) {
		return cfg, configError("RetryFactor", cfg.RetryFactor, "a number from 1, or 0 for the default 1.5")
	}
	for _, n := range []struct {
		name  string
		value *int
		def   int
	}{{"MaxPingOut", &cfg.MaxPingOut, 3}, {"PendingLimit", &cfg.PendingLimit, 8 << 20}} {
		if *n.value < 0 {
			return cfg, configError(n.name, *n.value, fmt.Sprintf("a positive number, or 0 for the default %d", n.def))
		}
		if *n.value == 0 {
			*n.value = n.def
		}
	}
	if cfg.MaxReconnects < NoReconnects {
		return cfg, configError("MaxReconnects", cfg.MaxReconnects, "a positive number, 0 or -1 for no bound, or NoReconnects (-2) for none")
	}
	if cfg.Discovery.Enabled {
		if cfg.Discovery.ManifestURL == "" && cfg.Discovery.Namespace == "" {
			cfg.Discovery.ManifestURL = defaultManifestURL()
		}
		if err := cfg.Discovery.checkNamespace(); err != nil {
			return cfg, err
		}
		u, err := url.Parse(cfg.Discovery.ManifestURL)
		if cfg.Discovery.Namespace != "" && cfg.Discovery.ManifestURL == "" {
			// Through the session alone.
		} else if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
			return cfg, configError("Discovery.ManifestURL", transport.Redact(cfg.Discovery.ManifestURL), "an http or https URL such as https://app.example.com"+manifestPath+", or a Discovery.Namespace to find leaves through the session")
		}
	}
	if err := cfg.Auth.check(); err != nil {
		return cfg, err
	}
	if cfg.leaves = new(leafRecords); cfg.Discovery.Enabled {
		cfg.Authenticator = cfg.leafAuthenticator()
	}
	if slices.Contains(cfg.Dialers, nil) {
		return cfg, configError("Dialers", "nil", "dialers, or nothing for the platform's own")
	}
	if cfg.Dialers == nil {
		cfg.Dialers = defaultDialers(cfg.TLS)
	}
	if cfg.Page == nil {
		cfg.Page = defaultPage()
	}
	if !isLogger(cfg.Logger) {
		cfg.Logger = silent{}
	}
	return cfg, nil
}

// canonicalURL is a server's one identity: scheme, host in lower case, port, path. Credentials
// stay in it; compare and show servers through [transport.Redact].
func canonicalURL(raw string) (string, error) {
	const want = "a URL such as nats://host:4222 or wss://host:443"
	u, err := url.Parse(strings.TrimSpace(raw))
	if err != nil || u.Host == "" || u.Hostname() == "" {
		return "", fmt.Errorf("%s", want)
	}
	if strings.Contains(u.Hostname(), ":") && !strings.HasPrefix(u.Host, "[") { // host:1:2, or an IPv6 address
		return "", fmt.Errorf("%s, with an IPv6 address in brackets", want)
	}
	u.Scheme = strings.ToLower(u.Scheme)
	if err := toASCII(u); err != nil {
		return "", fmt.Errorf("%s: %w", want, err)
	}
	u.Host = strings.ToLower(u.Host)
	port := map[string]string{"nats": "4222", "tls": "4222", "ws": "80", "wss": "443"}[u.Scheme]
	if port == "" {
		return "", fmt.Errorf("%s; the scheme is one of nats, tls, ws, wss", want)
	}
	if u.Port() == "" {
		u.Host = strings.TrimSuffix(u.Host, ":") + ":" + port
	}
	if u.Path == "/" {
		u.Path = ""
	}
	u.Fragment = ""
	return u.String(), nil
}
