package transport

import "net"

// A Direct connection can hand over and take bytes without a goroutine that waits: for those
// whose bytes are brought by callbacks, and whose peers buffer what is written.
type Direct interface {
	net.Conn

	// Pour hands to s what arrives from now on, and first what has arrived and was not read.
	// Read is not called any more.
	Pour(s Sink)

	// TryWrite is a Write of all of p that does not wait. False means that nothing was written:
	// it would have to wait, or the connection has ended. It never calls the Sink.
	TryWrite(p []byte) bool
}

// A Sink takes what a [Direct] connection receives. Room and Filled are not called side by side
// and must not wait.
type Sink interface {
	// Room returns where the next n bytes belong; Filled follows with the same n.
	Room(n int) []byte

	// Filled says that they are there. idle says that they gave no goroutine anything to do.
	Filled(n int) (idle bool)

	// Ended says that nothing follows, and why, as Read would have; after Close that is
	// net.ErrClosed. It may come at any time and more than once.
	Ended(err error)
}
