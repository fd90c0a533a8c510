package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kinopio-hub/kinopio-hub/transport"
)

const (
	readBuffer  = 32 << 10
	keptBuffer  = 256 << 10 // a larger one, which a large message needed, is let go
	writeBuffer = 64 << 10  // bytes that wait to be written, above which publishers wait, too
)

// A protoWire is one connection that is up. One goroutine reads and hands on, one writes. It
// implements [transport.Sink], for connections that need no such goroutines.
type protoWire struct {
	conn     net.Conn
	direct   transport.Direct // conn, if it is one
	receiver receiver
	bursts   *bursts
	measured time.Duration
	max      atomic.Int64
	ended    chan struct{}
	once     sync.Once // closes ended

	mu      sync.Mutex
	some    sync.Cond // out has something, or it is over
	room    sync.Cond // out has room, or it is over
	out     []byte    // to be written
	writing bool
	waiting int  // publishers that wait for room
	noted   bool // it is among those that have something to say in a burst
	over    bool
	err     error // why, if over
	serial  uint64
	subs    map[uint64]*protoSub
	pongs   []func() // what the server's next answers to PING are for
	retired int      // subscriptions that it has not answered for yet

	// Of the reader alone.
	in       []byte // from in[from:to] on not yet parsed
	from, to int
	need     int    // as in parseOp
	line     []byte // how the last message began, if that is all there is of it but data
	batch    []inbound
	subject  string // of the last message by a wildcard
	last     *protoSub
	lastID   uint64
}

type protoSub struct {
	id      uint64
	subject string
	route   *leg
}

func newProtoWire(conn net.Conn, r receiver, b *bursts) *protoWire {
	w := &protoWire{conn: conn, receiver: r, bursts: b, ended: make(chan struct{}), subs: map[uint64]*protoSub{}, in: make([]byte, readBuffer)}
	w.some.L, w.room.L = &w.mu, &w.mu
	return w
}

// next reads the next thing that the server says, which holds until the next call.
func (w *protoWire) next(op *protoOp) error {
	for {
		need, err := w.parse(op)
		if err != nil || op.kind != protoMore {
			return err
		}
		if err := w.readMore(need); err != nil {
			return err
		}
	}
}

// parse takes the next thing that has been read; see parseOp. op is that of the last call.
func (w *protoWire) parse(op *protoOp) (need int, err error) {
	b := w.in[w.from:w.to]
	// Messages in a row mostly begin with the same line.
	if n := len(w.line); n > 0 && op.kind == protoMsg && len(b) >= n+len(op.data)+2 && string(b[:n]) == string(w.line) {
		if end := n + len(op.data); b[end] == '\r' && b[end+1] == '\n' {
			op.data = b[n:end]
			w.from += end + 2
			return 0, nil
		}
	}
	size, need, err := parseOp(b, op)
	w.from += size
	w.line = nil
	if op.kind == protoMsg && err == nil && op.reply == nil && len(op.header) == 0 {
		w.line = b[:size-len(op.data)-2]
	}
	return need, err
}

func (w *protoWire) readMore(need int) error {
	w.makeRoom(max(need, w.to-w.from+readBuffer/2))
	n, err := w.conn.Read(w.in[w.to:])
	w.to += n
	if n > 0 {
		return nil
	}
	return err
}

// makeRoom makes room for need bytes from the first that is not parsed. What was parsed before
// may be overwritten.
func (w *protoWire) makeRoom(need int) {
	rest := w.in[w.from:w.to]
	switch {
	case len(rest) == 0 && len(w.in) > keptBuffer && need <= readBuffer:
		w.in = make([]byte, readBuffer)
	case len(rest) > 0 && w.from+need <= len(w.in):
		return
	case need > len(w.in):
		w.in = make([]byte, max(need, 2*len(w.in)))
	}
	w.from, w.to = 0, copy(w.in, rest)
}

// start begins to hand on what comes, without a goroutine if the connection knows how to.
func (w *protoWire) start() {
	go w.write()
	if direct, ok := w.conn.(transport.Direct); ok {
		w.direct = direct
		direct.Pour(w)
	} else {
		go w.read()
	}
}

// read is the reader.
func (w *protoWire) read() {
	w.Ended(w.follow())
}

// follow does what the server says, and returns what ended that.
func (w *protoWire) follow() error {
	for {
		need, _, err := w.digest()
		if err == nil {
			err = w.readMore(need)
		}
		if err != nil {
			return err
		}
	}
}

// digest does all that has been read. need is as in parseOp; calm is as in receiver, and false
// of everything but messages.
func (w *protoWire) digest() (need int, calm bool, err error) {
	var op protoOp
	w.line = nil // it is overwritten
	calm = true
	for {
		if need, err = w.parse(&op); err == nil {
			if op.kind == protoMore {
				break
			}
			calm = calm && op.kind == protoMsg
			err = w.heed(&op)
		}
		if err != nil {
			break
		}
	}
	return need, w.deliver() && calm, err
}

// Room implements [transport.Sink].
func (w *protoWire) Room(n int) []byte {
	w.makeRoom(max(w.need, w.to-w.from+n))
	return w.in[w.to : w.to+n]
}

// Filled implements [transport.Sink].
func (w *protoWire) Filled(n int) (calm bool) {
	w.to += n
	need, calm, err := w.digest()
	w.need = need
	if err != nil {
		w.Ended(err)
	}
	return calm && err == nil
}

// Ended implements [transport.Sink]: it notes why the connection has ended, of which the first
// reason counts, and closes it.
func (w *protoWire) Ended(err error) {
	w.fail(err)
	w.once.Do(func() {
		w.conn.Close()
		w.mu.Lock()
		w.subs, w.pongs = nil, nil
		w.mu.Unlock()
		close(w.ended)
	})
}

// heed does what the server says; an error is the end.
func (w *protoWire) heed(op *protoOp) error {
	switch op.kind {
	case protoMsg:
		return w.add(op)
	case protoPing:
		w.say("PONG\r\n")
	case protoPong:
		w.deliver() // whoever waits for the answer relies on it
		w.mu.Lock()
		var done func()
		if len(w.pongs) > 0 {
			done, w.pongs = w.pongs[0], w.pongs[1:]
		}
		w.mu.Unlock()
		if done != nil {
			done()
		}
	case protoErr:
		w.deliver()
		return w.complaint(string(op.text))
	case protoInfo:
		w.deliver()
		info, err := w.info(op)
		if err != nil {
			return err
		}
		if info.LameDuck {
			w.receiver.leaving()
		}
	}
	return nil
}

// info reads INFO.
func (w *protoWire) info(op *protoOp) (info protoServer, err error) {
	if err = json.Unmarshal(op.text, &info); err != nil {
		return info, fmt.Errorf("%w: INFO: %w", errProto, err)
	}
	w.max.Store(info.MaxPayload)
	return info, nil
}

// complaint sorts what the server complains of: an error is the end.
func (w *protoWire) complaint(text string) error {
	lower := strings.ToLower(text)
	switch {
	case strings.HasPrefix(lower, "permissions violation"):
		w.receiver.trouble(fmt.Errorf("%w: %s", ErrPermission, text))
	case strings.HasPrefix(lower, "maximum subscriptions exceeded"):
		w.receiver.trouble(fmt.Errorf("nats: %s", lower))
	default:
		return fmt.Errorf("nats: %s", lower)
	}
	return nil
}

// add puts a message into the batch. Its bytes still are where they were read to.
func (w *protoWire) add(op *protoOp) error {
	if w.last == nil || w.lastID != op.sid {
		w.mu.Lock()
		w.last, w.lastID = w.subs[op.sid], op.sid
		w.mu.Unlock()
	}
	sub := w.last
	if sub == nil {
		return nil // nobody wants it any more
	}
	m := inbound{route: sub.route, subject: sub.subject, data: op.data}
	if string(op.subject) != m.subject {
		if string(op.subject) != w.subject {
			w.subject = string(op.subject)
		}
		m.subject = w.subject
	}
	if len(op.reply) > 0 {
		m.reply = string(op.reply)
	}
	if len(op.header) > 0 {
		h, err := parseHeader(op.header)
		if err != nil {
			return err
		}
		m.header = h
	}
	w.batch = append(w.batch, m)
	return nil
}

// deliver hands on the batch, with one copy of all its bytes: whoever keeps one message of a
// batch keeps them all, at most what one read has brought.
func (w *protoWire) deliver() (calm bool) {
	w.last = nil
	if len(w.batch) == 0 {
		return true
	}
	size := 0
	for i := range w.batch {
		size += len(w.batch[i].data)
	}
	all := make([]byte, 0, size)
	for i := range w.batch {
		m := &w.batch[i]
		at := len(all)
		all = append(all, m.data...)
		m.data = all[at:len(all):len(all)]
	}
	calm = w.receiver.receive(w.batch)
	clear(w.batch)
	w.batch = w.batch[:0]
	return calm
}

// write is the writer.
func (w *protoWire) write() {
	var spare []byte
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		for len(w.out) == 0 && !w.over {
			w.some.Wait()
		}
		if w.over {
			return
		}
		out := w.out
		w.out, w.writing = spare[:0], true
		w.mu.Unlock()
		_, err := w.conn.Write(out)
		w.mu.Lock()
		w.writing = false
		w.room.Broadcast()
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
func (w *protoWire) tryWrite() bool {
	if w.direct == nil || w.writing || w.over || !w.direct.TryWrite(w.out) {
		return false
	}
	if w.out = w.out[:0]; cap(w.out) > 2*burstBytes {
		w.out = nil
	}
	w.room.Broadcast()
	return true
}

// fail notes why the connection has ended; the first reason counts.
func (w *protoWire) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return
	}
	w.over, w.err, w.out = true, err, nil
	w.some.Broadcast()
	w.room.Broadcast()
}

// say adds a line that does not wait.
func (w *protoWire) say(line string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.put(line)
}

// put is say with w.mu held; false if it is over.
func (w *protoWire) put(line string) bool {
	if w.over {
		return false
	}
	w.out = append(w.out, line...)
	if !w.bursts.note(w) {
		w.some.Signal()
	}
	return true
}

func (w *protoWire) disconnected() error { return fmt.Errorf("%w: %w", ErrDisconnected, w.err) }

func (w *protoWire) publish(m OutMsg) error {
	if size := m.size(); size > w.maxPayload() {
		return fmt.Errorf("%w: %d bytes, and the server takes %d", ErrMessageTooLarge, size, w.maxPayload())
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.out) >= writeBuffer && !w.over && !w.bursts.on.Load() {
		w.waiting++
		w.room.Wait()
		w.waiting--
	}
	if w.over {
		return w.disconnected()
	}
	if !w.bursts.note(w) {
		w.out = appendPub(w.out, &m)
		w.some.Signal()
		return nil
	}
	// Nobody waits in a burst: what cannot be written now is the writer's.
	w.out = appendPubHead(w.out, &m)
	if len(w.out)+len(m.Data) >= burstBytes && w.tryWrite() && len(m.Data) >= burstBytes && w.direct.TryWrite(m.Data) {
		m.Data = nil
	}
	w.out = append(append(w.out, m.Data...), "\r\n"...)
	return nil
}

func (w *protoWire) subscribe(subject, queue string, route *leg) (wireSub, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.over {
		return nil, w.disconnected()
	}
	w.serial++
	sub := &protoSub{w.serial, subject, route}
	w.subs[sub.id] = sub
	line := "SUB " + subject + " "
	if queue != "" {
		line += queue + " "
	}
	w.put(line + strconv.FormatUint(sub.id, 10) + "\r\n")
	return sub, nil
}

// retire forgets the subscription when the server has answered: nothing comes by it then.
func (w *protoWire) retire(s wireSub) error {
	sub := s.(*protoSub)
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.put("UNSUB " + strconv.FormatUint(sub.id, 10) + "\r\nPING\r\n") {
		return w.disconnected()
	}
	w.retired++
	w.pongs = append(w.pongs, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		delete(w.subs, sub.id)
		w.retired--
	})
	return nil
}

func (w *protoWire) flush(ctx context.Context) error {
	answered := make(chan struct{})
	w.mu.Lock()
	if !w.put("PING\r\n") {
		defer w.mu.Unlock()
		return w.disconnected()
	}
	w.pongs = append(w.pongs, func() { close(answered) })
	w.mu.Unlock()
	select {
	case <-answered:
		return nil
	case <-w.ended:
		return w.disconnected()
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return fmt.Errorf("%w: %w", ErrTimeout, ctx.Err())
		}
		return ctx.Err()
	}
}

func (w *protoWire) distance() time.Duration { return w.measured }
func (w *protoWire) maxPayload() int         { return int(w.max.Load()) }
func (w *protoWire) done() <-chan struct{}   { return w.ended }
func (w *protoWire) cause() error            { return w.err }

// close: see natsWire.close, of which it keeps both rules.
func (w *protoWire) close() {
	ctx, cancel := context.WithTimeout(context.Background(), closing)
	defer cancel()
	w.conn.SetWriteDeadline(time.Now().Add(closing))
	w.mu.Lock()
	unsubscribing := w.retired > 0
	w.mu.Unlock()
	if unsubscribing {
		_ = w.flush(ctx) // whatever comes of it, the connection ends
	}
	stop := context.AfterFunc(ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.room.Broadcast()
	})
	defer stop()
	w.mu.Lock()
	w.some.Signal() // a burst may have left something that was to be followed by more
	for (len(w.out) > 0 || w.writing) && !w.over && ctx.Err() == nil {
		w.room.Wait()
	}
	w.mu.Unlock()
	w.fail(transport.ErrUnclean)
	w.conn.Close()
	<-w.ended
}
