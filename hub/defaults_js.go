package hub

import (
	"syscall/js"

	"github.com/kinopio-hub/kinopio-hub/transport"
	"github.com/kinopio-hub/kinopio-hub/transport/wsjs"
)

// TLSConfig has no fields here: the browser, or Node, does TLS. Without crypto/tls a page
// downloads a quarter less.
type TLSConfig struct{}

// defaultDialers is what a Go program in a browser or in Node dials with.
func defaultDialers(*TLSConfig) []transport.Dialer { return []transport.Dialer{wsjs.Dialer{}} }

// defaultManifestURL is on the page's own origin, or "" where there is no page.
func defaultManifestURL() string {
	location := js.Global().Get("location")
	if location.Type() != js.TypeObject {
		return ""
	}
	return location.Get("origin").String() + manifestPath
}

func newEngine(cfg *Config) engine { return newProtoEngine(cfg) }
