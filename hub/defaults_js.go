package hub

import (
	"net/url"
	"syscall/js"
	"time"
)

// TLSConfig has no fields here: the browser, or Node, does TLS. Without crypto/tls a page
// downloads a quarter less.
type TLSConfig struct{}

// defaultManifestURL is on the page's own origin, or "" where there is no page.
func defaultManifestURL() string {
	location := js.Global().Get("location")
	if location.Type() != js.TypeObject {
		return ""
	}
	return location.Get("origin").String() + manifestPath
}

func newEngine(cfg *Config) engine { return newNatsEngine(cfg) }

// toASCII leaves internationalized hosts to the browser, or to Node.
func toASCII(*url.URL) error { return nil }

// stepPatience is for how long a server may show no sign of life while it is connected to, before one
// that comes after it in the list is taken. A WebSocket shows none before all of TCP, TLS and HTTP is
// done.
func stepPatience(timeout time.Duration) time.Duration { return timeout / 2 }
