package leaf

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/nats-io/nuid"

	"github.com/kinopio-hub/kinopio-hub/v3/tlsca"
)

// Config of a leaf. Only DiscoveryNamespace is required; every other zero value has
// the meaning that its comment gives.
type Config struct {
	// DiscoveryNamespace names the system of which this leaf is a part.
	DiscoveryNamespace string

	// BackboneServers are the leafnode listeners of the backbone, all of one kind:
	// nats://, nats-leaf:// or host:port (port 7422), tls:// (7422), ws:// (80) or
	// wss:// (443). Credentials may stand in the URL; they are passed on and never
	// shown. Empty: the leaf stands alone. The leaf starts whether or not they answer.
	BackboneServers []string

	// BackboneTLS is used for tls:// and wss:// backbones. nil: the roots that this
	// machine trusts, and no client certificate. Files of Backbone are added to it.
	BackboneTLS *tls.Config

	// Backbone says how to log in to the backbone, and how to speak with it.
	Backbone BackboneOptions

	// AdvertisedHostname is the name or address in the URLs that are given to others.
	// Empty: the LAN address.
	AdvertisedHostname string

	// NodeID identifies this node. Empty: a new random one for each start.
	NodeID string

	// CacheDir is the directory below which the CA is kept (kinopio-hub/leaf-ca).
	// Empty: os.UserCacheDir().
	CacheDir string

	// RuntimeDir is for files that live as long as the leaf (its log, its public
	// certificate); a leaf that is running keeps it for itself. Stop removes those
	// files, and the directory if Start made it. Empty: a new temporary directory.
	RuntimeDir string

	// LANBindAddress is the IP address for WebSockets and the manifest. Empty: this
	// machine's private IPv4 address, else 127.0.0.1; when that address goes and
	// another comes, the listeners move to it.
	LANBindAddress string

	// NoWebSocketTLS serves ws:// and http:// instead of wss:// and https://.
	NoWebSocketTLS bool

	// NoWebTransport leaves out the listener for browsers that need trust no CA: it knows
	// them by a hash in the manifest, and takes their sessions at the UDP port of
	// the WebSockets' number.
	NoWebTransport bool

	// Ports of the listeners. 0: one that is free.
	Ports Ports

	// TLS brings a certificate of the caller's own. Zero: one from this machine's CA.
	TLS TLSFiles

	// Trust, if not nil, puts the root of this machine's CA into the trust stores that
	// it describes, during the start and for at most 8 s. What was taken out by
	// tlsca.CA.RemoveTrust stays out. nil: no trust store is touched.
	Trust *tlsca.TrustOptions

	// Access says who may use the leaf. Zero: everybody.
	Access Access

	// AllowedOrigins are the origins (https://app.example.com) whose pages may open
	// WebSockets and read the manifest; the leaf's own is always among them. Empty:
	// any. Programs that are no browser name no origin and are not held back by this.
	AllowedOrigins []string

	// MaxConnections is how many clients may be connected. 0: 4096.
	MaxConnections int

	// MaxPayload is the largest message in bytes. 0: 1 MiB. It is lowered to what the
	// backbone takes, because a larger message would cut the bridge.
	MaxPayload int

	// ServeDir, if not empty, is a directory that is served beside the manifest, so
	// that a page and its leaf have one origin. Links out of it are not followed.
	ServeDir string

	// Leadership, if not nil, is asked for each manifest whether this leaf leads its
	// namespace: an election decides. It may be called from any goroutine. nil: it leads,
	// being the only one.
	Leadership func() Leadership

	// NamespaceSecret, of at least 16 bytes, is known to all leaves of the namespace: what the leaf answers to hubs over
	// its bridge is signed by a key that is made from it. [NamespaceKey] is its public half. Empty: no signature.
	NamespaceSecret string

	// Keep, if not nil, keeps the values that hubs set at this leaf, and over its bridge. nil: nothing is kept.
	Keep KeepFunc

	// PublicAddresses are those that the internet sees this LAN at, by which hubs know that the leaf is near. Empty: asked
	// of the backbone.
	PublicAddresses []string

	// BackboneClientServer is the listener of the backbone that is asked, one for clients: nats://, tls://, ws:// or wss://.
	// Empty: port 4222 of BackboneServers, or the same URL if that is ws:// or wss://.
	BackboneClientServer string

	// Logger hears warnings and errors, and at debug level what the server says. nil
	// is silent. The log file in the runtime directory is written in any case.
	Logger *slog.Logger

	// OnChange, if not nil, is called with the first status before Start returns, and
	// then with each one that differs from the last, one call at a time, from a
	// goroutine of the leaf. The last call, with phase "stopped", ends before Stop
	// returns. It must not call Stop.
	OnChange func(Status)

	lookup       *lanLookup    // For tests. nil: this machine's interfaces.
	times        wtTimes       // For tests. Zero: wtUsual.
	front        bool          // For tests: a front as where nothing sweeps.
	frontSilence time.Duration // And how long it lets who says nothing be.
}

// Ports of the four listeners; 0 chooses a free one.
type Ports struct {
	Client    int `json:"client"`
	WebSocket int `json:"websocket"`
	Discovery int `json:"discovery"`
	Monitor   int `json:"monitor"`
}

// TLSFiles names a certificate chain and its key, both PEM. Both or neither.
type TLSFiles struct {
	CertFile string
	KeyFile  string
}

const (
	defaultMaxConnections = 4096 // At about 70 KB for a page.
	defaultMaxPayload     = 1 << 20
	largestMaxPayload     = 64 << 20 // nats-server refuses more.
)

// settings is a Config that has been checked and completed.
type settings struct {
	Config
	lan      netip.Addr
	autoLAN  bool // Detected, so it may change.
	autoHost bool // The advertised name follows the LAN address.
	backbone backbone
	access   access
	signer   *signer // nil without a secret.
}

// normalize checks c and fills in what it leaves open. It looks at this machine's
// interfaces, reads the small files that c names, and changes nothing.
func (c Config) normalize() (*settings, error) {
	s := &settings{Config: c}
	if s.Logger == nil {
		s.Logger = slog.New(slog.DiscardHandler)
	}

	if err := checkWord("DiscoveryNamespace", s.DiscoveryNamespace, 128, "a name that the nodes of one system share, such as studio"); err != nil {
		return nil, err
	}
	if s.NodeID == "" {
		s.NodeID = strings.ToLower(nuid.Next())
	}
	if err := checkWord("NodeID", s.NodeID, 64, "a short word such as the machine's name, or empty for a random one"); err != nil {
		return nil, err
	}

	var err error
	if s.lookup == nil {
		s.lookup = &lanLookup{detect: detectLAN, present: presentAddrs, next: nextLAN, every: lookLAN}
	}
	if s.times == (wtTimes{}) {
		s.times = wtUsual
	}
	if s.LANBindAddress == "" {
		s.autoLAN = true
		s.lan = s.lookup.detect()
		s.LANBindAddress = s.lan.String()
	} else if s.lan, err = netip.ParseAddr(s.LANBindAddress); err != nil {
		return nil, fieldError("LANBindAddress", s.LANBindAddress, "not an IP address: give one of this machine's, or leave it empty to have it detected")
	}
	if s.AdvertisedHostname == "" {
		s.autoHost = true
		addr := s.lan
		if addr.IsUnspecified() {
			addr = s.lookup.detect()
		}
		s.AdvertisedHostname = addr.String()
	}
	if u, err := url.Parse((&url.URL{Scheme: "https", Host: net.JoinHostPort(s.AdvertisedHostname, "1")}).String()); err != nil || u.Hostname() != s.AdvertisedHostname || strings.ContainsAny(s.AdvertisedHostname, "/@ ") {
		return nil, fieldError("AdvertisedHostname", s.AdvertisedHostname, "not a hostname: give a name or an IP address without scheme and port")
	}

	if err := s.Ports.check(); err != nil {
		return nil, err
	}
	if (s.TLS.CertFile == "") != (s.TLS.KeyFile == "") {
		return nil, fieldError("TLS", s.TLS.CertFile+s.TLS.KeyFile, "a certificate file and a key file belong together: give both or neither")
	}
	if s.TLS.CertFile != "" && s.NoWebSocketTLS {
		return nil, fieldError("TLS", s.TLS.CertFile, "given although NoWebSocketTLS is set: leave one of them out")
	}
	for i, o := range s.AllowedOrigins {
		if i == 0 {
			s.AllowedOrigins = slices.Clone(s.AllowedOrigins)
		}
		if s.AllowedOrigins[i], err = CleanOrigin(o); err != nil {
			return nil, err
		}
	}
	if err := s.limits(); err != nil {
		return nil, err
	}
	if s.ServeDir != "" {
		if info, err := os.Stat(s.ServeDir); err != nil || !info.IsDir() {
			return nil, fieldError("ServeDir", s.ServeDir, "not a directory: give the one that holds index.html")
		}
	}
	if s.access, err = s.Access.normalize(); err != nil {
		return nil, err
	}
	if s.signer, err = newSigner(s.NamespaceSecret, s.DiscoveryNamespace); err != nil {
		return nil, err
	}
	if err := s.checkPublic(); err != nil {
		return nil, err
	}
	if s.backbone, err = parseBackbone(s.BackboneServers); err != nil {
		return nil, err
	}
	if err := s.backbone.complete(s.Backbone, s.BackboneTLS); err != nil {
		return nil, err
	}
	if s.CacheDir == "" && !s.NoWebSocketTLS && s.TLS.CertFile == "" {
		if s.CacheDir, err = os.UserCacheDir(); err != nil {
			return nil, &ConfigError{Field: "CacheDir", Problem: noCacheDir(err), Err: err}
		}
	}
	return s, nil
}

// noCacheDir says what is missing where the system knows no place for a user's files.
func noCacheDir(err error) string {
	return fmt.Sprintf("not given, and this user has no cache directory (%v): name one for the CA", err)
}

// Check says what Start would refuse of c, without starting anything: its fields, the files that
// it names, the CA (which is made if it is not there), the runtime directory, and the address and ports that
// were asked for, which are taken for a moment.
func (c Config) Check() error {
	set, err := c.normalize()
	if err != nil {
		return err
	}
	dir, err := openRunDir(c.RuntimeDir)
	if err != nil {
		return err
	}
	defer dir.remove()
	if _, err := openCertificate(set, dir); err != nil {
		return err
	}
	web, err := newWebHandler(set, func() *Manifest { return nil }, func() []string { return nil })
	if err != nil {
		return err
	}
	web.close()
	return set.tryToListen()
}

// tryToListen says what an address or a port that was asked for would be refused for.
func (s *settings) tryToListen() error {
	for _, l := range []struct {
		role, host string
		port       int
		asked      bool
	}{
		{"websocket", s.lan.String(), s.Ports.WebSocket, !s.autoLAN || s.Ports.WebSocket != 0},
		{"discovery", s.lan.String(), s.Ports.Discovery, s.Ports.Discovery != 0},
		{"client", loopbackHost, s.Ports.Client, s.Ports.Client != 0},
		{"monitor", loopbackHost, s.Ports.Monitor, s.Ports.Monitor != 0},
	} {
		if !l.asked {
			continue
		}
		ln, err := net.Listen("tcp", net.JoinHostPort(l.host, strconv.Itoa(l.port)))
		switch {
		case err == nil:
			ln.Close()
		case s.autoLAN && l.host == s.lan.String() && notHere(err):
			// Nobody asked for that address, which may be a new one that the system is about to give.
		default:
			return listenError(l.role, l.host, l.port, err)
		}
	}
	return nil
}

func (s *settings) limits() error {
	if s.MaxConnections == 0 {
		s.MaxConnections = defaultMaxConnections
	}
	if s.MaxConnections < 0 {
		return fieldError("MaxConnections", fmt.Sprint(s.MaxConnections), "not a number of clients: give 1 or more, or 0 for 4096")
	}
	if s.MaxPayload == 0 {
		s.MaxPayload = defaultMaxPayload
	}
	if s.MaxPayload < 0 || s.MaxPayload > largestMaxPayload {
		return fieldError("MaxPayload", fmt.Sprint(s.MaxPayload), fmt.Sprintf("not a size: give 1 to %d bytes, or 0 for 1 MiB", largestMaxPayload))
	}
	return nil
}

// CleanOrigin is an origin as browsers write it: no path, no default port.
func CleanOrigin(o string) (string, error) {
	u, err := url.Parse(strings.ToLower(o))
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil ||
		(u.Path != "" && u.Path != "/") || u.RawQuery != "" || u.Fragment != "" {
		return "", fieldError("AllowedOrigins", o, "not an origin: give scheme and host, such as https://app.example.com")
	}
	host := u.Host
	if (u.Scheme == "https" && u.Port() == "443") || (u.Scheme == "http" && u.Port() == "80") {
		host = strings.TrimSuffix(host, ":"+u.Port())
	}
	return u.Scheme + "://" + host, nil
}

func (p Ports) check() error {
	roles := []struct {
		role string
		port int
	}{{"Client", p.Client}, {"WebSocket", p.WebSocket}, {"Discovery", p.Discovery}, {"Monitor", p.Monitor}}
	taken := map[int]string{}
	for _, r := range roles {
		if r.port < 0 || r.port > 65535 {
			return fieldError("Ports."+r.role, fmt.Sprint(r.port), "not a port: give 1 to 65535, or 0 for a free one")
		}
		if other, ok := taken[r.port]; ok && r.port != 0 {
			return fieldError("Ports."+r.role, fmt.Sprint(r.port), "the same as Ports."+other+": each listener needs its own")
		}
		taken[r.port] = r.role
	}
	return nil
}

func checkWord(field, value string, limit int, right string) error {
	switch {
	case value == "":
		return fieldError(field, "", "empty: give "+right)
	case len(value) > limit:
		return fieldError(field, value, fmt.Sprintf("longer than %d bytes: give %s", limit, right))
	case strings.ContainsFunc(value, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsGraphic(r) || r == '\uFFFD' }):
		return fieldError(field, value, "contains blanks or control characters: give "+right)
	}
	return nil
}

// ConfigError says which field of a [Config] cannot be used, its value (without
// credentials), and what would be right.
type ConfigError struct {
	Field, Value, Problem string
	Err                   error // The cause, if there is one.
}

func (e *ConfigError) Error() string { return fmt.Sprintf("%s %q: %s", e.Field, e.Value, e.Problem) }

func (e *ConfigError) Unwrap() error { return e.Err }

func fieldError(field, value, problem string) error {
	return &ConfigError{Field: field, Value: value, Problem: problem}
}
