package transporttest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
)

// A Behaviour is what a peer does with a connection.
type Behaviour string

// The behaviours. Every transport needs the first five; the others where they can exist.
const (
	Echo    Behaviour = "echo"    // sends back what it gets
	Goodbye Behaviour = "goodbye" // sends Farewell in one piece at once, and closes properly
	Cut     Behaviour = "cut"     // sends LastWords, waits for a byte, and is gone without a proper close
	Stall   Behaviour = "stall"   // answers the first byte by one byte, and never reads again
	Refused Behaviour = "refused" // nobody listens there

	Hang      Behaviour = "hang"      // takes the connection and never answers, so a dial never ends
	Watch     Behaviour = "watch"     // sends the number of connections open at Hang, a line each time it changes
	Plain     Behaviour = "plain"     // a web server that knows no WebSocket
	Untrusted Behaviour = "untrusted" // TLS with a certificate that nobody trusts
	Text      Behaviour = "text"      // a WebSocket that sends text where bytes are expected
	Failure   Behaviour = "failure"   // a WebSocket that closes with the status of an internal error
)

// Peers holds the URL of the peer for each behaviour.
type Peers map[Behaviour]string

// PeersVariable is the environment variable by which peers that run in another process, such
// as those for a test in a browser, are made known. See [Peers.Encode].
const PeersVariable = "KINOPIO_TRANSPORT_PEERS"

// WTPeersVariable is that for WebTransport peers, and WTHashVariable the one for the hash of their certificate.
const (
	WTPeersVariable = "KINOPIO_WEBTRANSPORT_PEERS"
	WTHashVariable  = "KINOPIO_WEBTRANSPORT_HASH"
)

// Encode returns the text for [PeersVariable] or [WTPeersVariable].
func (p Peers) Encode() string {
	text, _ := json.Marshal(p) // a map of strings
	return string(text)
}

// PeersFromEnv returns what another process offers through a variable.
func PeersFromEnv(variable string) (Peers, error) {
	text := os.Getenv(variable)
	if text == "" {
		return nil, fmt.Errorf("read %s: it is not set; run this test with the runner that starts the peers", variable)
	}
	var p Peers
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return nil, fmt.Errorf("read %s: %w", variable, err)
	}
	return p, nil
}

// Farewell is what the peer Goodbye sends: more than one read, frame or buffer holds.
func Farewell() []byte { return pattern(3<<20 + 17) }

// LastWords is what the peer Cut sends.
func LastWords() []byte { return pattern(1000) }

// pattern returns n bytes in which a piece that is missing, doubled or moved shows.
func pattern(n int) []byte {
	p := make([]byte, n)
	x := uint32(n)
	for i := range p {
		x = x*1664525 + 1013904223
		p[i] = byte(x >> 24)
	}
	return p
}

// A Peer is the other end of a stream. Cut ends it as a crash would.
type Peer interface {
	net.Conn
	Cut()
}

// behave plays one connection to its end. Whoever calls it cuts the peer to stop it, and
// ends stop.
func behave(b Behaviour, peer Peer, stop <-chan struct{}, hanging *counter) {
	defer peer.Close()
	switch b {
	case Echo:
		_, _ = io.CopyBuffer(struct{ io.Writer }{peer}, struct{ io.Reader }{peer}, make([]byte, 32<<10))
	case Goodbye:
		_, _ = peer.Write(Farewell())
	case Cut:
		_, _ = peer.Write(LastWords())
		_, _ = io.ReadFull(peer, make([]byte, 1))
		peer.Cut()
	case Stall:
		_, _ = io.ReadFull(peer, make([]byte, 1))
		_, _ = peer.Write([]byte{'!'})
		<-stop
		peer.Cut()
	case Hang:
		hanging.add(1)
		_, _ = io.Copy(io.Discard, peer)
		hanging.add(-1)
	case Watch:
		hanging.watch(stop, func(n int) error {
			var line bytes.Buffer
			fmt.Fprintln(&line, n)
			_, err := peer.Write(line.Bytes())
			return err
		})
	}
}

// A counter counts, and tells who watches.
type counter struct {
	mu      sync.Mutex
	n       int
	changed chan struct{}
}

func newCounter() *counter { return &counter{changed: make(chan struct{})} }

func (c *counter) add(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n += n
	close(c.changed)
	c.changed = make(chan struct{})
}

func (c *counter) watch(stop <-chan struct{}, tell func(int) error) {
	for {
		c.mu.Lock()
		n, changed := c.n, c.changed
		c.mu.Unlock()
		if tell(n) != nil {
			return
		}
		select {
		case <-changed:
		case <-stop:
			return
		}
	}
}
