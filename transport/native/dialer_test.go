//go:build !js

package native_test

import (
	"crypto/tls"
	"testing"

	"github.com/kinopio-hub/kinopio-hub/v3/transport/native"
	"github.com/kinopio-hub/kinopio-hub/v3/transport/transporttest"
)

func TestTCPKeepsTheContract(t *testing.T) {
	prove(t, func(t *testing.T) transporttest.Subject {
		peers, stop, err := transporttest.ServeTCP()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(stop)
		return transporttest.Subject{Dialer: native.Dialer{}, Peers: peers}
	})
}

func TestWSKeepsTheContract(t *testing.T)  { prove(t, webSocket(false)) }
func TestWSSKeepsTheContract(t *testing.T) { prove(t, webSocket(true)) }

func webSocket(secure bool) transporttest.Factory {
	return func(t *testing.T) transporttest.Subject {
		peers, roots, stop, err := transporttest.ServeWS(secure)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(stop)
		dialer := native.Dialer{}
		if secure {
			dialer.TLS = &tls.Config{RootCAs: roots}
		}
		return transporttest.Subject{Dialer: dialer, Peers: peers}
	}
}

// prove runs the suite and then looks for goroutines that it has left.
func prove(t *testing.T, factory transporttest.Factory) {
	defer transporttest.NoLeaks(t)
	t.Run("contract", func(t *testing.T) { transporttest.Run(t, factory) })
}
