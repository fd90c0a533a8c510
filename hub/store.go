package hub

import (
	"strings"
	"time"
)

// A store keeps what a hub published lately, in order, for those who miss something of it. The
// outbox's lock guards it.
type store struct {
	limit  int           // bytes
	age    time.Duration // of what is kept for certain
	chunks []*chunk      // oldest first
	spare  *chunk
	sealed bool // the newest chunk gets no more
	bytes  int
}

// A chunk is a part of what was published.
type chunk struct {
	begun time.Time
	data  []byte
	msgs  []kept
}

// kept is one message; its bytes are in the chunk: the reply, the headers and the payload.
type kept struct {
	stream              *outStream
	count               uint64
	at                  uint32
	reply, header, size uint32
}

const (
	chunkSize = 32 << 10
	keptCost  = 40 // bytes beside a message's own
)

// keep adds m, the newest of s.
func (t *store) keep(s *outStream, m *OutMsg) {
	if t.limit < 0 {
		return
	}
	size := len(m.Data) + len(m.Reply)
	if size+keptCost > t.limit/4 {
		return // it would drive out everything else
	}
	var c *chunk
	if n := len(t.chunks); n > 0 {
		c = t.chunks[n-1]
	}
	if c == nil || t.sealed || len(c.data)+size > cap(c.data) && len(c.data) >= chunkSize/2 || len(c.msgs) >= chunkSize/16 {
		c = t.begin(size)
	}
	k := kept{stream: s, count: m.number.Count, at: uint32(len(c.data)), reply: uint32(len(m.Reply)), size: uint32(len(m.Data))}
	before := len(c.data)
	c.data = append(c.data, m.Reply...)
	for name, values := range m.Header {
		for _, v := range values {
			c.data = append(append(append(append(c.data, name...), '\n'), v...), '\n')
		}
	}
	k.header = uint32(len(c.data)-before) - k.reply
	c.data = append(c.data, m.Data...)
	c.msgs = append(c.msgs, k)
	t.bytes += len(c.data) - before + keptCost
	for t.bytes > t.limit && len(t.chunks) > 1 {
		t.drop()
	}
}

// begin begins a chunk that has room for size bytes. What is too old goes.
func (t *store) begin(size int) *chunk {
	now := time.Now()
	t.trim(now)
	c := t.spare
	t.spare = nil
	switch {
	case c != nil && cap(c.data) >= size:
	case len(t.chunks) == 0:
		c = &chunk{data: make([]byte, 0, max(size, 512))} // many hubs publish little
	default:
		c = &chunk{data: make([]byte, 0, max(size, min(2*len(t.chunks[len(t.chunks)-1].data), chunkSize)))}
	}
	c.begun, t.sealed = now, false
	t.chunks = append(t.chunks, c)
	return c
}

// tick, which is called about every second while there is something, lets a chunk be no longer than that.
// empty says that there is nothing any more.
func (t *store) tick(now time.Time) (empty bool) {
	t.sealed = true
	t.trim(now)
	return len(t.chunks) == 0
}

// trim drops what is too old.
func (t *store) trim(now time.Time) {
	for len(t.chunks) > 1 && now.Sub(t.chunks[1].begun) > t.age {
		t.drop()
	}
	if len(t.chunks) == 1 && now.Sub(t.chunks[0].begun) > t.age+2*time.Second {
		t.drop()
	}
}

func (t *store) drop() {
	c := t.chunks[0]
	t.chunks[0] = nil
	t.chunks = t.chunks[1:]
	t.bytes -= len(c.data) + keptCost*len(c.msgs)
	if cap(c.data) <= 2*chunkSize {
		clear(c.msgs)
		c.data, c.msgs = c.data[:0], c.msgs[:0]
		t.spare = c
	}
}

// each calls do with everything that is kept, oldest first, and since when at most it has been
// published, until do returns false. The message's bytes are the store's.
func (t *store) each(do func(s *outStream, m OutMsg, since time.Time) bool) {
	for _, c := range t.chunks {
		for _, k := range c.msgs {
			b := c.data[k.at:]
			m := OutMsg{Subject: k.stream.subject, Reply: string(b[:k.reply]), number: number{Stream: k.stream.id, Count: k.count}}
			b = b[k.reply:]
			if k.header > 0 {
				m.Header = Header{}
				fields := strings.Split(string(b[:k.header-1]), "\n")
				for f := 0; f+1 < len(fields); f += 2 {
					m.Header[fields[f]] = append(m.Header[fields[f]], fields[f+1])
				}
			}
			m.Data = b[k.header : k.header+k.size]
			if !do(k.stream, m, c.begun) {
				return
			}
		}
	}
}
