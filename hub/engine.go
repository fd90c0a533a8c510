package hub

import (
	"context"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/natswire"
	"github.com/kinopio-hub/kinopio-hub/v3/transport"
)

// An engine opens connections to servers. That is natsEngine; tests have an in-memory one.
type engine interface {
	// dial connects to one server, for good: a wire never reconnects by itself. ctx bounds
	// the dial only, which ends when the hub has said who it is. Messages go to r from before dial returns.
	dial(ctx context.Context, server string, r receiver) (wire, error)
}

type (
	// A receiver takes what a wire brings.
	receiver = natswire.Receiver
	// An inbound message, or several. Its Route is nil if it is an answer or a marker, for the link itself.
	inbound natswire.Inbound
	// wireSub is the engine's own mark of one subscription.
	wireSub = natswire.SubToken
)

// sub is the subscription that m came by.
func (m *inbound) sub() *linkSub { return m.Route.(*linkSub) }

// A wire is one connection to one server. Its methods may be called from any goroutine,
// and fail with an error that wraps ErrDisconnected once the connection has ended.
type wire interface {
	// publish hands one message to the connection, without waiting; it keeps nothing of it. Who publishes
	// much asks first whether there is room: see congestible.
	Publish(m natswire.Msg) error
	// subscribe begins to receive subject, as a member of queue unless that is "".
	Subscribe(subject, queue string, route any) (wireSub, error)
	// retire asks the server to send no more of it. What is on its way is still received.
	Unsubscribe(wireSub) error
	// Accepted is closed when the server has accepted who the hub is; what was sent before is dealt with after that.
	Accepted() <-chan struct{}
	// flush returns when the server has dealt with all that was sent before, and
	// everything that it sent before its answer has been through receive.
	Flush(ctx context.Context) error
	// ping calls answered, where messages are received, when the server has dealt with all that was
	// sent before.
	Ping(answered func()) error
	// RTT is the round trip to the server, as it was while connecting; less exact before the server has accepted.
	RTT() time.Duration
	// maxPayload is the largest payload, headers included, that the server takes, in bytes.
	MaxPayload() int
	// Disconnect ends the connection; what was published before is written first if it can be.
	Disconnect()
	// done is closed when the connection has ended, and cause then says why.
	Done() <-chan struct{}
	Cause() error
}

// A congestible wire takes no more than its connection carries, if whoever publishes waits for room.
type congestible interface {
	Congested() bool
	// awaitRoom returns when it is not congested any more, has ended, or ctx has.
	AwaitRoom(ctx context.Context)
}

// roundTrip measures the distance to a wire's server.
func roundTrip(ctx context.Context, w wire) (time.Duration, error) {
	start := time.Now()
	err := w.Flush(ctx)
	return time.Since(start), err
}

// dialersOf are the dialers by scheme.
func dialersOf(cfg *Config) map[string]transport.Dialer {
	dialers := map[string]transport.Dialer{}
	for _, d := range cfg.Dialers {
		for _, scheme := range d.Schemes() {
			dialers[scheme] = d
		}
	}
	return dialers
}
