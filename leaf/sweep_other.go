//go:build !linux

package leaf

import "github.com/nats-io/nats-server/v2/server"

// sweeper does nothing here: only Linux tells a process what its own sockets have received.
type sweeper struct{}

func sweepWebSockets(*server.Server, int) *sweeper { return &sweeper{} }

func (*sweeper) stop() {}
