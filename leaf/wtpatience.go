package leaf

import (
	"bytes"
	"io"
	"net"
	"strconv"
	"sync"
	"time"
)

// The server pings those who come by TCP as often as the backbone, every pingInterval, and cuts who leaves three unanswered.
// That is too soon for pages, which sleep while their session lives: a WebSocket has websocketPingInterval. So a page that says nothing
// for a while is spoken for, until a WebSocket would be cut.
const (
	// The server cuts two to three pingIntervals after the last word: what is left is for a machine that is busy.
	wtSilent  = pingInterval / 2
	wtPatient = 3 * (websocketPingInterval - pingInterval)
)

// A backer writes to the server what a client says, and speaks for it.
type backer struct {
	to net.Conn

	mu     sync.Mutex
	at     boundary
	heard  time.Time
	silent *time.Timer
	ended  bool
}

func newBacker(to net.Conn) *backer {
	b := &backer{to: to, heard: time.Now()}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.silent = time.AfterFunc(wtSilent, b.speak)
	return b
}

func (b *backer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.heard = time.Now()
	b.at.pass(p)
	return b.to.Write(p)
}

// speak answers the server's pings for a client that is silent.
func (b *backer) speak() {
	b.mu.Lock()
	defer b.mu.Unlock()
	silence := time.Since(b.heard)
	switch {
	case b.ended:
		return
	case silence < wtSilent:
		b.silent.Reset(wtSilent - silence)
		return
	case silence < wtPatient && b.at.between():
		if _, err := io.WriteString(b.to, "PONG\r\n"); err != nil {
			return // The connection has ended.
		}
	}
	b.silent.Reset(wtSilent)
}

func (b *backer) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ended = true
	b.silent.Stop()
}

// A boundary knows whether what a client has said ends between two operations of the NATS protocol.
type boundary struct {
	line    []byte // The beginning of one.
	payload int    // Bytes of a message that are still to come.
	greeted bool   // There was a first operation, CONNECT.
	lost    bool   // It is not known.
}

// mostLine bounds a line; the server takes 4 KiB, and more for CONNECT.
const mostLine = 64 << 10

func (b *boundary) between() bool { return b.greeted && !b.lost && b.payload == 0 && len(b.line) == 0 }

// pass follows what is said.
func (b *boundary) pass(p []byte) {
	for len(p) > 0 && !b.lost {
		if n := min(b.payload, len(p)); n > 0 {
			b.payload, p = b.payload-n, p[n:]
			continue
		}
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			b.line = append(b.line, p...)
			b.lost = len(b.line) > mostLine
			return
		}
		line := p[:i]
		if len(b.line) > 0 {
			b.line = append(b.line, line...)
			line = b.line
		}
		b.operation(line)
		b.line, p = b.line[:0], p[i+1:]
		if cap(b.line) > wtBufferFirst {
			b.line = nil
		}
	}
}

// operation reads the size of the message that follows a line.
func (b *boundary) operation(line []byte) {
	b.greeted = true
	line = bytes.TrimRight(line, "\r \t")
	if len(line) < 4 || !bytes.EqualFold(line[:3], []byte("PUB")) && !bytes.EqualFold(line[:4], []byte("HPUB")) {
		return
	}
	size, err := strconv.Atoi(string(line[bytes.LastIndexAny(line, " \t")+1:]))
	if err != nil || size < 0 {
		b.lost = true
		return
	}
	b.payload = size + len("\r\n")
}
