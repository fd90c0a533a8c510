//go:build kinopio_page

package hub

import "github.com/kinopio-hub/kinopio-hub/v3/transport"

// defaultDialers: the module of the npm package brings its own dialer, and pages need not download another.
func defaultDialers(*TLSConfig) []transport.Dialer { return nil }
