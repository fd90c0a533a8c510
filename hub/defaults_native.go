//go:build !js

package hub

import (
	"crypto/tls"
	"net/http"

	"github.com/kinopio-hub/kinopio-hub/transport"
	"github.com/kinopio-hub/kinopio-hub/transport/native"
)

func defaultDialers(config *tls.Config) []transport.Dialer {
	return []transport.Dialer{native.Dialer{TLS: config}}
}

// defaultManifestURL is empty: a native program has no origin.
func defaultManifestURL() string { return "" }

// manifestClient keeps no idle connections, so that nothing outlives the hub.
func manifestClient(config *tls.Config) *http.Client {
	return &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true, Proxy: http.ProxyFromEnvironment}}
}

func prepareManifestRequest(*http.Request) {}
