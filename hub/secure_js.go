package hub

import (
	"context"
	"net"
	"net/url"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/natswire"
)

// secure has nothing to do where there are only WebSockets.
func secure(_ context.Context, conn net.Conn, _ *url.URL, _ *Config, _ natswire.ServerInfo) (net.Conn, error) {
	return conn, nil
}

// secureFirst neither.
func secureFirst(_ context.Context, conn net.Conn, _ *url.URL, _ *Config) (net.Conn, error) {
	return conn, nil
}

func silence(*url.URL, *Config) string { return "the server says nothing" }
