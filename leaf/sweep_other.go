//go:build !linux

package leaf

import "github.com/nats-io/nats-server/v2/server"

// sweeps: only Linux tells a process what its own sockets have received. Elsewhere a front accepts the connections.
const sweeps = false

type sweeper struct{}

func sweepWebSockets(*server.Server, int) *sweeper { return &sweeper{} }

func (*sweeper) stop() {}
