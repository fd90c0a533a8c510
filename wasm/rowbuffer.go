package main

import (
	"errors"
	"slices"
	"sort"
	"strings"
	"sync"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
	"github.com/kinopio-hub/kinopio-hub/v3/internal/bridge"
)

// What Go tells JavaScript, one row each. npm/src/rows.ts reads them.
const (
	rowMessage   uint32 = iota + 1 // id: subscription, aux: responder id, 0 if no answer is wanted
	rowReply                       // id: request
	rowFailed                      // id: request; error in meta, a service's payload in data
	rowAck                         // id: first ack id, aux: how many in a row are settled
	rowAckFailed                   // id: ack id; error
	rowReady                       // id: subscription
	rowRefused                     // id: subscription; error
	rowDone                        // id: command; error, or empty meta
	rowState                       // meta: JSON status
	rowMove                        // meta: JSON move
	rowError                       // error, asynchronous
	rowLog                         // aux: slog level + 8, meta: line
	rowClosed                      // the last row of a hub
	rowDiscovery                   // meta: JSON discovery status
	rowHealth                      // meta: JSON health
	rowAsk                         // id: of the answer, meta: server that wants credentials
	rowMissing                     // meta: JSON of what did not come and will not
	rowDenied                      // meta: subject on which the server does not permit to publish
	rowSet                         // rowMessage that sets or deletes the value of its subject
	rowLink                        // aux: 1: there is a connection after there was none, or another system; 0: there is none
)

// rowWords is the size of a row: kind, id, aux, data offset, data length, meta offset,
// subject length | reply length << 16, header length. In meta stand subject, reply and header (as in
// ops.go) one after the other; rows without a message have their text as the "header".
const rowWords = 8

// Kept from one take to the next; what a burst needed beyond that is let go.
const keepBytes = 4 << 20

// A rowBuffer collects rows until JavaScript takes them. Its zero value is empty.
// Safe for concurrent use; no method waits.
type rowBuffer struct {
	mu     sync.Mutex
	rows   []uint32
	data   []byte // payloads, one after the other
	meta   []byte
	notify func() // if set, called when rows appear in an empty outbox
}

// message adds a row of a message that arrived.
func (o *rowBuffer) message(kind, id, aux uint32, m *hub.Message, withSubject bool) {
	o.mu.Lock()
	metaOff, subject := len(o.meta), 0
	if withSubject {
		o.meta = append(o.meta, m.Subject...)
		subject = len(m.Subject)
	}
	o.meta = append(o.meta, m.Reply...)
	headerOff := len(o.meta)
	if len(m.Header) > 0 {
		o.meta = appendHeader(o.meta, m.Header)
		if kind == rowMessage && m.Header[bridge.HeaderSet] != nil {
			kind = rowSet
		}
	}
	dataOff := len(o.data)
	o.data = append(o.data, m.Data...)
	o.add(kind, id, aux, dataOff, len(m.Data), metaOff, subject|len(m.Reply)<<16, len(o.meta)-headerOff)
	o.mu.Unlock()
}

// run adds the rows of messages that arrived in a row.
func (o *rowBuffer) run(id uint32, r *bridge.Run, withSubject bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	metaOff, subject := len(o.meta), 0
	if withSubject {
		o.meta = append(o.meta, r.Subject...)
		subject = len(r.Subject)
	}
	o.rows = slices.Grow(o.rows, len(r.Data)*rowWords)
	o.data = slices.Grow(o.data, r.Size())
	for _, data := range r.Data {
		dataOff := len(o.data)
		o.data = append(o.data, data...)
		o.add(rowMessage, id, 0, dataOff, len(data), metaOff, subject, 0)
	}
}

// text adds a row without a message, with a text or JSON.
func (o *rowBuffer) text(kind, id, aux uint32, text string) { o.textData(kind, id, aux, text, nil) }

func (o *rowBuffer) textData(kind, id, aux uint32, text string, data []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	metaOff, dataOff := len(o.meta), len(o.data)
	o.meta = append(o.meta, text...)
	o.data = append(o.data, data...)
	o.add(kind, id, aux, dataOff, len(data), metaOff, 0, len(text))
}

// fail adds a row with an error: code, 0, text; of a service's error also 0, its code, 0, its text.
func (o *rowBuffer) fail(kind, id uint32, err error) {
	part := func(text string) string { return strings.ReplaceAll(text, "\x00", "\uFFFD") } // a service may write what it likes
	text := hub.Code(err) + "\x00" + part(err.Error())
	var data []byte
	if service := (*hub.ServiceError)(nil); errors.As(err, &service) {
		text += "\x00" + part(service.Code) + "\x00" + part(service.Message)
		data = service.Data
	}
	o.textData(kind, id, 0, text, data)
}

// ack adds a row that says that id is settled, or lengthens the last row, if it said so of id-1.
func (o *rowBuffer) ack(id uint32) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if n := len(o.rows); n > 0 {
		last := o.rows[n-rowWords:]
		if last[0] == rowAck && last[1]+last[2] == id {
			last[2]++
			return
		}
	}
	o.add(rowAck, id, 1, 0, 0, 0, 0, 0)
}

func (o *rowBuffer) add(kind, id, aux uint32, dataOff, dataLen, metaOff, names, headerLen int) {
	first := len(o.rows) == 0
	o.rows = append(o.rows, kind, id, aux, uint32(dataOff), uint32(dataLen), uint32(metaOff), uint32(names), uint32(headerLen))
	if first && o.notify != nil {
		o.notify()
	}
}

// take returns all rows and begins anew. What it returned stays as it is until reuse.
func (o *rowBuffer) take() (rows []uint32, data, meta []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	rows, data, meta = o.rows, o.data, o.meta
	o.rows, o.data, o.meta = nil, nil, nil
	return rows, data, meta
}

// reuse gives back the buffers of the last take, whose contents are needed no more.
func (o *rowBuffer) reuse(rows []uint32, data, meta []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.rows) == 0 && 4*cap(rows)+cap(data)+cap(meta) <= keepBytes {
		o.rows, o.data, o.meta = rows[:0], data[:0], meta[:0]
	}
}

func (o *rowBuffer) len() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.rows) / rowWords
}

// appendHeader separates names and values by NULs. One within a value, which a server passes on, would make
// further headers of what is behind it: it is U+FFFD.
func appendHeader(b []byte, h hub.Header) []byte {
	names := make([]string, 0, len(h))
	for name := range h {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		for _, value := range h[name] {
			b = append(append(b, strings.ReplaceAll(name, "\x00", "\uFFFD")...), 0)
			b = append(append(b, strings.ReplaceAll(value, "\x00", "\uFFFD")...), 0)
		}
	}
	return b
}
