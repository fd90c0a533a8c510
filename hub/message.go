package hub

import (
	"fmt"
	"strings"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/keep"
	"github.com/kinopio-hub/kinopio-hub/v3/internal/natswire"
)

// Header is a message's headers: names as given, each with its values.
type Header map[string][]string

// Get returns the first value of name, compared as it is written, or "".
func (h Header) Get(name string) string {
	if v := h[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// check refuses what cannot stand in a message: names other than visible ASCII without a
// colon, values with line breaks, and names that are the hub's own, unless the bridge may have that of versions.
func (h Header) check(versions bool) error {
	if len(h) == 0 {
		return nil // far cheaper than a loop over nothing
	}
	for name, values := range h {
		if name == natswire.HeaderNumber || name == headerSet && !versions {
			return fmt.Errorf("%w: header name %q: it is the hub's own, for the number or the version of a message: want another name", ErrInvalidValue, name)
		}
		if name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == ':' }) {
			return fmt.Errorf("%w: header name %q: want visible ASCII without a colon", ErrInvalidValue, name)
		}
		for _, v := range values {
			if strings.ContainsAny(v, "\r\n\x00") {
				return fmt.Errorf("%w: header %s: %q: want no line breaks", ErrInvalidValue, name, v)
			}
		}
	}
	return nil
}

// OutMsg is a message to send, as bytes.
type OutMsg struct {
	Subject string
	Reply   string // where an answer is wanted, or ""
	Header  Header
	Data    []byte

	number number
	answer bool   // to somebody's inbox: it has no number
	line   []byte // the number as it is written, from the beginning of the headers; nil: it is still to be
}

// Message is a message that arrived. It may be kept, and must not be changed.
type Message struct {
	Subject string
	Reply   string // where an answer is wanted, or ""
	Header  Header
	Data    []byte

	number  number
	stamp   *keep.Stamp // of a set value
	verdict keep.Verdict
	hub     *Hub
	link    *link // where it arrived, and an answer to it leaves
}

// Value decodes the payload: nil if empty, else the JSON value in it, else the text, else
// (not valid UTF-8) the bytes; with [Config.Codec], what the codec makes of it.
func (m *Message) Value() any { return m.hub.decode(m.Data) }

// Decode stores the JSON (or codec) value of the payload in the value that into points to.
func (m *Message) Decode(into any) error { return decodeInto(m.hub.cfg.codec(), m.Data, into) }

// Respond answers the message. It fails with ErrNoReply when no answer is wanted.
func (m *Message) Respond(value any) error {
	data, err := m.hub.encode(value)
	if err != nil {
		return err
	}
	return m.Responder().Respond(OutMsg{Data: data})
}

// checkMessage refuses a message that no server would take, or another one than was meant.
func (h *Hub) checkMessage(m *OutMsg) error {
	if m.Reply != "" {
		if err := checkName(m.Reply, false); err != nil {
			return fmt.Errorf("reply: %w", err)
		}
	}
	return m.Header.check(h.cfg.onLink != nil)
}

// size is what counts against a server's max payload, in bytes: data and encoded headers, with a
// number at its longest.
func (m *OutMsg) size() int { return natswire.Size(len(m.Data), m.Header, m.number.Stream != 0) }

// wire is m as a wire takes it.
func (m *OutMsg) wire() natswire.Msg {
	return natswire.Msg{Subject: m.Subject, Reply: m.Reply, Header: m.Header, Data: m.Data, Number: m.number, Line: m.line}
}

// A Responder answers one message, also after the call that brought the message.
type Responder struct {
	hub   *Hub
	link  *link
	reply string
}

// Responder may be kept where the message may not.
func (m *Message) Responder() Responder { return Responder{m.hub, m.link, m.Reply} }

// Respond sends the answer; out.Subject is ignored. It leaves by the link that brought the
// message, or, when that has gone, by the current one: see [Hub.Publish] for how long it may wait for that. It fails with
// ErrNoReply when no answer is wanted.
func (r Responder) Respond(out OutMsg) error {
	s := r.send(out)
	if r.reply == "" {
		return s.err
	}
	return r.hub.reportLater(s)
}

// send is Respond that says what becomes of the answer.
func (r Responder) send(out OutMsg) *receipt {
	if r.reply == "" {
		return failedReceipt(ErrNoReply)
	}
	if err := r.hub.checkMessage(&out); err != nil {
		return failedReceipt(err)
	}
	return r.respond(out)
}

// respond is Respond with headers that are known to be good.
func (r Responder) respond(out OutMsg) *receipt {
	out.Subject, out.answer = r.reply, true
	if err := r.hub.checkLength(r.reply, len(out.Reply)); err != nil {
		return failedReceipt(err)
	}
	r.hub.answered.Store(true)
	if err := tooLarge(r.link, []OutMsg{out}); err != nil {
		return failedReceipt(err)
	}
	if err := r.hub.publish(r.link, out); err == nil {
		return handedOver
	} else if !isDisconnected(err) {
		return failedReceipt(err)
	}
	return r.hub.outbox.send([]OutMsg{out})
}
