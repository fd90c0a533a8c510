package hub

import (
	"crypto/tls"
	"net/http"
	"syscall/js"

	"github.com/kinopio-hub/kinopio-hub/transport"
	"github.com/kinopio-hub/kinopio-hub/transport/wsjs"
)

// defaultDialers is what a Go program in a browser or in Node dials with.
func defaultDialers(*tls.Config) []transport.Dialer { return []transport.Dialer{wsjs.Dialer{}} }

// defaultManifestURL is on the page's own origin, or "" where there is no page.
func defaultManifestURL() string {
	location := js.Global().Get("location")
	if location.Type() != js.TypeObject {
		return ""
	}
	return location.Get("origin").String() + manifestPath
}

// manifestClient fetches with the browser's fetch, which net/http uses here.
func manifestClient(*tls.Config) *http.Client { return &http.Client{} }

// prepareManifestRequest keeps cookies out of the request. Caches are the leaf's business
// (it answers no-store): a header here would cost a CORS preflight.
func prepareManifestRequest(r *http.Request) {
	r.Header.Set("js.fetch:credentials", "omit")
}
