package hub

import (
	"fmt"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/natswire"
)

// The end of what a publisher has sent: no later number tells that it is missing. When a hub leaves a server by a
// planned move something may still be on its way there, over a third server that is farther than the two that the hub
// knows of, or held up. So of each stream that was heard lately, and then no more, its publisher is asked whether there
// is more than what came: one line, which it answers only if there is, by saying how far it has counted.

const (
	// lately is for how long before a move a stream must have been silent not to be asked about.
	lately = 5 * time.Second
	// mostTails is how many streams a hub asks about after a move.
	mostTails = 4096
	// askTailsAgain is the pause before what one question had no room for.
	askTailsAgain = 50 * time.Millisecond
)

// A tail is a stream that the hub asks about unless it goes on.
type tail struct {
	c    *counter
	last uint64
	due  int64
}

// tailsOf are the streams that may have ended while the hub moved. in.mu is held.
func (in *intake) tailsOf(entries []*entry, trip time.Duration) (tails []tail) {
	now := in.now()
	due := now + int64(2*trip+250*time.Millisecond)
	for _, e := range entries {
		if e.shared() || e.control {
			continue // a member of a queue group does not know what is for it
		}
		for _, c := range e.counters {
			if c.begun && !c.gap.loose && now-c.at < int64(lately) && len(tails) < mostTails {
				tails = append(tails, tail{c, c.last, due})
			}
		}
	}
	return tails
}

// moved is called when the hub has left a server by a planned move.
func (r *repairs) moved(trip time.Duration) {
	if r.unable.Load() {
		return
	}
	entries := r.h.registry.all()
	in := &r.h.intake
	in.lock()
	in.tails = in.tailsOf(entries, trip)
	some := len(in.tails) > 0
	in.mu.Unlock()
	if some {
		r.wakeUp()
	}
}

// askTails adds lines about the tails whose time has come; those for which a question has no room are asked about a
// moment later. in.mu is held.
func (in *intake) askTails(add func(publisher uint64, line []byte) bool, sooner func(int64)) {
	rest := in.tails[:0]
	for _, t := range in.tails {
		c := t.c
		switch {
		case c.last != t.last || c.gap.since != 0 || c.entry.counters[counterKey{c.stream, c.subject}] != c:
			// It goes on, what is missing is asked for anyway, or nobody wants it any more.
		case t.due > in.now():
			rest = append(rest, t)
			sooner(t.due)
		case !add(c.stream>>natswire.StreamBits, fmt.Appendf(natswire.AppendStream(nil, c.stream), " %d 0 0 %s\n", t.last, c.subject)):
			t.due = in.now() + int64(askTailsAgain)
			rest = append(rest, t)
			sooner(t.due)
		}
	}
	clear(in.tails[len(rest):])
	in.tails = rest
}

// ahead says how far this hub has counted on the streams of which others have heard less. r.h.outbox.mu is held.
func (r *repairs) ahead(requests []repairRequest, streams map[uint64]*outStream) (bytes int) {
	head := r.countsHead()
	text := head
	told := map[uint64]bool{}
	for _, w := range requests {
		s := streams[w.stream]
		if !w.tail() || s == nil || s.subject != w.subject || s.count <= w.from || told[s.id] {
			continue
		}
		told[s.id] = true
		text = appendCount(text, s)
		if len(text) > questionBytes {
			_ = r.h.outbox.publish(&OutMsg{Subject: subjectSync, Data: text}) // the link tells of its end
			bytes += len(text)
			text = head[:len(head):len(head)]
		}
	}
	if len(text) > len(head) {
		_ = r.h.outbox.publish(&OutMsg{Subject: subjectSync, Data: text})
		bytes += len(text)
	}
	return bytes
}
