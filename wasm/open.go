package main

import (
	"fmt"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
	"github.com/kinopio-hub/kinopio-hub/v3/internal/plainjson"
	"github.com/kinopio-hub/kinopio-hub/v3/transport"
)

// openHub opens the hub of s and passes on what it has to say as rows.
func openHub(s *pageHub, text []byte) (*hub.Hub, error) {
	r, err := plainjson.Read(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", hub.ErrInvalidConfig, err)
	}
	cfg := readConfig(r)
	if r.Bool("authenticator") {
		cfg.Authenticator = s.ask
	}
	functions.KeepValues(&cfg,
		func(subject string) { s.out.text(rowDenied, 0, 0, subject) },
		func(online bool) {
			var aux uint32
			if online {
				aux = 1
			}
			s.out.text(rowLink, 0, aux, "")
		})
	cfg.Logger = logRows{out: &s.out, debug: r.Bool("debug")}
	cfg.Dialers = []transport.Dialer{s.dialer}
	if err := r.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", hub.ErrInvalidConfig, err)
	}
	h, err := hub.Open(s.ctx, cfg)
	if err != nil {
		return nil, err
	}
	h.OnStateChange(func(state hub.State) { s.out.text(rowState, 0, 1, statusJSON(h, state)) })
	h.OnMissing(func(m hub.Missing) { s.out.text(rowMissing, 0, 0, missingJSON(m)) })
	h.OnMove(func(m hub.Move) { s.out.text(rowMove, 0, 0, moveJSON(m)) })
	h.OnDiscovery(func(d hub.DiscoveryStatus) { s.out.text(rowDiscovery, 0, 0, discoveryJSON(d)) })
	h.OnError(func(err error) { s.out.fail(rowError, 0, err) })
	return h, nil
}

// readConfig reads what JavaScript sends to open a hub; npm/src/options.ts writes it. What is
// missing has the default of [hub.Config].
func readConfig(r *plainjson.Reader) hub.Config {
	millis := func(name string) time.Duration {
		return time.Duration(r.Number(name) * float64(time.Millisecond))
	}
	number := func(name string) int { return int(r.Int(name)) }
	return hub.Config{
		Servers:          r.Texts("servers"),
		Selection:        hub.Selection(r.Text("selection")),
		Standby:          r.Bool("standby"),
		Name:             r.Text("name"),
		InboxPrefix:      r.Text("inboxPrefix"),
		NoEcho:           r.Bool("noEcho"),
		ManualConnect:    r.Bool("manualConnect"),
		FailFast:         r.Bool("failFast"),
		NoRetry:          r.Bool("noRetry"),
		MaxReconnects:    number("maxReconnects"),
		ReconnectTimeout: millis("reconnectTimeout"),
		ReconnectWait:    millis("reconnectWait"),
		RetryDelay:       millis("retryDelay"),
		RetryFactor:      r.Number("retryFactor"),
		MaxRetryDelay:    millis("maxRetryDelay"),
		PingInterval:     millis("pingInterval"),
		MaxPingOut:       number("maxPingOut"),
		Timeout:          millis("timeout"),
		PendingLimit:     number("pendingLimit"),
		HealthReport:     millis("healthReport"),
		Reprobe:          millis("reprobe"),
		ReprobeGain:      millis("reprobeGain"),
		NoNumbers:        r.Bool("noNumbers"),
		Repair: hub.Repair{
			Bytes: number("repairBytes"),
			Age:   millis("repairAge"),
			Wait:  millis("repairWait"),
		},
		Auth: readAuth(r.Object("auth")),
		Discovery: hub.Discovery{
			Enabled:           r.Bool("discovery"),
			ManifestURL:       r.Text("manifestUrl"),
			Namespace:         r.Text("namespace"),
			NamespaceKey:      r.Text("namespaceKey"),
			NoBackgroundProbe: r.Bool("noBackgroundProbe"),
			SwitchTimeout:     millis("switchTimeout"),
			CacheTTL:          millis("cacheTtl"),
			LocalNetwork:      hub.LocalNetwork(r.Text("localNetwork")),
			RequireBackbone:   hub.Backbone(r.Text("requireBackbone")),
			Credentials:       hub.Credentials(r.Text("leafCredentials")),
			Auth:              readAuth(r.Object("leafAuth")),
		},
	}
}

// What follows are objects that npm/src/session.ts reads; durations are in milliseconds.

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func errorJSON(err error) string {
	if err == nil {
		return "null"
	}
	var w plainjson.Writer
	return w.Text("code", hub.Code(err)).Text("message", err.Error()).String()
}

func discoveryJSON(d hub.DiscoveryStatus) string {
	var w plainjson.Writer
	return w.Text("state", string(d.State)).Text("detail", d.Detail).String()
}

func statusJSON(h *hub.Hub, state hub.State) string {
	var w plainjson.Writer
	s := h.Status()
	return w.Text("state", string(state)).
		Text("server", s.Server).
		Text("via", s.Via).
		Number("rttMs", millis(s.RTT)).
		Int("maxPayload", int64(s.MaxPayload)).
		Text("standby", s.Standby).
		Int("moves", int64(s.Moves)).
		Int("reconnects", int64(s.Reconnects)).
		Int("subscriptions", int64(s.Subscriptions)).
		Int("pendingBytes", int64(s.PendingBytes)).
		Bool("isolated", s.Isolated).
		Int("missing", int64(s.Missing)).
		Int("repairing", int64(s.Repairing)).
		Text("phase", string(s.Phase)).
		Raw("lastError", errorJSON(s.LastError)).
		Raw("discovery", discoveryJSON(h.DiscoveryStatus())).
		String()
}

func healthJSON(h hub.Health) string {
	var w plainjson.Writer
	return w.Text("state", string(h.State)).
		Text("server", h.Server).
		Number("rttMs", millis(h.RTT)).
		Int("reconnects", int64(h.Reconnects)).
		Int("moves", int64(h.Moves)).
		Int("switches", int64(h.Moves)).
		Int("inMessages", int64(h.InMessages)).
		Int("outMessages", int64(h.OutMessages)).
		Int("inBytes", int64(h.InBytes)).
		Int("outBytes", int64(h.OutBytes)).
		Int("subscriptions", int64(h.Subscriptions)).
		Int("pendingBytes", int64(h.PendingBytes)).
		Int("pending", int64(h.PendingBytes)).
		String()
}

func missingJSON(m hub.Missing) string {
	var w plainjson.Writer
	return w.Text("subject", m.Subject).
		Text("publisher", m.Publisher).
		Int("from", int64(m.From)).
		Int("to", int64(m.To)).
		String()
}

func moveJSON(m hub.Move) string {
	var w plainjson.Writer
	return w.Text("from", m.From).
		Text("to", m.To).
		Text("via", m.Via).
		Text("reason", m.Reason).
		Bool("planned", m.Planned).
		Text("phase", string(m.Phase)).
		Number("tookMs", millis(m.Took)).
		Number("heldMs", millis(m.Held)).
		Number("tripMs", millis(m.Trip)).
		Number("overlapMs", millis(m.Overlap)).
		Bool("isolated", m.Isolated).
		Raw("error", errorJSON(m.Err)).
		String()
}

// logRows passes the hub's lines on to JavaScript, with levels as those of log/slog plus 8.
type logRows struct {
	out   *rowBuffer
	debug bool
}

func (l logRows) Debug(msg string, args ...any) {
	if l.debug {
		l.line(4, msg, args)
	}
}
func (l logRows) Warn(msg string, args ...any)  { l.line(12, msg, args) }
func (l logRows) Error(msg string, args ...any) { l.line(16, msg, args) }

func (l logRows) line(level uint32, msg string, args []any) {
	for i := 0; i+1 < len(args); i += 2 {
		msg += fmt.Sprintf(" %v=%v", args[i], args[i+1])
	}
	l.out.text(rowLog, 0, level, msg)
}
