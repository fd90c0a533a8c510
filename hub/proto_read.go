package hub

import (
	"fmt"
	"strings"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/plainjson"
	"github.com/kinopio-hub/kinopio-hub/v3/transport"
)

// next reads the next operation of the server, which holds until the next call.
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

// parse takes the next thing that has been read; see parseOp.
func (w *protoWire) parse(op *protoOp) (need int, err error) {
	op.size, need, err = parseOp(w.in[w.from:w.to], op)
	w.from += op.size
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
func (w *protoWire) start() {
	go w.writeLoop()
	if direct, ok := w.conn.(transport.Direct); ok {
		w.direct = direct
		direct.Pour(w)
	} else {
		go w.runReader()
	}
}

// runReader is the goroutine that reads from the connection.
func (w *protoWire) runReader() {
	w.Ended(w.readLoop())
}

// readLoop reads and handles what the server sends until the connection ends, and returns why.
func (w *protoWire) readLoop() error {
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
func (w *protoWire) processBuffered() (need int, idle bool, err error) {
	var op protoOp
	idle = true
	for {
		if need, err = w.parse(&op); err == nil {
			if op.kind == protoMore {
				break
			}
			idle = idle && op.kind == protoMsg
			err = w.handleOp(&op)
		}
		if err != nil {
			break
		}
	}
	return need, w.deliver() && idle, err
}

// Room implements [transport.Sink].
func (w *protoWire) Room(n int) []byte {
	w.makeRoom(max(w.need, w.to-w.from+n))
	return w.in[w.to : w.to+n]
}

// Filled implements [transport.Sink].
func (w *protoWire) Filled(n int) (idle bool) {
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

// handleOp handles one operation of the server; an error ends the connection.
func (w *protoWire) handleOp(op *protoOp) error {
	switch op.kind {
	case protoMsg:
		return w.add(op)
	case protoPing:
		w.writeLine("PONG\r\n")
	case protoPong:
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
	case protoErr:
		w.deliver()
		return w.complaint(string(op.text))
	case protoInfo:
		w.deliver()
		info, err := w.info(op)
		if err != nil {
			return err
		}
		if info.lameDuck {
			w.receiver.leaving()
		}
	}
	return nil
}

// protoServer is what a server says of itself in INFO.
type protoServer struct {
	nonce    string // to be signed; "" if the server asks for no key
	headers  bool
	lameDuck bool
	clientIP string // the client's address, as the server sees it

	tlsRequired, tlsAvailable bool
}

// info reads INFO.
func (w *protoWire) info(op *protoOp) (info protoServer, err error) {
	r, err := plainjson.Read(op.text)
	if err == nil {
		info = protoServer{
			nonce: r.Text("nonce"), headers: r.Bool("headers"), lameDuck: r.Bool("ldm"),
			clientIP:    r.Text("client_ip"),
			tlsRequired: r.Bool("tls_required"), tlsAvailable: r.Bool("tls_available"),
		}
		w.max.Store(r.Int("max_payload"))
		if ip := info.clientIP; ip != "" { // behind a proxy that tells it, in the second INFO
			w.mu.Lock()
			w.clientIP = ip
			w.mu.Unlock()
		}
		err = r.Err()
	}
	if err != nil {
		return info, fmt.Errorf("%w: INFO: %w", errProto, err)
	}
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
	case strings.HasPrefix(lower, "invalid subject"), strings.HasPrefix(lower, "invalid publish subject"):
		w.receiver.trouble(fmt.Errorf("%w: nats: %s", ErrInvalidName, lower))
	case strings.HasPrefix(lower, "maximum control line exceeded"):
		return w.overlong()
	default:
		return fmt.Errorf("nats: %s", lower)
	}
	return nil
}

// add puts a message into the batch, with those that come in a row with it. Their bytes still are
// where they were read to.
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
	var text []byte // of the number
	plain := len(op.header) == 0
	if !plain {
		if m.number, text, plain = onlyNumber(op.header); !plain {
			h, wrong := parseHeader(op.header)
			if wrong != nil {
				w.receiver.trouble(fmt.Errorf("%w: headers of a message on %s: %w", ErrMalformed, m.subject, wrong))
			}
			m.header = h
			m.takeNumber()
		}
		if m.number.stream != 0 && m.stored() {
			m.number = number{}
		}
	}
	w.batch = append(w.batch, m)
	if sub.route != nil && op.reply == nil && plain {
		w.takeRun(op, text)
	}
	return nil
}

// takeRun makes a run of op, which has just been added, and of the messages that follow it, as long
// as their lines differ in the size at most, and their numbers, if text is the first one's, are in a
// row. What is wrong or incomplete is left to parse.
func (w *protoWire) takeRun(op *protoOp, text []byte) {
	b, at := w.in[:w.to], w.from
	begin := b[at-op.size : at-len("\r\n")-len(op.data)-len("\r\n")-len(op.header)]
	for begin[len(begin)-1] != ' ' { // the size
		begin = begin[:len(begin)-1]
	}
	count := w.batch[len(w.batch)-1].number.count
	var head []byte // of the headers, up to the count
	digits := 0     // of the count
	if text != nil {
		for text[len(text)-1-digits] != '.' {
			digits++
		}
		head = op.header[:len(numberLine)+len(text)-digits]
	}
	first := len(w.runs)
	w.runs = append(w.runs, op.data)
	for {
		i := at + len(begin)
		if i >= len(b) || string(b[at:i]) != string(begin) {
			break
		}
		size, from := 0, i
		for ; i < len(b) && b[i]-'0' <= 9; i++ {
			size = 10*size + int(b[i]-'0')
		}
		if i == from || i > from+len("999999999") {
			break
		}
		from = i + len("\r\n")
		to := from + size
		end := to + len("\r\n")
		if end > len(b) || b[i] != '\r' || b[i+1] != '\n' || b[to] != '\r' || b[to+1] != '\n' {
			break
		}
		if text != nil {
			header := len(head) + digits + len("\r\n\r\n")
			if size < header || string(b[from:from+len(head)]) != string(head) || string(b[from+header-4:from+header]) != "\r\n\r\n" {
				break
			}
			if n, ok := parse62(b[from+len(head) : from+len(head)+digits]); !ok || n != count+1 {
				break
			}
			count++
			from += header
		}
		w.runs = append(w.runs, b[from:to])
		at = end
	}
	w.from = at
	m := &w.batch[len(w.batch)-1]
	m.data, m.run = nil, w.runs[first:len(w.runs):len(w.runs)]
}

// deliver hands on the batch, with one copy of all bytes of single messages: whoever keeps one of
// a batch keeps them all, at most what one read has brought.
func (w *protoWire) deliver() (idle bool) {
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
		if m.run != nil {
			continue
		}
		at := len(all)
		all = append(all, m.data...)
		m.data = all[at:len(all):len(all)]
	}
	idle = w.receiver.receive(w.batch)
	clear(w.batch)
	clear(w.runs)
	w.batch, w.runs = w.batch[:0], w.runs[:0]
	return idle
}
