package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/kinopio-hub/kinopio-hub/hub"
	"github.com/kinopio-hub/kinopio-hub/transport"
)

// millis is a duration as JavaScript writes it.
type millis float64

func (m millis) duration() time.Duration {
	return time.Duration(float64(m) * float64(time.Millisecond))
}

func toMillis(d time.Duration) millis { return millis(float64(d) / float64(time.Millisecond)) }

// config is what JavaScript sends to open a hub; npm/src/options.ts writes it. A zero value
// stands for the default of [hub.Config].
type config struct {
	Servers           []string `json:"servers"`
	Selection         string   `json:"selection"`
	Moves             string   `json:"moves"`
	Standby           bool     `json:"standby"`
	Name              string   `json:"name"`
	NoEcho            bool     `json:"noEcho"`
	ManualConnect     bool     `json:"manualConnect"`
	FailFast          bool     `json:"failFast"`
	NoRetry           bool     `json:"noRetry"`
	MaxReconnects     int      `json:"maxReconnects"`
	ReconnectTimeout  millis   `json:"reconnectTimeout"`
	ReconnectWait     millis   `json:"reconnectWait"`
	RetryDelay        millis   `json:"retryDelay"`
	RetryFactor       float64  `json:"retryFactor"`
	MaxRetryDelay     millis   `json:"maxRetryDelay"`
	PingInterval      millis   `json:"pingInterval"`
	MaxPingOut        int      `json:"maxPingOut"`
	Timeout           millis   `json:"timeout"`
	PendingLimit      int      `json:"pendingLimit"`
	HealthReport      millis   `json:"healthReport"`
	Reprobe           millis   `json:"reprobe"`
	ReprobeGain       millis   `json:"reprobeGain"`
	Auth              hub.Auth `json:"auth"`
	Authenticator     bool     `json:"authenticator"`
	Debug             bool     `json:"debug"`
	Discovery         bool     `json:"discovery"`
	ManifestURL       string   `json:"manifestUrl"`
	NoBackgroundProbe bool     `json:"noBackgroundProbe"`
	SwitchTimeout     millis   `json:"switchTimeout"`
	CacheTTL          millis   `json:"cacheTtl"`
	LocalNetwork      string   `json:"localNetwork"`
	RequireBackbone   string   `json:"requireBackbone"`
}

// openHub opens the hub of s and passes on what it has to say as rows.
func openHub(s *session, text []byte) (*hub.Hub, error) {
	var c config
	if err := json.Unmarshal(text, &c); err != nil {
		return nil, fmt.Errorf("%w: %w", hub.ErrInvalidConfig, err)
	}
	cfg := hub.Config{
		Servers:          c.Servers,
		Selection:        hub.Selection(c.Selection),
		Moves:            hub.Moves(c.Moves),
		Standby:          c.Standby,
		Name:             c.Name,
		NoEcho:           c.NoEcho,
		ManualConnect:    c.ManualConnect,
		FailFast:         c.FailFast,
		NoRetry:          c.NoRetry,
		MaxReconnects:    c.MaxReconnects,
		ReconnectTimeout: c.ReconnectTimeout.duration(),
		ReconnectWait:    c.ReconnectWait.duration(),
		RetryDelay:       c.RetryDelay.duration(),
		RetryFactor:      c.RetryFactor,
		MaxRetryDelay:    c.MaxRetryDelay.duration(),
		PingInterval:     c.PingInterval.duration(),
		MaxPingOut:       c.MaxPingOut,
		Timeout:          c.Timeout.duration(),
		PendingLimit:     c.PendingLimit,
		HealthReport:     c.HealthReport.duration(),
		Reprobe:          c.Reprobe.duration(),
		ReprobeGain:      c.ReprobeGain.duration(),
		Auth:             c.Auth,
		Discovery: hub.Discovery{
			Enabled:           c.Discovery,
			ManifestURL:       c.ManifestURL,
			NoBackgroundProbe: c.NoBackgroundProbe,
			SwitchTimeout:     c.SwitchTimeout.duration(),
			CacheTTL:          c.CacheTTL.duration(),
			LocalNetwork:      hub.LocalNetwork(c.LocalNetwork),
			RequireBackbone:   hub.Backbone(c.RequireBackbone),
		},
		Dialers: []transport.Dialer{s.dialer},
	}
	if c.Authenticator {
		cfg.Authenticator = s.ask
	}
	level := slog.LevelWarn
	if c.Debug {
		level = slog.LevelDebug
	}
	cfg.Logger = slog.New(&logRows{out: &s.out, level: level})
	h, err := hub.Open(s.ctx, cfg)
	if err != nil {
		return nil, err
	}
	h.OnStateChange(func(state hub.State) { s.out.text(rowState, 0, 1, statusJSON(h, state)) })
	h.OnMove(func(m hub.Move) { s.out.text(rowMove, 0, 0, moveJSON(m)) })
	h.OnDiscovery(func(d hub.DiscoveryStatus) { s.out.text(rowDiscovery, 0, 0, toJSON(toDiscovery(d))) })
	h.OnError(func(err error) { s.out.fail(rowError, 0, err) })
	return h, nil
}

// failure is an error in JSON.
type failure struct {
	Code    string `json:"code"`
	Message string `json:"message"`
}

func toFailure(err error) *failure {
	if err == nil {
		return nil
	}
	return &failure{hub.Code(err), err.Error()}
}

// discovery is a hub's search for the leaf, as JavaScript reads it.
type discovery struct {
	State  hub.DiscoveryState `json:"state"`
	Detail string             `json:"detail"`
}

func toDiscovery(d hub.DiscoveryStatus) discovery { return discovery{d.State, d.Detail} }

func statusJSON(h *hub.Hub, state hub.State) string {
	status := h.Status()
	return toJSON(struct {
		State         hub.State `json:"state"`
		Server        string    `json:"server"`
		Via           string    `json:"via"`
		RTT           millis    `json:"rttMs"`
		MaxPayload    int       `json:"maxPayload"`
		Standby       string    `json:"standby"`
		Moves         int       `json:"moves"`
		Reconnects    int       `json:"reconnects"`
		Subscriptions int       `json:"subscriptions"`
		PendingBytes  int       `json:"pendingBytes"`
		Isolated      bool      `json:"isolated"`
		Missing       uint64    `json:"missing"`
		LastError     *failure  `json:"lastError"`
		Discovery     discovery `json:"discovery"`
	}{
		state, status.Server, status.Via, toMillis(status.RTT), status.MaxPayload, status.Standby, status.Moves,
		status.Reconnects, status.Subscriptions, status.PendingBytes, status.Isolated, status.Missing, toFailure(status.LastError),
		toDiscovery(h.DiscoveryStatus()),
	})
}

func healthJSON(h hub.Health) string {
	return toJSON(struct {
		State         hub.State `json:"state"`
		Server        string    `json:"server"`
		RTT           millis    `json:"rttMs"`
		Reconnects    int       `json:"reconnects"`
		Moves         int       `json:"moves"`
		Switches      int       `json:"switches"`
		InMessages    uint64    `json:"inMessages"`
		OutMessages   uint64    `json:"outMessages"`
		InBytes       uint64    `json:"inBytes"`
		OutBytes      uint64    `json:"outBytes"`
		Subscriptions int       `json:"subscriptions"`
		PendingBytes  int       `json:"pendingBytes"`
		Pending       int       `json:"pending"`
	}{
		h.State, h.Server, toMillis(h.RTT), h.Reconnects, h.Moves, h.Moves, h.InMessages, h.OutMessages,
		h.InBytes, h.OutBytes, h.Subscriptions, h.PendingBytes, h.PendingBytes,
	})
}

func moveJSON(m hub.Move) string {
	return toJSON(struct {
		From     string   `json:"from"`
		To       string   `json:"to"`
		Via      string   `json:"via"`
		Reason   string   `json:"reason"`
		Planned  bool     `json:"planned"`
		Took     millis   `json:"tookMs"`
		Held     millis   `json:"heldMs"`
		Overlap  millis   `json:"overlapMs"`
		Isolated bool     `json:"isolated"`
		Error    *failure `json:"error"`
	}{m.From, m.To, m.Via, m.Reason, m.Planned, toMillis(m.Took), toMillis(m.Held), toMillis(m.Overlap), m.Isolated, toFailure(m.Err)})
}

func toJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return "{}" // of plain fields: cannot be
	}
	return string(b)
}

// logRows is a slog.Handler that passes lines on to JavaScript.
type logRows struct {
	out   *outbox
	level slog.Level
	attrs string
}

func (l *logRows) Enabled(_ context.Context, level slog.Level) bool { return level >= l.level }

func (l *logRows) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	b.WriteString(r.Message)
	b.WriteString(l.attrs)
	r.Attrs(func(a slog.Attr) bool {
		writeAttr(&b, a)
		return true
	})
	l.out.text(rowLog, 0, uint32(r.Level+8), b.String())
	return nil
}

func (l *logRows) WithAttrs(attrs []slog.Attr) slog.Handler {
	var b strings.Builder
	b.WriteString(l.attrs)
	for _, a := range attrs {
		writeAttr(&b, a)
	}
	return &logRows{l.out, l.level, b.String()}
}

func (l *logRows) WithGroup(string) slog.Handler { return l }

func writeAttr(b *strings.Builder, a slog.Attr) {
	b.WriteByte(' ')
	b.WriteString(a.Key)
	b.WriteByte('=')
	b.WriteString(a.Value.String())
}
