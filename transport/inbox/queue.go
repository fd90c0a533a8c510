// Package inbox is the receiving half of a net.Conn whose bytes are brought by someone else,
// such as a callback or a goroutine that takes frames apart: they are put into a [Queue], and
// Read takes them out, with a deadline that can be set again.
package inbox

import (
	"net"
	"os"
	"sync"
	"time"
)

const (
	firstSize = 16 << 10
	idleSize  = 256 << 10 // what an empty queue may keep
)

// A Queue is a ring of bytes between one producer and any number of readers. The producer
// calls Room or Reserve, fills what it was given, and calls Commit, from one goroutine at a
// time. In the end it calls End.
type Queue struct {
	limit    int
	deadline Deadline
	readable chan struct{} // holds a token when a reader should look again
	writable chan struct{} // the same for the producer

	mu     sync.Mutex
	ring   []byte
	head   int
	size   int
	end    error
	closed bool
}

// New returns an empty queue. It holds at most limit bytes, for a producer that waits in Room;
// with 0 it grows, for one that cannot wait and calls Reserve.
func New(limit int) *Queue {
	return &Queue{
		limit:    limit,
		readable: make(chan struct{}, 1),
		writable: make(chan struct{}, 1),
	}
}

// Read waits for bytes and copies them to p, as net.Conn has it. It fails with net.ErrClosed
// after Close, with os.ErrDeadlineExceeded after the deadline, and with the error of End when
// everything that came before has been read.
func (q *Queue) Read(p []byte) (int, error) {
	for {
		n, err, ready := q.take(p)
		if ready {
			return n, err
		}
		expired := q.deadline.pending()
		if expired == nil { // the usual case, and a wait for one thing costs less than for two
			<-q.readable
			continue
		}
		select {
		case <-q.readable:
		case <-expired:
		}
	}
}

func (q *Queue) take(p []byte) (n int, err error, ready bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		err = net.ErrClosed
	case q.deadline.Expired():
		signal(q.readable) // for another reader, who waits without having seen the deadline
		return 0, os.ErrDeadlineExceeded, true
	case len(p) == 0:
		return 0, nil, true
	case q.size > 0:
		n = copy(p, q.ring[q.head:min(q.head+q.size, len(q.ring))])
		if n < len(p) && n < q.size {
			n += copy(p[n:], q.ring[:q.size-n])
		}
		q.head = (q.head + n) % len(q.ring)
		q.size -= n
		signal(q.writable)
	case q.end != nil:
		err = q.end
	default:
		return 0, nil, false
	}
	if q.size > 0 || err != nil {
		signal(q.readable) // for another reader
	}
	return n, err, true
}

// SetReadDeadline bounds the present and later calls of Read; zero means no bound.
func (q *Queue) SetReadDeadline(t time.Time) {
	q.deadline.Set(t)
	signal(q.readable)
}

// Buffered is the number of bytes that wait to be read.
func (q *Queue) Buffered() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.size
}

// Close drops what was not read. Read and Room fail with net.ErrClosed from now on.
func (q *Queue) Close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed, q.ring, q.head, q.size = true, nil, 0, 0
	signal(q.readable)
	signal(q.writable)
}

// End says that nothing follows, and what Read returns then. The first call counts.
func (q *Queue) End(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.end == nil {
		q.end = err
	}
	signal(q.readable)
	signal(q.writable)
}

// Room waits until there is room below the limit, and returns a part of it, never empty. It
// fails with net.ErrClosed when the reader has closed or stop ends, and with
// os.ErrDeadlineExceeded when expired ends; nil never ends.
func (q *Queue) Room(stop, expired <-chan struct{}) ([]byte, error) {
	for {
		q.mu.Lock()
		if q.closed || q.end != nil {
			q.mu.Unlock()
			return nil, net.ErrClosed
		}
		if q.size < q.limit {
			first, _ := q.reserve(min(max(q.size, firstSize), q.limit-q.size))
			q.mu.Unlock()
			return first, nil
		}
		q.mu.Unlock()
		select {
		case <-q.writable:
		case <-stop:
			return nil, net.ErrClosed
		case <-expired:
			return nil, os.ErrDeadlineExceeded
		}
	}
}

// Reserve returns room for n bytes, in one piece or two that are to be filled in this order.
// It never waits: the queue grows. Both are shorter when the reader has closed.
func (q *Queue) Reserve(n int) (first, second []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil, nil
	}
	first, second = q.reserve(n)
	first = first[:min(n, len(first))]
	return first, second[:n-len(first)]
}

// Commit hands the first n bytes of the room over to the readers.
func (q *Queue) Commit(n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || n == 0 {
		return
	}
	q.size += n
	signal(q.readable)
}

// reserve returns all free room as two pieces, after it has grown the ring to hold n more.
func (q *Queue) reserve(n int) (first, second []byte) {
	if q.size == 0 {
		q.head = 0
		if len(q.ring) > idleSize && n <= idleSize {
			q.ring = nil
		}
	}
	if need := q.size + n; need > len(q.ring) {
		length := max(firstSize, len(q.ring))
		for length < need {
			length *= 2
		}
		if q.limit > 0 {
			length = min(length, q.limit)
		}
		ring := make([]byte, length)
		k := copy(ring, q.ring[q.head:min(q.head+q.size, len(q.ring))])
		copy(ring[k:], q.ring[:q.size-k])
		q.ring, q.head = ring, 0
	}
	tail := q.head + q.size
	if tail >= len(q.ring) {
		return q.ring[tail-len(q.ring) : q.head], nil
	}
	return q.ring[tail:], q.ring[:q.head]
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
