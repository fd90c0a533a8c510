//go:build !js

package hub

import (
	"crypto/tls"

	"github.com/kinopio-hub/kinopio-hub/transport"
	"github.com/kinopio-hub/kinopio-hub/transport/native"
)

// TLSConfig is the one of crypto/tls.
type TLSConfig = tls.Config

func defaultDialers(config *TLSConfig) []transport.Dialer {
	return []transport.Dialer{native.Dialer{TLS: config}}
}

// defaultManifestURL is empty: a native program has no origin.
func defaultManifestURL() string { return "" }

// newEngine is a variable for tests.
var newEngine = func(cfg *Config) engine { return newProtoEngine(cfg) }
