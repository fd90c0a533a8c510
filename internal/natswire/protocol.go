package natswire

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// The client's side of the NATS protocol: what a server says, taken apart, and what a client
// says, put together.
// https://docs.nats.io/reference/reference-protocols/nats-protocol

const (
	// protoLine bounds a line of the server's. The longest is INFO, with the addresses of a cluster.
	maxLine = 1 << 20
	// protoPayload bounds a message, headers included. Servers take 64 MiB at most.
	maxMessage = 1 << 27
)

// errProto: this is not a NATS server, or bytes were lost on the way.
var ErrProtocol = errors.New("malformed NATS protocol")

// protoKind says what a server has said.
type opKind int

const (
	opMore opKind = iota // the rest has not come yet
	opMsg
	opPing
	opPong
	opOK
	opErr  // text
	opInfo // text, JSON
)

// A protoOp is one thing that a server has said. It points into the bytes it was read from.
type operation struct {
	kind                         opKind
	text                         []byte
	subject, reply, header, data []byte
	sid                          uint64
	size                         int // of it all, in bytes
}

// parseOp takes the first thing off b; size is how many bytes that were. Of one that has not
// come as a whole, need is how many bytes it will have, if that is known.
func parseOp(b []byte, op *operation) (size, need int, err error) {
	op.kind = opMore
	if len(b) > 4 && b[0] == 'M' && string(b[:4]) == "MSG " {
		return parseMsg(b, len("MSG "), 1, op)
	}
	if len(b) > 5 && b[0] == 'H' && string(b[:5]) == "HMSG " {
		return parseMsg(b, len("HMSG "), 2, op)
	}
	end := bytes.IndexByte(b, '\n')
	if end < 0 {
		return 0, 0, longLine(b)
	}
	size = end + 1
	line := bytes.TrimSuffix(b[:end], []byte("\r"))
	word, rest, _ := bytes.Cut(line, []byte(" "))
	switch string(word) {
	case "PING":
		op.kind = opPing
	case "PONG":
		op.kind = opPong
	case "+OK":
		op.kind = opOK
	case "-ERR":
		op.kind, op.text = opErr, bytes.Trim(rest, " '")
	case "INFO":
		op.kind, op.text = opInfo, rest
	default:
		return 0, 0, fmt.Errorf("%w: the server says %.40q", ErrProtocol, line)
	}
	return size, 0, nil
}

// longLine refuses the beginning of a line that is too long already.
func longLine(b []byte) error {
	if len(b) > maxLine {
		return fmt.Errorf("%w: a line of more than %d bytes", ErrProtocol, maxLine)
	}
	return nil
}

// parseMsg reads "subject sid [reply] [header size] size", from at on, and what follows the line.
// sizes is how many sizes there are.
func parseMsg(b []byte, at, sizes int, op *operation) (size, need int, err error) {
	// One look at each byte: this is what a page that receives does most.
	var field [5][]byte
	n, begin := 0, at
	for ; ; at++ {
		if at == len(b) {
			return 0, 0, longLine(b)
		}
		c := b[at]
		if c != ' ' && c != '\n' {
			continue
		}
		f := b[begin:at]
		if c == '\n' && len(f) > 0 && f[len(f)-1] == '\r' {
			f = f[:len(f)-1]
		}
		begin = at + 1
		if len(f) > 0 {
			if n < len(field) {
				field[n] = f
			}
			n++
		}
		if c == '\n' {
			break
		}
	}
	at = begin
	bad := func() (int, int, error) {
		return 0, 0, fmt.Errorf("%w: the server says %.200q", ErrProtocol, b[:at])
	}
	op.reply = nil
	switch n {
	case 2 + sizes:
	case 3 + sizes:
		op.reply = field[2]
	default:
		return bad()
	}
	sid, ok := decimal(field[1])
	total, ok2 := decimal(field[n-1])
	header, ok3 := uint64(0), true
	if sizes == 2 {
		header, ok3 = decimal(field[n-2])
	}
	if !ok || !ok2 || !ok3 || total > maxMessage || header > total {
		return bad()
	}
	size = at + int(total) + len("\r\n")
	if len(b) < size {
		return 0, size, nil
	}
	if b[size-2] != '\r' || b[size-1] != '\n' {
		return bad()
	}
	op.kind, op.subject, op.sid = opMsg, field[0], sid
	op.header, op.data = b[at:at+int(header)], b[at+int(header):size-2]
	return size, 0, nil
}

// decimal reads a number without sign.
func decimal(b []byte) (n uint64, ok bool) {
	if len(b) == 0 || len(b) > 18 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, true
}

// appendPub adds a message as a client says it. Names and headers have been checked.
func appendPub(b []byte, m *Msg) []byte {
	return append(append(appendPubHead(b, m), m.Data...), "\r\n"...)
}

// appendPubHead is appendPub up to the data.
func appendPubHead(b []byte, m *Msg) []byte {
	line := m.Line
	if line == nil && m.Number.Stream != 0 {
		line = AppendNumber([]byte(NumberLine), m.Number)
	}
	header := 0
	if line != nil {
		header = len(line) + len("\r\n\r\n")
	}
	if len(m.Header) > 0 {
		if header == 0 {
			header = len(headerLine + "\r\n\r\n")
		}
		for name, values := range m.Header {
			for _, v := range values {
				header += len(name) + len(": \r\n") + len(v)
			}
		}
	}
	if header > 0 {
		b = append(b, 'H')
	}
	b = append(b, "PUB "...)
	b = append(b, m.Subject...)
	b = append(b, ' ')
	if m.Reply != "" {
		b = append(b, m.Reply...)
		b = append(b, ' ')
	}
	if header > 0 {
		b = strconv.AppendInt(b, int64(header), 10)
		b = append(b, ' ')
	}
	b = strconv.AppendInt(b, int64(header+len(m.Data)), 10)
	b = append(b, "\r\n"...)
	if header > 0 {
		if line != nil {
			b = append(append(b, line...), "\r\n"...)
		} else {
			b = append(b, headerLine+"\r\n"...)
		}
		for name, values := range m.Header {
			for _, value := range values {
				b = append(append(b, name...), ": "...)
				b = append(append(b, value...), "\r\n"...)
			}
		}
		b = append(b, "\r\n"...)
	}
	return b
}
