package hub

import (
	"crypto/rand"
	"strings"
	"sync"
	"weak"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/presence"
)

// Hubs talk about who is in a scope on subjects of their own; presence/wire.go says how.
//
//	_KH.here.<scope>   what members say to all, and who calls asks
//	_KH.roll.<scope>   what members answer to who calls
//	_KH.who.<scope>    a request: who is here? One of the members answers, in one or more messages
const (
	herePrefix = ownPrefix + "here."
	rollPrefix = ownPrefix + "roll."
	whoPrefix  = ownPrefix + "who."
)

// peers is what the rest of the hub sees of presences. It is an interface so that pages, where they are JavaScript's, do
// not download it.
type peers interface {
	// online: the hub has a link after it had none, or one to another system. offline: it has none.
	online()
	offline()
	// farewell says on a link, which is about to be closed with the hub, that it leaves.
	farewell(l *link)
	// denied takes what a server does not permit of ownPrefix, if that is about presence.
	denied(v *PermissionError) bool
}

type peersBox struct{ peers }

type alone struct{}

func (alone) online()                      {}
func (alone) offline()                     {}
func (alone) farewell(*link)               {}
func (alone) denied(*PermissionError) bool { return false }

// peers is the hub's, or one that does nothing before there is a presence.
func (h *Hub) peers() peers {
	if b := h.here.Load(); b != nil {
		return b
	}
	return alone{}
}

// online: the hub has a link after it had none, or one to another system.
func (h *Hub) online() {
	h.keeper().online()
	h.peers().online()
}

// offline: it has none.
func (h *Hub) offline() {
	h.keeper().offline()
	h.peers().offline()
}

// presences are a hub's, by the names of their scopes. One is held by the program, or by its goroutine while it is active.
type presences struct {
	hub *Hub
	id  string // of the hub, as a member

	mu        sync.Mutex
	connected bool
	byScope   map[string]weak.Pointer[Presence]
}

func (h *Hub) presences() *presences {
	h.hereOnce.Do(func() {
		ps := &presences{hub: h, id: rand.Text()[:presence.IDDigits], byScope: map[string]weak.Pointer[Presence]{}}
		h.here.Store(&peersBox{ps})
		h.mu.Lock()
		connected := h.live != nil
		h.mu.Unlock()
		if connected {
			ps.online()
		}
	})
	return h.here.Load().peers.(*presences)
}

// get is the one presence of a scope.
func (ps *presences) get(scope string) *Presence {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	if p := ps.byScope[scope].Value(); p != nil {
		return p
	}
	for name, p := range ps.byScope { // there are few, and those that were left are gone
		if p.Value() == nil {
			delete(ps.byScope, name)
		}
	}
	p := newPresence(ps.hub, scope, ps.id)
	if ps.connected {
		p.machine.Online(p.now())
	}
	ps.byScope[scope] = weak.Make(p)
	return p
}

func (ps *presences) each(do func(*Presence)) {
	ps.mu.Lock()
	var all []*Presence
	for _, p := range ps.byScope {
		if p := p.Value(); p != nil {
			all = append(all, p)
		}
	}
	ps.mu.Unlock()
	for _, p := range all {
		do(p)
	}
}

func (ps *presences) online() {
	ps.mu.Lock()
	ps.connected = true
	ps.mu.Unlock()
	ps.each(func(p *Presence) { p.do(func(m *presence.Machine) { m.Online(p.now()) }) })
}

func (ps *presences) offline() {
	ps.mu.Lock()
	ps.connected = false
	ps.mu.Unlock()
	ps.each(func(p *Presence) { p.do(func(m *presence.Machine) { m.Offline() }) })
}

func (ps *presences) farewell(l *link) {
	ps.each(func(p *Presence) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.machine.Leave(p.now())
		for _, e := range p.machine.Effects() {
			if e.Kind == presence.Say {
				m := OutMsg{Subject: herePrefix + p.scope, Data: e.Data}
				_ = l.wire.Publish(m.wire()) // if the link has died, others notice that
			}
		}
	})
}

func (ps *presences) denied(v *PermissionError) bool {
	scope, about := ps.hub.deniedPresence(v)
	if !about {
		return false
	}
	ps.mu.Lock()
	p := ps.byScope[scope].Value()
	ps.mu.Unlock()
	if p != nil {
		v.needs = "; presence needs to publish and subscribe to " + herePrefix + scope + ", " + rollPrefix + scope + " and " + whoPrefix + scope + "; see docs/permissions.md"
		p.warned.Do(func() { ps.hub.report(v) })
	}
	return true
}

// deniedPresence says whether what the server does not permit is about who is in a scope, and lets the question fail that
// was not permitted.
func (h *Hub) deniedPresence(v *PermissionError) (scope string, about bool) {
	for _, prefix := range []string{herePrefix, rollPrefix, whoPrefix} {
		if scope, about = strings.CutPrefix(v.Subject, prefix); about {
			h.requests.fail(v, func(q *request) bool { return v.Publish && q.subject == v.Subject })
			return scope, true
		}
	}
	return "", false
}
