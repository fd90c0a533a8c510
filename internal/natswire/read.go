package natswire

import (
	"fmt"
	"strings"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/plainjson"
	"github.com/kinopio-hub/kinopio-hub/v3/transport"
)

// next reads the next operation of the server, which holds until the next call.
func (w *Conn) next(op *operation) error {
	for {
		need, err := w.parse(op)
		if err != nil || op.kind != opMore {
			return err
		}
		if err := w.readMore(need); err != nil {
			return err
		}
	}
}

// parse takes the next thing that has been read; see parseOp.
func (w *Conn) parse(op *operation) (need int, err error) {
	op.size, need, err = parseOp(w.in[w.from:w.to], op)
	w.from += op.size
	return need, err
}

func (w *Conn) readMore(need int) error {
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
func (w *Conn) makeRoom(need int) {
	rest := w.in[w.from:w.to]
	if w.smallReads++; need > readBuffer {
		w.smallReads = 0
	}
	switch {
	case len(rest) == 0 && len(w.in) > keptBuffer && w.smallReads > shrinkAfterReads:
		w.in = make([]byte, readBuffer)
	case len(rest) > 0 && w.from+need <= len(w.in):
		return
	case need > len(w.in):
		w.in = make([]byte, max(need, 2*len(w.in)))
	}
	w.from, w.to = 0, copy(w.in, rest)
}

// start begins to hand on what comes, without a goroutine if the connection knows how to.
func (w *Conn) Start() {
	go w.writeLoop()
	if direct, ok := w.conn.(transport.Direct); ok {
		w.direct = direct
		direct.Pour(w)
	} else {
		go w.runReader()
	}
}

// runReader is the goroutine that reads from the connection.
func (w *Conn) runReader() {
	w.Ended(w.readLoop())
}

// readLoop reads and handles what the server sends until the connection ends, and returns why.
func (w *Conn) readLoop() error {
	for {
		need, _, err := w.processBuffered()
		if err == nil {
			err = w.readMore(need)
		}
		if err != nil {
			return err
		}
	}
}

// processBuffered handles all that has been read. need is as in parseOp; idle is as in receiver, and false
// of everything but messages.
func (w *Conn) processBuffered() (need int, idle bool, err error) {
	var op operation
	idle = true
	for {
		if need, err = w.parse(&op); err == nil {
			if op.kind == opMore {
				break
			}
			idle = idle && op.kind == opMsg
			err = w.handleOp(&op)
		}
		if err != nil {
			break
		}
	}
	return need, w.deliver() && idle, err
}

// Room implements [transport.Sink].
func (w *Conn) Room(n int) []byte {
	w.makeRoom(max(w.need, w.to-w.from+n))
	return w.in[w.to : w.to+n]
}

// Filled implements [transport.Sink].
func (w *Conn) Filled(n int) (idle bool) {
	w.to += n
	need, idle, err := w.processBuffered()
	w.need = need
	if err != nil {
		w.Ended(err)
	}
	return idle && err == nil
}

// Ended implements [transport.Sink]: it notes why the connection has ended, of which the first
// reason counts, and closes it.
func (w *Conn) Ended(err error) {
	w.fail(err)
	w.once.Do(func() {
		w.conn.Close()
		w.mu.Lock()
		w.subs, w.pongs = nil, nil
		w.mu.Unlock()
		close(w.ended)
	})
}

// handleOp handles one operation of the server; an error ends the connection.
func (w *Conn) handleOp(op *operation) error {
	switch op.kind {
	case opMsg:
		return w.add(op)
	case opPing:
		w.writeLine("PONG\r\n")
	case opPong:
		w.deliver() // whoever waits for the answer relies on it
		w.mu.Lock()
		var done func()
		if len(w.pongs) > 0 {
			done, w.pongs = w.pongs[0].answered, w.pongs[1:]
		}
		w.mu.Unlock()
		if done != nil {
			done()
		}
	case opErr:
		w.deliver()
		if !w.isAccepted() {
			return fmt.Errorf("nats: %s", op.text)
		}
		return w.complaint(string(op.text))
	case opInfo:
		w.deliver()
		info, err := w.info(op)
		if err != nil {
			return err
		}
		if info.LameDuck {
			w.receiver.Leaving()
		}
	}
	return nil
}

// ServerInfo is what a server says of itself in INFO.
type ServerInfo struct {
	Nonce    string // to be signed; "" if the server asks for no key
	Headers  bool
	LameDuck bool
	ClientIP string // the client's address, as the server sees it

	TLSRequired, TLSAvailable bool
}

// info reads INFO.
func (w *Conn) info(op *operation) (info ServerInfo, err error) {
	r, err := plainjson.Read(op.text)
	if err == nil {
		info = ServerInfo{
			Nonce: r.Text("nonce"), Headers: r.Bool("headers"), LameDuck: r.Bool("ldm"),
			ClientIP:    r.Text("client_ip"),
			TLSRequired: r.Bool("tls_required"), TLSAvailable: r.Bool("tls_available"),
		}
		w.max.Store(r.Int("max_payload"))
		if ip := info.ClientIP; ip != "" { // behind a proxy that tells it, in the second INFO
			w.mu.Lock()
			w.clientIP = ip
			w.mu.Unlock()
		}
		err = r.Err()
	}
	if err != nil {
		return info, fmt.Errorf("%w: INFO: %w", ErrProtocol, err)
	}
	return info, nil
}

// complaint sorts what the server complains of: an error is the end.
func (w *Conn) complaint(text string) error {
	lower := strings.ToLower(text)
	switch {
	case strings.HasPrefix(lower, "permissions violation"):
		w.receiver.Trouble(fmt.Errorf("%w: %s", w.errs.Permission, text))
	case strings.HasPrefix(lower, "maximum subscriptions exceeded"):
		w.receiver.Trouble(fmt.Errorf("nats: %s", lower))
	case strings.HasPrefix(lower, "invalid subject"), strings.HasPrefix(lower, "invalid publish subject"):
		w.receiver.Trouble(fmt.Errorf("%w: nats: %s", w.errs.InvalidName, lower))
	case strings.HasPrefix(lower, "maximum control line exceeded"):
		return w.overlong()
	default:
		return fmt.Errorf("nats: %s", lower)
	}
	return nil
}

// add puts a message into the batch, with those that come in a row with it. Their bytes still are
// where they were read to.
func (w *Conn) add(op *operation) error {
	if w.last == nil || w.lastID != op.sid {
		w.mu.Lock()
		w.last, w.lastID = w.subs[op.sid], op.sid
		w.mu.Unlock()
	}
	sub := w.last
	if sub == nil {
		return nil // nobody wants it any more
	}
	m := Inbound{Route: sub.route, Subject: sub.subject, Data: op.data}
	if string(op.subject) != m.Subject {
		if string(op.subject) != w.subject {
			w.subject = string(op.subject)
		}
		m.Subject = w.subject
	}
	if len(op.reply) > 0 {
		m.Reply = string(op.reply)
	}
	var text []byte // of the number
	plain := len(op.header) == 0
	if !plain {
		if m.Number, text, plain = onlyNumber(op.header); !plain {
			h, wrong := parseHeader(op.header)
			if wrong != nil {
				w.deliver() // what came before is told before
				w.receiver.Trouble(fmt.Errorf("%w: headers of a message on %s: %w", w.errs.Malformed, m.Subject, wrong))
			}
			m.Header = h
			m.Number, m.Header = takeNumber(m.Header)
		}
		if m.Number.Stream != 0 && IsStored(m.Reply) {
			m.Number = Number{}
		}
	}
	w.batch = append(w.batch, m)
	if sub.route != nil && op.reply == nil && plain {
		w.takeRun(op, text)
	}
	return nil
}

// deliver hands on the batch, with one copy of all bytes of single messages: whoever keeps one of
// a batch keeps them all, at most what one read has brought.
func (w *Conn) deliver() (idle bool) {
	w.last = nil
	if len(w.batch) == 0 {
		return true
	}
	size := 0
	for i := range w.batch {
		size += len(w.batch[i].Data)
	}
	all := make([]byte, 0, size)
	for i := range w.batch {
		m := &w.batch[i]
		if m.Run != nil {
			continue
		}
		at := len(all)
		all = append(all, m.Data...)
		m.Data = all[at:len(all):len(all)]
	}
	idle = w.receiver.Receive(w.batch)
	clear(w.batch)
	clear(w.runs)
	w.batch, w.runs = w.batch[:0], w.runs[:0]
	return idle
}
