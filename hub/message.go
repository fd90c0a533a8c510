package hub

// Header is a message's headers: names as given, each with its values.
type Header map[string][]string

// Get returns the first value of name, compared as it is written, or "".
func (h Header) Get(name string) string {
	if v := h[name]; len(v) > 0 {
		return v[0]
	}
	return ""
}

// OutMsg is a message to send, as bytes.
type OutMsg struct {
	Subject string
	Reply   string // where an answer is wanted, or ""
	Header  Header
	Data    []byte
}

// Message is a message that arrived. It may be kept, and must not be changed.
type Message struct {
	Subject string
	Reply   string // where an answer is wanted, or ""
	Header  Header
	Data    []byte

	hub  *Hub
	link *link // where it arrived, and an answer to it leaves
}

// Value decodes the payload: nil if empty, else the JSON value in it, else the text, else
// (not valid UTF-8) the bytes; with [Config.Codec], what the codec makes of it.
func (m *Message) Value() any { return m.hub.decode(m.Data) }

// Decode stores the JSON (or codec) value of the payload in the value that into points to.
func (m *Message) Decode(into any) error { return decodeInto(m.hub.cfg.Codec, m.Data, into) }

// Respond answers the message. It fails with ErrNoReply when no answer is wanted.
func (m *Message) Respond(value any) error {
	data, err := m.hub.encode(value)
	if err != nil {
		return err
	}
	return m.RespondMsg(OutMsg{Data: data})
}

// RespondMsg answers the message with headers and bytes; out.Subject is ignored. The answer
// leaves by the link that brought the message, or, when that has gone, by the current one.
func (m *Message) RespondMsg(out OutMsg) error {
	if m.Reply == "" {
		return ErrNoReply
	}
	out.Subject = m.Reply
	return m.hub.respond(m.link, out)
}
