//go:build !kinopio_page

package hub

import (
	"github.com/kinopio-hub/kinopio-hub/v3/transport"
	"github.com/kinopio-hub/kinopio-hub/v3/transport/ways"
	"github.com/kinopio-hub/kinopio-hub/v3/transport/wsjs"
	"github.com/kinopio-hub/kinopio-hub/v3/transport/wtjs"
)

// pageDialer is one for all hubs: the browser counts what fails by page.
var pageDialer = ways.New(wsjs.Dialer{}, wtjs.Dialer{})

// defaultDialers is what a Go program in a browser or in Node dials with.
func defaultDialers(*TLSConfig) []transport.Dialer { return []transport.Dialer{pageDialer} }
