package hub

import "strings"

// A keeper is what the rest of the hub sees of keeping. It is an interface so that pages, whose variables are JavaScript's,
// do not download it.
type keeper interface {
	// online: the hub has a link after it had none, or one to another system. offline: it has none.
	online()
	offline()
	// take takes the version out of the headers of a message; passes does, too, and says whether it is delivered. The
	// intake is locked.
	take(m *Message)
	passes(e *entry, r receivers, m *Message) bool
	// denied takes what the server does not permit of ownPrefix, if that is the keeper's affair, unpublished that of the
	// program's, and warn tells of it.
	denied(v *PermissionError) bool
	unpublished(subject string)
	warn(v *PermissionError)
	// pending is how many bytes of values wait to be sent.
	pending() int
}

type keeperBox struct{ keeper }

// keeper is the hub's, or one that does nothing before there is a variable.
func (h *Hub) keeper() keeper {
	if b := h.kept.Load(); b != nil {
		return b
	}
	return nobody{h}
}

// nobody is the keeper of a hub that has no variable: what is set are messages. Or values are the bridge's, which sees
// their versions as headers, and is told what it cannot see; so is presence.
type nobody struct{ h *Hub }

func (n nobody) online()  { n.link(true) }
func (n nobody) offline() { n.link(false) }
func (n nobody) link(online bool) {
	if n.h.cfg.onLink != nil {
		n.h.cfg.onLink(online)
	}
}
func (n nobody) take(m *Message) {
	if n.h.cfg.onLink == nil {
		m.takeVersion()
	}
}
func (n nobody) passes(e *entry, _ receivers, m *Message) bool {
	if !e.control {
		n.take(m)
	}
	return true
}
func (n nobody) denied(v *PermissionError) bool {
	if n.h.cfg.onLink == nil {
		return false
	}
	_, about := n.h.deniedValues(v)
	if !about {
		_, about = n.h.deniedPresence(v)
	}
	if about {
		n.h.cfg.onDenied(v.Subject)
	}
	return about
}
func (nobody) unpublished(string)    {}
func (nobody) warn(*PermissionError) {}
func (nobody) pending() int          { return 0 }

// deniedValues says whether what the server does not permit is about values, and lets the question fail that was not
// permitted: asked is the subject that it was about.
func (h *Hub) deniedValues(v *PermissionError) (asked string, about bool) {
	subject, asks := strings.CutPrefix(v.Subject, askPrefix)
	asks = asks && strings.Contains(subject, ".") // otherwise it is about what got lost
	if !asks {
		return "", v.Subject == subjectBeat || strings.HasPrefix(v.Subject, offerPrefix)
	}
	if !v.Publish {
		return "", true
	}
	h.requests.fail(v, func(q *request) bool { return q.subject == v.Subject })
	return subject, true
}

// takeVersion takes the version of what was set out of the headers; "" if there is none, or several.
func (m *Message) takeVersion() (text string) {
	values, found := m.Header[headerSet]
	if !found {
		return ""
	}
	header := m.Header // others have it, too
	m.Header = nil
	for name, values := range header {
		if name == headerSet {
			continue
		}
		if m.Header == nil {
			m.Header = Header{}
		}
		m.Header[name] = values
	}
	if len(values) != 1 {
		return ""
	}
	return strings.TrimSpace(values[0])
}
