package hub

import (
	"context"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/keep"
	"github.com/kinopio-hub/kinopio-hub/v3/transport"
)

// An engine opens connections to servers. That is protoEngine; tests have an in-memory one.
type engine interface {
	// dial connects to one server, for good: a wire never reconnects by itself. ctx bounds
	// the dial only. Messages go to r from before dial returns.
	dial(ctx context.Context, server string, r receiver) (wire, error)
}

// A receiver takes what a wire brings. Its methods are never called side by side.
type receiver interface {
	// receive takes messages in the order in which the server sent them. The slice is
	// reused after the call, and so are the bytes of runs, but nothing else of its elements.
	// idle says that no goroutine has anything to do because of them: that all went to inline
	// callbacks and requests.
	receive(batch []inbound) (idle bool)
	// leaving says that the server is about to stop and wants its clients elsewhere.
	leaving()
	// trouble says what the server complained of without closing the connection.
	trouble(err error)
}

// An inbound message, or several. route is what subscribe was given.
type inbound struct {
	route          *linkSub // nil: an answer or a marker, for the link itself
	subject, reply string
	header         Header
	data           []byte
	number         number
	stamp          *keep.Stamp // of a set value; nil: it is none
	run            [][]byte    // payloads of several messages that differ in nothing else, with numbers in a row if the first has one; nil: it is one
}

// A wire is one connection to one server. Its methods may be called from any goroutine,
// and fail with an error that wraps ErrDisconnected once the connection has ended.
type wire interface {
	// publish hands one message to the connection, without waiting; it keeps nothing of it. Who publishes
	// much asks first whether there is room: see congestible.
	publish(m OutMsg) error
	// subscribe begins to receive subject, as a member of queue unless that is "".
	subscribe(subject, queue string, route *linkSub) (wireSub, error)
	// retire asks the server to send no more of it. What is on its way is still received.
	retire(wireSub) error
	// flush returns when the server has dealt with all that was sent before, and
	// everything that it sent before its answer has been through receive.
	flush(ctx context.Context) error
	// ping calls answered, where messages are received, when the server has dealt with all that was
	// sent before.
	ping(answered func()) error
	// distance is the round trip to the server, as it was while connecting.
	distance() time.Duration
	// maxPayload is the largest payload, headers included, that the server takes, in bytes.
	maxPayload() int
	// close ends the connection; what was published before is written first if it can be.
	close()
	// done is closed when the connection has ended, and cause then says why.
	done() <-chan struct{}
	cause() error
}

// A congestible wire takes no more than its connection carries, if whoever publishes waits for room.
type congestible interface {
	congested() bool
	// awaitRoom returns when it is not congested any more, has ended, or ctx has.
	awaitRoom(ctx context.Context)
}

// wireSub is the engine's own mark of one subscription.
type wireSub any

// roundTrip measures the distance to a wire's server.
func roundTrip(ctx context.Context, w wire) (time.Duration, error) {
	start := time.Now()
	err := w.flush(ctx)
	return time.Since(start), err
}

// closing is how long a connection may take to say its last words.
const closing = 250 * time.Millisecond

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
