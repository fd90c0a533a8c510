package hub

import (
	"crypto/rand"
	"fmt"
	"strconv"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/natswire"
)

// A passage is a move from one link to another, after connecting.
type passage struct {
	s         *connManager
	old, next *link
	subject   string // of marks, which end in a number
	subs      []markSub
	overlap   *overlap
	over      bool // the intake has the overlap
	round     uint64
	marks     int
	trip      time.Duration // from the one link to the other, at most, as measured
	joined    time.Time
	accepted  func()                              // called when the new server has accepted the hub, which it may do late
	way       struct{ least, most time.Duration } // what marks took from the old server to the new link
	sent      []time.Time                         // when each mark was, by number
}

func (s *connManager) newPassage(old, next *link) *passage {
	return &passage{s: s, old: old, next: next, subject: s.h.inboxes() + rand.Text() + ".", trip: old.wire.RTT() + next.wire.RTT()}
}

// silent says that the hub must not publish while both links are subscribed: it would hear itself.
func (p *passage) silent() bool { return p.s.h.cfg.NoEcho && p.s.h.cfg.NoNumbers }

// listen subscribes to marks on l. Interest spreads in order: where marks come from, everything that
// was subscribed to on l before is known.
func (p *passage) listen(l *link) error {
	sub, err := l.wire.Subscribe(p.subject+"*", "", nil)
	if err != nil {
		return err
	}
	p.subs = append(p.subs, markSub{l, sub})
	return nil
}

type markSub struct {
	link *link
	sub  wireSub
}

// close takes the marks' subscriptions back.
func (p *passage) close() {
	for _, m := range p.subs {
		_ = m.link.wire.Unsubscribe(m.sub) // a link that has ended has none
	}
}

// join subscribes on the new link, too, and returns when that is known, and what was on its way has come.
func (p *passage) join() error {
	h := p.s.h
	p.overlap, p.over = h.intake.overlaps(p.old, p.next, p.subject), true
	if err := p.listen(p.old); err != nil {
		return err
	}
	if p.silent() {
		// The server keeps a link's own messages from that link, and the two links are strangers to
		// it: nothing may be published while both are subscribed, and no number tells.
		h.outbox.hold()
	}
	if p.silent() || h.intake.hasPlain() {
		// What has come by the old link lately may still be on its way to the new server, and come
		// once more there. For as long as that can be, what comes is written down first.
		if err := p.listen(p.next); err != nil {
			return err
		}
		if err := p.pass(); err != nil {
			return err
		}
		p.subject = h.inboxes() + rand.Text() + "."
		if err := p.listen(p.old); err != nil {
			return err
		}
	}
	p.joined = time.Now()
	h.intake.joins(p.subject, p.marks+1)
	h.registry.join(p.next)
	p.round = h.registry.mark()
	if err := p.listen(p.next); err != nil {
		return err
	}
	if err := p.pass(); err != nil {
		return err
	}
	// Others than the two servers may hear of the new subscriptions a little later. What hubs publish
	// there meanwhile has numbers, and is asked for, unless it is for a queue group.
	spread := spreading
	if h.intake.hasPlain() || h.registry.hasGroups() {
		spread = p.trip/4 + 2*spreading
	}
	return p.s.pause(spread, p.old, p.next)
}

// spreading is the least time for subscriptions to become known to servers other than the two.
const spreading = 10 * time.Millisecond

// movePatience is how long marks may be under way: tens of times as long as they should be. It is so
// long because a move that fails is only repeated, and a busy machine is no reason for it.
func (p *passage) movePatience() time.Duration { return max(10*time.Second, 20*p.trip) }

// pass returns when a mark has gone from each server to the other's link that was sent after its
// beginning.
func (p *passage) pass() error {
	s, start := p.s, time.Now()
	first := p.marks + 1
	both := s.h.intake.hasPlain() // what stands between two marks tells of messages without numbers what has come twice
	pause := p.pauses()
	timer, limit := time.NewTimer(0), time.NewTimer(p.movePatience())
	defer timer.Stop()
	defer limit.Stop()
	var there, back bool
	for !there || !back {
		select {
		case mark := <-p.overlap.marks:
			if mark >= first {
				there = true
				p.came(mark)
			}
			back = back || -mark >= first
		case <-p.old.wire.Done():
			return fmt.Errorf("%s: %w", p.old.target, p.old.wire.Cause())
		case err := <-p.next.answered:
			if p.next.answered = nil; err != nil {
				return err
			}
			p.accepted()
		case <-p.next.wire.Done():
			if err := p.next.awaitAcceptance(); err != nil {
				return err
			}
			return fmt.Errorf("%s: %w", p.next.target, p.next.wire.Cause())
		case <-s.h.ctx.Done():
			return ErrDisposed
		case <-p.overlap.full:
			return fmt.Errorf("%w: more than %d bytes wait at %s", errTooMuch, s.h.cfg.PendingLimit, p.next.target)
		case <-limit.C:
			if len(p.overlap.marks) > 0 || (there || back) && time.Since(start) < 3*p.movePatience() {
				limit.Reset(p.movePatience()) // the timer was early, or one way works
				continue
			}
			return p.apart(there, time.Since(start))
		case <-timer.C:
			if err := p.next.refusal(p.old); err != nil {
				return err
			}
			mark := p.nextMark()
			if !there || both {
				err := p.mark(p.old, mark)
				if err != nil {
					return err
				}
			}
			if !back || both {
				if err := p.mark(p.next, -mark); err != nil {
					return err
				}
			}
			timer.Reset(pause(time.Since(start)))
		}
	}
	p.trip = max(p.trip, time.Since(start))
	return p.next.refusal(p.old)
}

// pauses are those between marks, by how long they have been sent. The first mark that passes is the first that finds the
// interest known: mostly in the first half of p.trip, hardly ever after it. Until then marks are close together.
func (p *passage) pauses() func(since time.Duration) time.Duration {
	const shortest = 5 * time.Millisecond
	trip, late := p.trip, max(shortest, p.trip/16)
	return func(since time.Duration) time.Duration {
		switch {
		case since < trip/2:
			return max(shortest, trip/32)
		case since < trip+trip/4:
			return max(shortest, trip/16)
		}
		late = min(late*3/2, max(100*time.Millisecond, trip/4))
		return late
	}
}

// apart says which of the two servers does not hear of the other.
func (p *passage) apart(there bool, after time.Duration) error {
	deaf, unheard := p.old.target, p.next.target
	if there {
		deaf, unheard = unheard, deaf
	}
	return fmt.Errorf("%w: %s does not hear of %s in %v", errApart, deaf, unheard, after.Round(time.Millisecond))
}

// mark sends a mark through l's server. With NoEcho l does not hear it: there it stands where the
// server has answered a PING that followed it.
func (p *passage) mark(l *link, mark int) error {
	if err := l.wire.Publish(natswire.Msg{Subject: p.subject + strconv.Itoa(mark)}); err != nil {
		return err
	}
	in := &p.s.h.intake
	if !in.hub.cfg.NoEcho {
		return nil
	}
	return l.wire.Ping(func() {
		in.lock()
		defer in.mu.Unlock()
		if o := in.over; o != nil {
			o.mark(l, mark)
		}
	})
}

// nextMark is the number of the next mark, which is sent now.
func (p *passage) nextMark() int {
	p.marks++
	p.sent = append(p.sent, time.Now())
	return p.marks
}

// passOnce returns when what is published by the new link does not overtake what was published by the old one: when
// one more mark has gone from the old server to the new link, or should have been at the new server for a while. If it
// was not, hubs put in order what they hear; others cannot.
func (p *passage) passOnce() {
	mark := p.nextMark()
	if p.mark(p.old, mark) != nil {
		return
	}
	timer := time.NewTimer(p.holding())
	defer timer.Stop()
	for {
		select {
		case came := <-p.overlap.marks:
			if came >= mark {
				return
			}
		case <-timer.C:
			return
		case <-p.old.wire.Done():
			return
		case <-p.next.wire.Done():
			return
		case <-p.s.h.ctx.Done():
			return
		}
	}
}

// came notes that a mark has come from the old server to the new link.
func (p *passage) came(mark int) {
	took := time.Since(p.sent[mark-1])
	if p.way.most == 0 || took < p.way.least {
		p.way.least = took
	}
	p.way.most = max(p.way.most, took)
}

// holding is how long what the hub publishes waits for a mark. It need not come back to the hub: if it takes as long as
// those before, it is at the new server that time less half a round trip later, and what is published then needs as long as
// that to get there. What those before differed by is added once more, a quarter, and 10 ms, for what is slower now.
// One round trip is allowed, and 150 ms: on short ways a busy machine is what makes marks late, and nobody notices.
func (p *passage) holding() time.Duration {
	old, next := p.old.wire.RTT(), p.next.wire.RTT()
	most := p.way.most
	return max(150*time.Millisecond, old, next, most-next+(most-p.way.least)+most/4+10*time.Millisecond)
}
