package natswire

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/transport"
)

const (
	readBuffer       = 32 << 10
	keptBuffer       = 256 << 10              // a larger one, which a large message needed, is let go,
	shrinkAfterReads = 100                    // the reader's after so many reads that did not need it
	writeBuffer      = 64 << 10               // bytes that wait to be written, above which publishers wait, too
	closeTimeout     = 250 * time.Millisecond // for what a connection still has to write
)

// A Conn is one connection that is up. One goroutine reads and hands on, one writes. It
// implements [transport.Sink], for connections that need no such goroutines.
type Conn struct {
	conn     net.Conn
	direct   transport.Direct // conn, if it is one
	receiver Receiver
	bursts   *Bursts
	errs     Errors
	measured atomic.Int64 // the round trip, in ns
	max      atomic.Int64
	accepted chan struct{}
	ended    chan struct{}
	once     sync.Once // closes ended

	mu       sync.Mutex
	writable sync.Cond   // out has something, or it is over
	room     sync.Cond   // out has room, or it is over
	out      []byte      // to be written
	full     atomic.Bool // out has no room
	writing  bool
	waiting  int  // publishers that wait for room
	noted    bool // it is among those that have something to write in a burst
	over     bool
	err      error // why, if over
	serial   uint64
	subs     map[uint64]*sub
	pongs    []pong // what the server's next answers to PING are for
	clientIP string // as the server sees it; "": it has not said
	longest  int    // the most bytes of names in a line since the last PING; see lineError
	retired  int    // subscriptions that it has not answered for yet

	// Of the reader alone.
	in         []byte // from in[from:to] on not yet parsed
	from, to   int
	smallReads int // how many times in a row a small buffer would have been enough
	need       int // as in parseOp
	batch      []Inbound
	runs       [][]byte // payloads of those in batch
	subject    string   // of the last message by a wildcard
	last       *sub
	lastID     uint64
}

// A pong is an answer to PING that is still to come.
type pong struct {
	answered func()
	longest  int // Conn.longest of the lines that it will confirm
}

// A lineError is the end of a connection over a line that is longer than its server takes. Which one
// that was it does not say: no other than the longest of those that it has not confirmed.
type LineError struct {
	Names int // bytes of that line's names: the subject, and the queue group or the reply
}

func (e *LineError) Error() string {
	return fmt.Sprintf("nats: maximum control line exceeded, by a line with %d bytes of names at most", e.Names)
}

// Description is the connection's, as in [transport.Described]; "" if it has none.
func (w *Conn) Description() string {
	if d, ok := w.conn.(transport.Described); ok {
		return d.Description()
	}
	return ""
}

// SeenAs is the client's address, as the server sees it.
func (w *Conn) SeenAs() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.clientIP
}

type sub struct {
	id      uint64
	subject string
	route   any
}

func newConn(conn net.Conn, r Receiver, b *Bursts, errs Errors) *Conn {
	w := &Conn{conn: conn, receiver: r, bursts: b, errs: errs, accepted: make(chan struct{}), ended: make(chan struct{}), subs: map[uint64]*sub{}, in: make([]byte, readBuffer)}
	w.writable.L, w.room.L = &w.mu, &w.mu
	return w
}

// writeLoop is the goroutine that writes to the connection.
func (w *Conn) writeLoop() {
	var spare []byte
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		for len(w.out) == 0 && !w.over {
			w.writable.Wait()
		}
		if w.over {
			return
		}
		out := w.out
		w.out, w.writing = spare[:0], true
		w.full.Store(false)
		w.mu.Unlock()
		_, err := w.conn.Write(out)
		w.mu.Lock()
		w.writing = false
		w.room.Broadcast() // close waits for it, too
		if err != nil {
			w.mu.Unlock()
			w.fail(err)
			w.conn.Close() // ends the reader
			w.mu.Lock()
			return
		}
		if spare = out; cap(spare) > keptBuffer {
			spare = nil
		}
	}
}

// tryWrite writes what waits, if that needs no waiting. w.mu is held.
func (w *Conn) tryWrite() bool {
	if w.direct == nil || w.writing || w.over || !w.direct.TryWrite(w.out) {
		return false
	}
	if w.out = w.out[:0]; cap(w.out) > 2*burstBytes {
		w.out = nil
	}
	w.full.Store(false)
	w.room.Broadcast()
	return true
}

// fail notes why the connection has ended; the first reason counts.
func (w *Conn) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return
	}
	w.over, w.err, w.out = true, err, nil
	w.full.Store(false)
	w.writable.Broadcast()
	w.room.Broadcast()
}

// writeLine adds a line that does not wait.
func (w *Conn) writeLine(line string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.appendLine(line)
}

// appendLine is writeLine with w.mu held; false if it is over.
func (w *Conn) appendLine(line string) bool {
	if w.over {
		return false
	}
	w.out = append(w.out, line...)
	if !w.bursts.note(w) {
		w.writable.Signal()
	}
	return true
}

func (w *Conn) disconnected() error { return fmt.Errorf("%w: %w", w.errs.Disconnected, w.err) }

func (w *Conn) Publish(m Msg) error {
	if size := m.Size(); size > w.MaxPayload() {
		return fmt.Errorf("%w: %d bytes, and the server takes %d", w.errs.MessageTooLarge, size, w.MaxPayload())
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return w.disconnected()
	}
	w.longest = max(w.longest, len(m.Subject)+len(m.Reply))
	if !w.bursts.note(w) {
		w.out = appendPub(w.out, &m)
		if len(w.out) >= writeBuffer {
			w.full.Store(true)
		}
		w.writable.Signal()
		return nil
	}
	// Nobody waits in a burst: what cannot be written now is the writer's.
	w.out = appendPubHead(w.out, &m)
	if len(w.out)+len(m.Data) >= burstBytes && w.tryWrite() && len(m.Data) >= burstBytes && w.direct.TryWrite(m.Data) {
		m.Data = nil
	}
	w.out = append(append(w.out, m.Data...), "\r\n"...)
	if len(w.out) >= writeBuffer {
		w.full.Store(true)
	}
	return nil
}

// congested says that what has been published is still to be written. Nobody waits in a burst.
func (w *Conn) Congested() bool { return w.full.Load() && !w.bursts.open.Load() }

// awaitRoom returns when w is not congested any more, has ended, or ctx has.
func (w *Conn) AwaitRoom(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.room.Broadcast()
	})
	defer stop()
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting++
	defer func() { w.waiting-- }()
	for w.full.Load() && !w.over && ctx.Err() == nil {
		w.room.Wait()
	}
}

func (w *Conn) Subscribe(subject, queue string, route any) (SubToken, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return nil, w.disconnected()
	}
	w.serial++
	w.longest = max(w.longest, len(subject)+len(queue))
	sub := &sub{w.serial, subject, route}
	w.subs[sub.id] = sub
	line := "SUB " + subject + " "
	if queue != "" {
		line += queue + " "
	}
	w.appendLine(line + strconv.FormatUint(sub.id, 10) + "\r\n")
	return sub, nil
}

// retire forgets the subscription when the server has answered: nothing comes by it then.
func (w *Conn) Unsubscribe(s SubToken) error {
	sub := s.(*sub)
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.appendLine("UNSUB " + strconv.FormatUint(sub.id, 10) + "\r\nPING\r\n") {
		return w.disconnected()
	}
	w.retired++
	w.expectPong(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.subs, sub.id)
		w.retired--
	})
	return nil
}

func (w *Conn) Ping(answered func()) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.appendLine("PING\r\n") {
		return w.disconnected()
	}
	w.expectPong(answered)
	return nil
}

// expectPong notes that a PING has been written. w.mu is held.
func (w *Conn) expectPong(answered func()) {
	w.pongs = append(w.pongs, pong{answered, w.longest})
	w.longest = 0
}

// overlong is the end over a line that is too long.
func (w *Conn) overlong() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := &LineError{w.longest}
	for _, p := range w.pongs {
		e.Names = max(e.Names, p.longest)
	}
	return e
}

func (w *Conn) Flush(ctx context.Context) error {
	answered := make(chan struct{})
	if err := w.Ping(func() { close(answered) }); err != nil {
		return err
	}
	select {
	case <-answered:
		return nil
	case <-w.ended:
		return w.disconnected()
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return fmt.Errorf("%w: %w", w.errs.Timeout, ctx.Err())
		}
		return ctx.Err()
	}
}

func (w *Conn) RTT() time.Duration    { return time.Duration(w.measured.Load()) }
func (w *Conn) MaxPayload() int       { return int(w.max.Load()) }
func (w *Conn) Done() <-chan struct{} { return w.ended }
func (w *Conn) Cause() error          { return w.err }

// close gives what is still to be written a moment.
//
// A server that is still taking UNSUBs when it sees the connection end takes those
// subscriptions off twice (clearAccountSubs beside processUnsub, nats-server 2.15), and other
// servers then believe that nobody listens, although another client does. So it must have
// answered them before.
func (w *Conn) Disconnect() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	w.conn.SetWriteDeadline(time.Now().Add(closeTimeout))
	w.mu.Lock()
	unsubscribing := w.retired > 0
	w.mu.Unlock()
	if unsubscribing {
		_ = w.Flush(ctx) // whatever comes of it, the connection ends
	}
	stop := context.AfterFunc(ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.room.Broadcast()
	})
	defer stop()
	w.mu.Lock()
	w.writable.Signal() // a burst may have left something that was to be followed by more
	for (len(w.out) > 0 || w.writing) && !w.over && ctx.Err() == nil {
		w.room.Wait()
	}
	w.mu.Unlock()
	w.fail(transport.ErrUnclean)
	w.conn.Close()
	<-w.ended
}
