package hub

import (
	"bytes"
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/presence"
)

// A Presence is who is in a scope. All of one scope in a hub are the same one, and a hub is one member at most.
type Presence struct {
	hub    *Hub
	scope  string
	err    error
	start  time.Time
	wake   chan struct{}
	warned sync.Once

	mu       sync.Mutex // may be taken with the intake's lock
	machine  *presence.Machine
	running  bool // there is a goroutine
	known    chan struct{}
	watchers list.List // of *peerWatcher
	waiting  int       // calls of Ready
	looked   bool      // since the lease has begun
	asked    bool      // somebody has read who is here, and the lease lasts
	lease    lease
	asking   []Responder // to be answered

	subs map[presence.Kind]*Subscription // of the goroutine
}

// A Member is somebody in a scope.
type Member struct {
	// ID is the same for the member's hub as long as that lives: ten characters.
	ID string
	// Data is what the member has given with Join or Update.
	Data any
	// Self says that it is this hub.
	Self bool
}

// What has happened to a member.
const (
	MemberJoined  = "joined"
	MemberChanged = "changed"
	MemberLeft    = "left"
)

// A PresenceChange is the news of a member.
type PresenceChange struct {
	Kind   string // MemberJoined, MemberChanged: it has other data; MemberLeft: Data is what it had last
	Member Member
}

// Presence returns who is in s.
func (s *Scope) Presence() *Presence {
	err := s.err
	if err == nil {
		err = checkName(s.name, false)
	}
	if err == nil {
		err = s.hub.checkLength(herePrefix+s.name, inboxNames)
	}
	if err != nil {
		return &Presence{hub: s.hub, scope: s.name, err: err}
	}
	return s.hub.presences().get(s.name)
}

func newPresence(h *Hub, scope, id string) *Presence {
	random := func(n time.Duration) time.Duration { return time.Duration(randomFraction() * float64(n)) }
	return &Presence{
		hub: h, scope: scope, start: time.Now(), wake: make(chan struct{}, 1), machine: presence.New(id, random),
		known: make(chan struct{}), subs: map[presence.Kind]*Subscription{},
	}
}

// now is never 0, which is no time for the machine.
func (p *Presence) now() time.Duration { return time.Since(p.start) + 1 }

// Join makes this hub a member with data, which is encoded as values are, to at most 1024 bytes; of a member it is Update. It does
// not wait: without a connection the hub is a member when there is one. It is one until Leave or the end of the hub, which
// all see at once; when its process dies or its machine loses the network, all see it leave within 15 s. A hub that moves or
// reconnects stays. An error is that of the name or the data, or ErrDisposed.
func (p *Presence) Join(data any) error { return p.join("join", data, func() bool { return true }) }

// Update gives this member other data. Of a hub that is none it is ErrInvalidConfig.
func (p *Presence) Update(data any) error {
	return p.join("update", data, func() bool { return p.machine.Member() })
}

func (p *Presence) join(what string, value any, may func() bool) error {
	if p.err != nil {
		return p.err
	}
	data, err := p.hub.encode(value)
	if err == nil && len(data) > presence.MostData {
		err = fmt.Errorf("%w: %d bytes of data: want at most %d", ErrInvalidValue, len(data), presence.MostData)
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", what, p.scope, err)
	}
	if p.hub.ctx.Err() != nil {
		return ErrDisposed
	}
	p.do(func(m *presence.Machine) {
		if !may() {
			err = fmt.Errorf("%w: update %s: this hub has not joined", ErrInvalidConfig, p.scope)
			return
		}
		m.Join(p.now(), data)
	})
	return err
}

// Leave ends this hub's membership, which others see at once. Of a hub that is no member it does nothing.
func (p *Presence) Leave() error {
	if p.err != nil {
		return p.err
	}
	p.do(func(m *presence.Machine) { m.Leave(p.now()) })
	return nil
}

// Members are those who are here, as far as is known, in the order of their ids. The hub goes on to know it for
// Config.ReadLinger at least. See [Presence.Ready] for the first time.
func (p *Presence) Members() (all []Member) {
	if p.err != nil {
		return nil
	}
	p.read(func() {})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.machine.Members(func(id string, data []byte) { all = append(all, p.member(id, data)) })
	return all
}

// read notes that somebody wants to know who is here, who says no more than that.
func (p *Presence) read(do func()) {
	p.do(func(*presence.Machine) {
		do()
		p.asked, p.looked = true, true
		p.hub.all().hold(&p.lease, p, p.hub.cfg.ReadLinger, false)
		p.watch()
	})
}

func (p *Presence) member(id string, data []byte) Member {
	return Member{id, p.hub.decode(bytes.Clone(data)), id == p.machine.ID()}
}

// lapse is the end of the lease that Members has begun.
func (p *Presence) lapse() {
	p.do(func(*presence.Machine) {
		if p.asked, p.looked = p.looked, false; p.asked {
			p.hub.all().hold(&p.lease, p, p.hub.cfg.ReadLinger, false)
		}
		p.watch()
	})
}

// watch begins or ends to know who is here, as somebody wants it. p.mu is held.
func (p *Presence) watch() {
	if p.asked || p.waiting > 0 || p.watchers.Len() > 0 {
		p.machine.Watch(p.now())
		return
	}
	p.machine.Unwatch()
}

// Ready waits until it is known who is here: for 2 s from when there is a connection, at most. Its error is ErrDisposed or ctx's, or
// that of the name.
func (p *Presence) Ready(ctx context.Context) error {
	if p.err != nil {
		return p.err
	}
	var known chan struct{}
	start := time.Now()
	p.read(func() {
		p.waiting++
		known = p.known
	})
	defer p.read(func() { p.waiting-- })
	select {
	case <-known:
		return nil
	case <-p.hub.ctx.Done():
		return ErrDisposed
	case <-ctx.Done():
		return fmt.Errorf("presence in %s: %w", p.scope, ctxError(ctx, errNobodyKnows, start))
	}
}

var errNobodyKnows = errors.New("it is not known yet who is here")

// A peerWatcher is one callback. It compares who is here with whom it has told of, so that nothing waits for a slow one
// but the latest.
type peerWatcher struct {
	news chan struct{}
	end  chan struct{}
	told map[string][]byte
}

// OnChange calls fn with each member that is here, as joined, and then with what happens to members, this hub's included, in
// order, on a goroutine of its own, until stop or the end of the hub. Of changes that follow each other while fn runs it gets
// the last.
func (p *Presence) OnChange(fn func(PresenceChange)) (stop func(), err error) {
	if p.err != nil {
		return nil, p.err
	}
	w := &peerWatcher{news: make(chan struct{}, 1), end: make(chan struct{}), told: map[string][]byte{}}
	if !p.hub.spawn(func() { p.tell(w, fn) }) {
		return nil, ErrDisposed
	}
	var at *list.Element
	p.do(func(*presence.Machine) {
		at = p.watchers.PushBack(w)
		p.watch()
		notify(w.news)
	})
	var once sync.Once
	return func() {
		once.Do(func() {
			close(w.end)
			p.do(func(*presence.Machine) {
				p.watchers.Remove(at)
				p.watch()
			})
		})
	}, nil
}

// tell is the goroutine of a watcher.
func (p *Presence) tell(w *peerWatcher, fn func(PresenceChange)) {
	for {
		select {
		case <-w.news:
		case <-w.end:
			return
		case <-p.hub.ctx.Done():
			return
		}
		for _, change := range p.changes(w) {
			select {
			case <-w.end:
				return
			default:
			}
			p.callBack(fn, change)
		}
	}
}

// changes are what w has not been told of.
func (p *Presence) changes(w *peerWatcher) (all []PresenceChange) {
	here := map[string][]byte{}
	p.mu.Lock()
	defer p.mu.Unlock()
	var come []PresenceChange
	p.machine.Members(func(id string, data []byte) {
		here[id] = data
		if old, ok := w.told[id]; !ok {
			come = append(come, PresenceChange{MemberJoined, p.member(id, data)})
		} else if !bytes.Equal(old, data) {
			come = append(come, PresenceChange{MemberChanged, p.member(id, data)})
		}
	})
	for id, data := range w.told {
		if _, ok := here[id]; !ok {
			all = append(all, PresenceChange{MemberLeft, p.member(id, data)})
		}
	}
	w.told = here
	return append(all, come...)
}

// callBack calls a watcher back; one that panics is reported and told of the next change all the same.
func (p *Presence) callBack(fn func(PresenceChange), c PresenceChange) {
	defer func() {
		if r := recover(); r != nil {
			p.hub.panicked("presence in "+p.scope, r)
		}
	}()
	fn(c)
}
