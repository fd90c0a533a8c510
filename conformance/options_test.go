package conformance

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// An option is one that both languages have: JavaScript's name is its key in optionTable.
type option struct {
	field string // of hub.Config
	set   func(cfg *hub.Config, value json.RawMessage) error
}

// optionTable translates the options of scenarios, and holds docs/options.md to the code.
var optionTable = map[string]option{
	"servers":             {"Servers", into(func(c *hub.Config) *[]string { return &c.Servers })},
	"name":                {"Name", into(func(c *hub.Config) *string { return &c.Name })},
	"noEcho":              {"NoEcho", into(func(c *hub.Config) *bool { return &c.NoEcho })},
	"inboxPrefix":         {"InboxPrefix", into(func(c *hub.Config) *string { return &c.InboxPrefix })},
	"serverSelectionMode": {"Selection", into(func(c *hub.Config) *hub.Selection { return &c.Selection })},
	"autoConnect":         {"ManualConnect", not(func(c *hub.Config) *bool { return &c.ManualConnect })},
	"waitOnFirstConnect":  {"FailFast", not(func(c *hub.Config) *bool { return &c.FailFast })},
	"autoRetry":           {"NoRetry", not(func(c *hub.Config) *bool { return &c.NoRetry })},
	"maxReconnectAttempts": {"MaxReconnects", func(c *hub.Config, value json.RawMessage) error {
		err := json.Unmarshal(value, &c.MaxReconnects)
		if c.MaxReconnects == 0 {
			c.MaxReconnects = hub.NoReconnects
		}
		return err
	}},
	"reconnectTimeout":   {"ReconnectTimeout", millis(func(c *hub.Config) *time.Duration { return &c.ReconnectTimeout })},
	"reconnectTimeWait":  {"ReconnectWait", millis(func(c *hub.Config) *time.Duration { return &c.ReconnectWait })},
	"retryDelay":         {"RetryDelay", millis(func(c *hub.Config) *time.Duration { return &c.RetryDelay })},
	"retryBackoffFactor": {"RetryFactor", into(func(c *hub.Config) *float64 { return &c.RetryFactor })},
	"maxRetryDelay":      {"MaxRetryDelay", millis(func(c *hub.Config) *time.Duration { return &c.MaxRetryDelay })},
	"pingInterval":       {"PingInterval", millis(func(c *hub.Config) *time.Duration { return &c.PingInterval })},
	"maxPingOut":         {"MaxPingOut", into(func(c *hub.Config) *int { return &c.MaxPingOut })},
	"timeout":            {"Timeout", millis(func(c *hub.Config) *time.Duration { return &c.Timeout })},
	"linger":             {"Linger", millis(func(c *hub.Config) *time.Duration { return &c.Linger })},
	"readLinger":         {"ReadLinger", millis(func(c *hub.Config) *time.Duration { return &c.ReadLinger })},
	"pendingLimitBytes":  {"PendingLimit", into(func(c *hub.Config) *int { return &c.PendingLimit })},
	"healthReport":       {"HealthReport", millis(func(c *hub.Config) *time.Duration { return &c.HealthReport })},
	"numbers":            {"NoNumbers", not(func(c *hub.Config) *bool { return &c.NoNumbers })},
	"repair": {"Repair", func(c *hub.Config, value json.RawMessage) error {
		var r struct{ Bytes, AgeMS, WaitMS int }
		err := json.Unmarshal(value, &r)
		c.Repair = hub.Repair{Bytes: r.Bytes, Age: time.Duration(r.AgeMS) * time.Millisecond, Wait: time.Duration(r.WaitMS) * time.Millisecond}
		return err
	}},
	"token":    {"Auth.Token", into(func(c *hub.Config) *string { return &c.Auth.Token })},
	"user":     {"Auth.User", into(func(c *hub.Config) *string { return &c.Auth.User })},
	"pass":     {"Auth.Password", into(func(c *hub.Config) *string { return &c.Auth.Password })},
	"nkeySeed": {"Auth.NkeySeed", into(func(c *hub.Config) *string { return &c.Auth.NkeySeed })},
	"creds":    {"Auth.Creds", into(func(c *hub.Config) *string { return &c.Auth.Creds })},
	"debug": {"Logger", func(c *hub.Config, value json.RawMessage) error {
		c.Logger = slog.New(slog.DiscardHandler) // open gives it its box
		return same(true, value, 0)
	}},
	"codec": {"Codec", func(c *hub.Config, value json.RawMessage) error {
		c.Codec = hexJSON{}
		return same("hex", value, 0)
	}},
	"authenticator": {"Authenticator", func(c *hub.Config, value json.RawMessage) error {
		var gives struct{ Token, User, Pass, Throws string }
		err := json.Unmarshal(value, &gives)
		c.Authenticator = func(context.Context, string) (hub.Auth, error) {
			if gives.Throws != "" {
				return hub.Auth{}, errors.New(gives.Throws)
			}
			return hub.Auth{Token: gives.Token, User: gives.User, Password: gives.Pass}, nil
		}
		return err
	}},
	"discovery": {"Discovery", func(c *hub.Config, value json.RawMessage) error {
		var d struct {
			Enabled     bool   `json:"enabled"`
			ManifestURL string `json:"manifestUrl"`
			Namespace   string `json:"namespace"`
			Key         string `json:"namespaceKey"`
		}
		err := json.Unmarshal(value, &d)
		c.Discovery.Enabled, c.Discovery.ManifestURL = d.Enabled, d.ManifestURL
		c.Discovery.Namespace, c.Discovery.NamespaceKey = d.Namespace, d.Key
		return err
	}},
}

// hexJSON is the canned codec "hex".
type hexJSON struct{}

func (hexJSON) Encode(value any) ([]byte, error) {
	text, err := json.Marshal(value)
	return []byte(hex.EncodeToString(text)), err
}

func (hexJSON) Decode(data []byte, into any) error {
	text, err := hex.DecodeString(string(data))
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

func into[T any](field func(*hub.Config) *T) func(*hub.Config, json.RawMessage) error {
	return func(c *hub.Config, value json.RawMessage) error { return json.Unmarshal(value, field(c)) }
}

// not is for options that Go has the other way round, so that their zero value is the default.
func not(field func(*hub.Config) *bool) func(*hub.Config, json.RawMessage) error {
	return func(c *hub.Config, value json.RawMessage) error {
		var on bool
		err := json.Unmarshal(value, &on)
		*field(c) = !on
		return err
	}
}

func millis(field func(*hub.Config) *time.Duration) func(*hub.Config, json.RawMessage) error {
	return func(c *hub.Config, value json.RawMessage) error {
		var ms float64
		err := json.Unmarshal(value, &ms)
		*field(c) = time.Duration(ms * float64(time.Millisecond))
		return err
	}
}

// config makes a Config of options; servers are names of the scenario's, "nowhere" or URLs.
func (r *run) config(given options) (hub.Config, error) {
	cfg := hub.Config{Servers: []string{"main"}, TLS: r.tls}
	for name, value := range given {
		o, ok := optionTable[name]
		if !ok {
			return cfg, fmt.Errorf("option %s is not in optionTable", name)
		}
		if err := o.set(&cfg, value); err != nil {
			return cfg, fmt.Errorf("option %s: %w", name, err)
		}
	}
	for i, name := range cfg.Servers {
		if s := r.servers[name]; s != nil {
			cfg.Servers[i] = s.url
		} else if name == "nowhere" {
			cfg.Servers[i] = r.platform.scheme + "://127.0.0.1:1"
		}
	}
	return cfg, nil
}
