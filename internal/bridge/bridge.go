// Package bridge is the door by which the browser bridge reaches what a hub can do beyond what programs see: calls that
// wait for nothing, callbacks on the goroutine that reads, and what becomes of each message that was handed over.
//
// Package hub registers its functions when it is linked; whoever uses them says in an interface of its own which it
// wants. They are internal because their callers must keep rules that no program should have to know.
package bridge

import "context"

// A Run is one message, or several that came in a row, on one subject, each without reply and
// headers. It is valid during the call that brings it.
type Run struct {
	Subject string
	Data    [][]byte // the payloads, at least one
}

// Size is that of all payloads, in bytes.
func (r *Run) Size() (size int) {
	for _, data := range r.Data {
		size += len(data)
	}
	return size
}

// A Receipt is what becomes of a batch of messages.
type Receipt interface {
	// Done is closed when the batch is with a link, or will not be sent.
	Done() <-chan struct{}
	// Settled says whether Done is closed.
	Settled() bool
	// Err is nil while the batch waits and when it was handed over.
	Err() error
	// Wait returns when Done is closed, with Err, or when ctx ends; the batch may then still be sent.
	Wait(ctx context.Context) error
}

// SubOptions is how a bridge gets the messages of a subscription, which is called back on the goroutine that reads
// the socket, with a message that is valid during the call only. The callback must neither wait nor call the hub.
type SubOptions struct {
	// Awaited says that Ready will be called, once, which then has the error if the server does not
	// permit the subscription. Otherwise OnError has it.
	Awaited bool
	// OnRun, if set, may be called instead of the callback, for all messages of a run. It does not go with a Max.
	OnRun func(*Run)
	// Control says that the subscription is the hub's own: it counts for nobody, and gets copies, too.
	Control bool
}

// HeaderSet is the header of a message that sets or deletes the value of its subject.
const HeaderSet = "Kset"

var functions any

// Register is called by package hub, once, while it is initialized.
func Register(f any) { functions = f }

// Functions is what was registered: something with the methods of package hub's bridgeFunctions.
func Functions() any { return functions }
