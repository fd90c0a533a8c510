package leaf

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

const (
	// ticketLife is for how long a ticket is good, until it is used.
	ticketLife = 10 * time.Second
	// mostTickets bounds those that wait to be used.
	mostTickets = 4096
)

// A ticketBook has the keys that may log in once. A hub makes a key for each ticket, and shows the leaf its public half
// over a session of its account: whoever listens there has nothing to log in with.
type ticketBook struct {
	mu   sync.Mutex
	keys map[string]time.Time // Until when, by public user key.
}

var errTicketsOut = errors.New("too many tickets wait to be used")

func (b *ticketBook) issue(key string, now time.Time) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.keys) >= mostTickets {
		for k, until := range b.keys {
			if !now.Before(until) {
				delete(b.keys, k)
			}
		}
	}
	if len(b.keys) >= mostTickets {
		return errTicketsOut
	}
	if b.keys == nil {
		b.keys = map[string]time.Time{}
	}
	b.keys[key] = now.Add(ticketLife)
	return nil
}

// use is true once for a ticket that is good.
func (b *ticketBook) use(key string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	until, ok := b.keys[key]
	delete(b.keys, key)
	return ok && time.Now().Before(until)
}

// A ticketAnswer says where a key may log in.
type ticketAnswer struct {
	NodeID      string `json:"nodeId"`
	WSSURL      string `json:"wssUrl"`
	Key         string `json:"key"`
	ExpiresInMs int64  `json:"expiresInMs"`
	Error       string `json:"error,omitempty"` // Why there is none.
}

// ticket answers who asks for one.
func (h *herald) ticket(m *nats.Msg) {
	var asked struct{ Nonce, Key string }
	if !h.takes(m, &asked) || !isNonce(asked.Nonce) {
		return
	}
	manifest := h.leaf.Manifest()
	book := h.leaf.settings().access.tickets
	if manifest == nil || book == nil {
		return
	}
	a := ticketAnswer{NodeID: manifest.NodeID, WSSURL: manifest.WSSURL, Key: asked.Key, ExpiresInMs: ticketLife.Milliseconds()}
	if !nkeys.IsValidPublicUserKey(asked.Key) {
		a.Key, a.Error = "", "key is no public user key (U…)"
	} else if err := book.issue(asked.Key, time.Now()); err != nil {
		a.Error = err.Error()
	}
	h.answer(m, ticketLabel, asked.Nonce, a)
}

// TicketRights are what a client may do that has come by a ticket: subjects with wildcards, as in
// nats-server's permissions. Deny goes before allow; an empty allow is everything.
type TicketRights struct {
	Publish   SubjectRights `json:"publish"`
	Subscribe SubjectRights `json:"subscribe"`
}

// SubjectRights are lists of subjects.
type SubjectRights struct {
	Allow []string `json:"allow"`
	Deny  []string `json:"deny"`
}

// ParseTicketRights reads a JSON document, and refuses fields that it does not know.
func ParseTicketRights(text string) (*TicketRights, error) {
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	r := &TicketRights{}
	if err := d.Decode(r); err != nil {
		return nil, fieldError("Access.TicketRights", short(text), fmt.Sprintf(`not permissions (%v): give {"publish": {"allow": ["room.>"], "deny": []}, "subscribe": {"allow": ["room.>", "_INBOX.>"]}}`, err))
	}
	if d.More() {
		return nil, fieldError("Access.TicketRights", short(text), "more than one JSON object: give one")
	}
	return r, nil
}

// never is what no ticket gives, whatever is allowed: the servers' own subjects, and to speak for the leaf.
// The account's streams are given only to tickets that name them.
var (
	never       = []string{"$SYS.>", "$SYS"}
	streamsOnly = []string{"$JS.>", "$KV.>", "$O.>"}
)

// isNever says that a subject names what no ticket gives. Wildcards that only cover it may be allowed: what is denied is
// left out of them.
func isNever(subject string, deny []string) bool {
	return subject == "$SYS" || strings.HasPrefix(subject, "$SYS.") ||
		strings.HasPrefix(subject, reserved) && slices.ContainsFunc(deny, func(no string) bool { return server.SubjectsCollide(subject, no) })
}

// permissions are the rights for nats-server.
func (r *TicketRights) permissions() (*server.Permissions, error) {
	if r == nil {
		r = &TicketRights{}
	}
	p := &server.Permissions{}
	for _, one := range []struct {
		name  string
		given SubjectRights
		deny  []string
		into  **server.SubjectPermission
	}{{"publish", r.Publish, notToSay, &p.Publish}, {"subscribe", r.Subscribe, notToHear, &p.Subscribe}} {
		for kind, list := range map[string][]string{"allow": one.given.Allow, "deny": one.given.Deny} {
			for _, subject := range list {
				field := "Access.TicketRights." + one.name + "." + kind
				if !server.IsValidSubject(subject) {
					return nil, fieldError(field, subject, "not a subject: give one such as room.>")
				}
				if kind == "allow" && isNever(subject, one.deny) {
					return nil, fieldError(field, subject, "no ticket may give that: $SYS… is the servers' own, and "+reserved+"… the leaf's")
				}
			}
		}
		sp := &server.SubjectPermission{Allow: slices.Clone(one.given.Allow), Deny: slices.Concat(one.given.Deny, never, one.deny)}
		for _, own := range streamsOnly {
			head := strings.TrimSuffix(own, ">")
			if !slices.ContainsFunc(sp.Allow, func(s string) bool { return strings.HasPrefix(s, head) }) {
				sp.Deny = append(sp.Deny, own)
			}
		}
		*one.into = sp
	}
	return p, nil
}

// addTickets checks what is wanted of tickets.
func (a *access) addTickets() error {
	switch {
	case !a.Tickets && a.TicketRights != nil:
		return fieldError("Access.TicketRights", "", "given without Access.Tickets: give both, or leave it out")
	case !a.Tickets:
		return nil
	case a.operator != nil:
		return fieldError("Access.Tickets", "true", "not with an operator, whose users bring credentials: leave one of them out")
	}
	if _, err := a.TicketRights.permissions(); err != nil {
		return err
	}
	rights := a.TicketRights
	a.ticketRights = func() *server.Permissions {
		p, _ := rights.permissions() // It was checked.
		return p
	}
	a.tickets = &ticketBook{}
	if a.mode == accessOpen {
		a.mode = accessTickets
	} else {
		a.mode += "+" + accessTickets
	}
	return nil
}
