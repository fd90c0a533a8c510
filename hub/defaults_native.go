//go:build !js

package hub

import (
	"crypto/tls"
	"net/url"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/transport"
	"github.com/kinopio-hub/kinopio-hub/v3/transport/native"
)

// TLSConfig is the one of crypto/tls.
type TLSConfig = tls.Config

func defaultDialers(config *TLSConfig) []transport.Dialer {
	return []transport.Dialer{native.Dialer{TLS: config}}
}

// defaultManifestURL is empty: a native program has no origin.
func defaultManifestURL() string { return "" }

// toASCII puts an internationalized host as name servers know it.
func toASCII(u *url.URL) error { return native.ToASCII(u) }

// stepPatience is for how long a server may show no sign of life while it is connected to, before one
// that comes after it in the list is taken: TCP, TLS and what follows each take a round trip or two.
func stepPatience(timeout time.Duration) time.Duration { return min(750*time.Millisecond, timeout/2) }

// newEngine is a variable for tests.
var newEngine = func(cfg *Config) engine { return newNatsEngine(cfg) }
