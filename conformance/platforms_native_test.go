//go:build !js

package conformance

import (
	"crypto/tls"
	"crypto/x509"
	"testing"

	"github.com/kinopio-hub/kinopio-hub/v3/conformance/lab"
	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

func TestConformanceOfGoOverTCP(t *testing.T) { native(t, "nats", suite) }
func TestConformanceOfGoOverWS(t *testing.T)  { native(t, "ws", suite) }
func TestConformanceOfGoOverWSS(t *testing.T) { native(t, "wss", suite) }

func TestWrongExpectationsFailInGo(t *testing.T) { native(t, "nats", selfCheck) }

// native runs part of the suite against a lab in this process.
func native(t *testing.T, scheme string, part func(*testing.T, platform)) {
	t.Parallel()
	url, stop, err := lab.Serve()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	part(t, platform{"native Go over " + scheme, scheme, url})
}

// trusting trusts a root beside none of the system's.
func trusting(root string) *hub.TLSConfig {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(root))
	return &tls.Config{RootCAs: roots}
}
