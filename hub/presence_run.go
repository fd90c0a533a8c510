package hub

import (
	"errors"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/presence"
)

// do lets the machine do something, and what follows from that.
func (p *Presence) do(what func(m *presence.Machine)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	what(p.machine)
	if p.machine.Active() && !p.running {
		p.running = p.hub.spawn(p.run)
	}
	notify(p.wake)
}

// hear is do from where messages come in.
func (p *Presence) hear(what func(m *presence.Machine)) {
	p.hub.intake.stirred.Store(true)
	p.do(what)
}

// run does what the machine asks for, as long as it is active.
func (p *Presence) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		p.mu.Lock()
		p.machine.Tick(p.now())
		effects := p.machine.Effects()
		asking := p.asking
		p.asking = nil
		next := p.machine.Next()
		if !p.machine.Active() && len(effects) == 0 {
			p.running = false
			p.mu.Unlock()
			return
		}
		p.mu.Unlock()
		for _, e := range effects {
			p.effect(e)
		}
		for _, who := range asking {
			p.answer(who)
		}
		wait := time.Hour
		if next != 0 {
			wait = max(next-p.now(), time.Millisecond)
		}
		if len(effects) > 0 {
			wait = 0 // they may have changed what is next
		}
		timer.Reset(wait)
		select {
		case <-p.wake:
		case <-timer.C:
		case <-p.hub.ctx.Done():
			return
		}
	}
}

func (p *Presence) effect(e presence.Effect) {
	switch e.Kind {
	case presence.Hear:
		p.listen(e.Kind, herePrefix, "", func(m *Message) {
			p.hear(func(machine *presence.Machine) { machine.Heard(p.now(), m.Data) })
		})
	case presence.Collect:
		p.listen(e.Kind, rollPrefix, "", func(m *Message) {
			p.hear(func(machine *presence.Machine) { machine.HeardRoll(p.now(), m.Data) })
		})
	case presence.Serve:
		p.listen(e.Kind, whoPrefix, knowers, func(m *Message) {
			who := m.Responder()
			p.hear(func(*presence.Machine) {
				if len(p.asking) < askedKept {
					p.asking = append(p.asking, who)
				}
			})
		})
	case presence.Unhear, presence.Uncollect, presence.Unserve:
		if s := p.subs[e.Kind-1]; s != nil {
			_ = s.Unsubscribe() // it has no error
			delete(p.subs, e.Kind-1)
		}
	case presence.Say:
		p.hub.repairs.trySend(OutMsg{Subject: herePrefix + p.scope, Data: e.Data})
	case presence.Roll:
		p.hub.repairs.trySend(OutMsg{Subject: rollPrefix + p.scope, Data: e.Data})
	case presence.Ask:
		p.ask()
	case presence.Known:
		p.mu.Lock()
		close(p.known)
		p.mu.Unlock()
	case presence.Unknown:
		p.mu.Lock()
		p.known = make(chan struct{})
		p.mu.Unlock()
	case presence.Joined, presence.Changed, presence.Left:
		p.mu.Lock()
		for at := p.watchers.Front(); at != nil; at = at.Next() {
			notify(at.Value.(*peerWatcher).news)
		}
		p.mu.Unlock()
	}
}

func (p *Presence) listen(kind presence.Kind, prefix, queue string, fn func(*Message)) {
	if s := p.hub.listenIn(prefix+p.scope, queue, fn); s != nil {
		p.subs[kind] = s
	}
}

// ask asks who is here.
func (p *Presence) ask() {
	unanswered := func() { p.hear(func(m *presence.Machine) { m.Unanswered(p.now()) }) }
	p.hub.request(p.hub.ctx, OutMsg{Subject: whoPrefix + p.scope}, presence.AskFor, &request{
		quiet: true,
		each: func(m *Message) (last bool) {
			p.hear(func(machine *presence.Machine) { last = machine.Listed(p.now(), m.Data) })
			return last
		},
		done: func(_ *Message, err error) {
			if errors.Is(err, ErrNoResponders) || errors.Is(err, ErrPermission) || errors.Is(err, ErrInvalidName) {
				unanswered()
			}
		},
	})
}

// answer answers a question.
func (p *Presence) answer(who Responder) {
	p.mu.Lock()
	texts := p.machine.Asked()
	p.mu.Unlock()
	for _, text := range texts {
		who.respond(OutMsg{Data: text}) // if that fails, who asks asks again
	}
}
