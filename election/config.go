package election

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"strings"
	"time"
)

// Config of an agent. DiscoveryNamespace and Starter are required.
type Config struct {
	// DiscoveryNamespace names the system: agents of other namespaces are not heard.
	DiscoveryNamespace string

	// NodeID identifies this node. Empty: the one that is kept in the cache, which stays
	// the same from start to start.
	NodeID string

	// CacheDir is the directory below which identity and count are kept
	// (kinopio-hub/auto-leaf). Empty: os.UserCacheDir().
	CacheDir string

	// BackboneServers are measured: the lowest round-trip time to one of them is this
	// agent's priority. URLs or host:port; without a port 7422, for ws:// 80 and for
	// wss:// 443.
	BackboneServers []string

	// LeaderMissingGrace is for how long a silent leader is waited for. 0: 10 s. At most
	// an hour.
	LeaderMissingGrace time.Duration

	// FastFailover holds a TCP connection to the leader. When it breaks, and the host
	// refuses another, the leader's process has ended, and no grace is waited for.
	FastFailover bool

	// WarmStandby keeps a leaf started while another agent leads. Nobody is told of it.
	WarmStandby bool

	// NamespaceSecret, of at least 16 bytes, is known to all agents of the namespace: those
	// that do not prove it are not heard, those of 2.1.0 among them. Empty: no proof.
	NamespaceSecret string

	// Starter starts leaves.
	Starter Starter

	// Logger hears what goes wrong and who leads. nil is silent.
	Logger *slog.Logger

	// OnChange, if not nil, is called with each status that differs from the last one, one
	// call at a time, from a goroutine of the agent. It must not wait for the agent.
	OnChange func(AgentStatus)

	bus bus // For tests, without mDNS. nil: the LAN's.
}

// Starter starts leaves; the election knows nothing else of them.
type Starter interface {
	// Start starts a leaf, and returns when it serves or cannot. It ends early when ctx
	// ends. After an error nothing is left of the leaf. Of all leaves of one Starter only
	// one is there at a time.
	Start(ctx context.Context, term Term) (Leaf, error)
}

// Placer is what a Starter may be, too: one that knows from where a leaf could be reached that it would start now. It is
// asked once a second at most.
type Placer interface{ Place() Place }

// Term is what a leaf is started for.
type Term struct {
	NodeID string // The leaf's manifest must have it.
	Epoch  int64  // Under which it will lead if nothing else happens; [Agent.Leadership] knows.
}

// Leaf is one that runs.
type Leaf interface {
	// Manifest says where the leaf is; nil when it cannot be used at the moment. It may be
	// called from any goroutine.
	Manifest() *Manifest
	// Done is closed when the leaf has ended by itself; Err then says why.
	Done() <-chan struct{}
	Err() error
	// Stop ends the leaf, and returns when nothing of it is left; also after Done, and
	// when it is called twice.
	Stop(ctx context.Context)
}

// bus is what heartbeats travel on.
type bus interface {
	Send(data []byte) error
	Receive() <-chan datagram
	Problems() []string // What does not work at the moment, for people.
	Close() error
}

// datagram is what came, and by which interface; "" when that is not known.
type datagram struct {
	data  []byte
	netif string
}

// ConfigError says which field of a [Config] cannot be used, and what would be right.
type ConfigError struct{ Field, Value, Problem string }

func (e *ConfigError) Error() string { return fmt.Sprintf("%s %q: %s", e.Field, e.Value, e.Problem) }

const mostGrace = time.Hour

func (c Config) normalize() (Config, *proofKey, error) {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if err := checkName("it", c.DiscoveryNamespace); err != nil {
		return c, nil, &ConfigError{"DiscoveryNamespace", c.DiscoveryNamespace, err.Error() + ": give a name that the nodes of one system share, such as studio"}
	}
	if c.NodeID != "" {
		if err := checkName("it", c.NodeID); err != nil {
			return c, nil, &ConfigError{"NodeID", c.NodeID, err.Error() + ": give a short word, or nothing for one that is kept in the cache"}
		}
	}
	if c.LeaderMissingGrace < 0 || c.LeaderMissingGrace > mostGrace {
		return c, nil, &ConfigError{"LeaderMissingGrace", c.LeaderMissingGrace.String(), "not a time to wait: give up to an hour, or 0 for 10 s"}
	}
	c.LeaderMissingGrace = cmp.Or(c.LeaderMissingGrace, DefaultGrace)
	if c.Starter == nil {
		return c, nil, &ConfigError{"Starter", "", "missing: give what starts a leaf"}
	}
	for _, s := range c.BackboneServers {
		if _, err := dialAddress(s); err != nil {
			return c, nil, &ConfigError{"BackboneServers", redact(s), err.Error()}
		}
	}
	key, err := newProofKey(c.NamespaceSecret, c.DiscoveryNamespace)
	if err != nil {
		return c, nil, &ConfigError{"NamespaceSecret", "…", err.Error()}
	}
	if c.CacheDir == "" {
		if c.CacheDir, err = os.UserCacheDir(); err != nil {
			return c, nil, &ConfigError{"CacheDir", "", fmt.Sprintf("not given, and this user has no cache directory (%v): name one for this node's identity", err)}
		}
	}
	return c, key, nil
}

// dialAddress is the host:port of a backbone server.
func dialAddress(server string) (string, error) {
	text := server
	if !strings.Contains(text, "://") {
		text = "nats://" + text
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" {
		return "", fmt.Errorf("not a server: give a URL such as nats://backbone.example.com:7422")
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"ws": "80", "wss": "443"}[strings.ToLower(u.Scheme)]
		port = cmp.Or(port, "7422")
	}
	return net.JoinHostPort(u.Hostname(), port), nil
}

// redact leaves credentials out.
func redact(server string) string {
	if i := strings.LastIndex(server, "@"); i >= 0 {
		return "…" + server[i:]
	}
	return server
}
