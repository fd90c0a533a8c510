//go:build !js

package native

import (
	"fmt"
	"net"
	"net/url"

	"golang.org/x/net/idna"

	"github.com/kinopio-hub/kinopio-hub/v3/transport"
)

// ToASCII puts the host of u as name servers and certificates know it: "bücher.example" becomes
// "xn--bcher-kva.example". Browsers do that by themselves. The error wraps [transport.ErrURL].
func ToASCII(u *url.URL) error {
	host := u.Hostname()
	for i := range len(host) {
		if host[i] < 0x80 {
			continue
		}
		ascii, err := idna.Lookup.ToASCII(host)
		if err != nil {
			return fmt.Errorf("%w: the host %q is no internationalized name: %w", transport.ErrURL, host, err)
		}
		u.Host = joinPort(ascii, u.Port())
		return nil
	}
	return nil
}

func joinPort(host, port string) string {
	if port == "" {
		return host
	}
	return net.JoinHostPort(host, port)
}
