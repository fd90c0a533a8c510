package main

import (
	"encoding/binary"
	"errors"
	"strings"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// What JavaScript asks for, one or more in a batch. A batch is a sequence of 32-bit
// little-endian words; byte strings are padded with zeros to whole words.
// npm/src/ops.ts writes them.
//
//	open        op, length, JSON
//	subject     op, subject id, length, text            names a subject, for all later ops, until the id is another's
//	publish     op, ack id, count, then count messages  all or none of them; one ack row
//	subscribe   op, id, subject id, flags, max, length, queue
//	unsubscribe op, id
//	request     op, id, timeout ms | flagCancel, message
//	cancel      op, request id
//	respond     op, ack id, responder id, message       the message's subject id is 0
//	command     op, id, command, timeout ms             one done row
//	requestMany op, id, window ms, max, message         message rows, then one done row
//	drain       op, id, subscription id                 its last message rows, then one done row
//	credentials op, id, length, JSON                    answers an ask row
//
//	message     subject id, header length, reply length, data length, header, reply, data
//	            (the three byte strings follow each other, padded together)
//	header      name, 0, value, 0, name, 0, value, 0 …
const (
	opOpen uint32 = iota + 1
	opSubject
	opPublish
	opSubscribe
	opUnsubscribe
	opRequest
	opCancel
	opRespond
	opCommand
	opRequestMany
	opDrain
	opCredentials
)

// The flags of subscribe.
const (
	flagSubject uint32 = 1 << iota // rows carry the subject, for wildcards
	flagReady                      // a row says when the server has the subscription
	flagServe                      // every message will be answered
	flagArrival                    // in the order of arrival
	flagControl                    // the hub's own: it counts for nobody
)

// flagCancel, in the timeout of a request: a cancel may follow.
const flagCancel uint32 = 1 << 31

// The commands.
const (
	cmdConnect uint32 = iota + 1
	cmdConnected
	cmdReconnect
	cmdFlush
	cmdLocalNetwork
	cmdHealth
)

// errBatch: the glue and the module do not belong together.
var errBatch = errors.New("malformed batch: the JavaScript and the .wasm are of different versions")

// reader takes a batch apart. After it has failed every method returns zero values.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) word() uint32 {
	if len(r.b) < 4 {
		r.bad, r.b = true, nil
		return 0
	}
	v := binary.LittleEndian.Uint32(r.b)
	r.b = r.b[4:]
	return v
}

// bytes returns the next n bytes, without a copy, and skips their padding.
func (r *reader) bytes(n uint32) []byte {
	padded := (uint64(n) + 3) &^ 3
	if padded > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[padded:]
	return v
}

// message reads one message; its data is not copied. subjects resolves the subject's id,
// of which 0 is none.
func (r *reader) message(subjects []string) hub.OutMsg {
	subject, header, reply, data := r.word(), r.word(), r.word(), r.word()
	total := uint64(header) + uint64(reply) + uint64(data)
	if r.bad || total > uint64(len(r.b)) || uint64(subject) >= uint64(len(subjects)) {
		r.bad, r.b = true, nil
		return hub.OutMsg{}
	}
	all := r.bytes(uint32(total))
	if r.bad {
		return hub.OutMsg{}
	}
	return hub.OutMsg{
		Subject: subjects[subject],
		Header:  parseHeader(all[:header]),
		Reply:   string(all[header : header+reply]),
		Data:    all[header+reply:],
	}
}

func parseHeader(b []byte) hub.Header {
	if len(b) == 0 {
		return nil
	}
	h := hub.Header{}
	for rest := string(b); rest != ""; {
		var name, value string
		name, rest, _ = strings.Cut(rest, "\x00")
		value, rest, _ = strings.Cut(rest, "\x00")
		h[name] = append(h[name], value)
	}
	return h
}
