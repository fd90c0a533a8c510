package natswire

import "strings"

// A Msg is a message to be sent. Names and headers have been checked.
type Msg struct {
	Subject string
	Reply   string // where an answer is wanted, or ""
	Header  map[string][]string
	Data    []byte
	Number  Number
	Line    []byte // the number as it is written, from the beginning of the headers; nil: it is still to be
}

// Size is what counts against a server's max payload, in bytes: data and encoded headers, with a
// number at its longest.
func (m *Msg) Size() int { return Size(len(m.Data), m.Header, m.Number.Stream != 0) }

// Size is that of a message with so many bytes of data.
func Size(data int, header map[string][]string, numbered bool) int {
	size := data
	if numbered {
		size += NumberSize
	}
	if len(header) > 0 {
		size += len("NATS/1.0\r\n\r\n")
		for name, values := range header {
			for _, v := range values {
				size += len(name) + len(": \r\n") + len(v)
			}
		}
	}
	return size
}

// An Inbound message, or several. Route is what Subscribe was given.
type Inbound struct {
	Route          any
	Subject, Reply string
	Header         map[string][]string
	Data           []byte
	Number         Number
	Run            [][]byte // payloads of several messages that differ in nothing else, with numbers in a row if the first has one; nil: it is one
}

// IsStored says that a message with this reply comes from a stream of JetStream, to a consumer.
func IsStored(reply string) bool { return strings.HasPrefix(reply, "$JS.ACK.") }

// A Receiver takes what a connection brings. Its methods are never called side by side.
type Receiver interface {
	// Receive takes messages in the order in which the server sent them. The slice is
	// reused after the call, and so are the bytes of runs, but nothing else of its elements.
	// idle says that no goroutine has anything to do because of them: that all went to inline
	// callbacks and requests.
	Receive(batch []Inbound) (idle bool)
	// Leaving says that the server is about to stop and wants its clients elsewhere.
	Leaving()
	// Trouble says what the server complained of without closing the connection.
	Trouble(err error)
}

// SubToken is what a subscription is ended by.
type SubToken any

// Errors are those that a connection's errors wrap, so that its user's callers know them.
type Errors struct {
	_ [0]func() // nobody compares them, so pages need not have how

	Disconnected, Timeout   error // the connection has ended; ctx has, by its deadline
	MessageTooLarge         error // for this server
	InvalidName, Permission error // what the server complains of
	Malformed               error // a message that came, whose headers are not as they should be
}
