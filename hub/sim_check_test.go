//go:build !js

package hub

import (
	"fmt"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/natswire"
)

// check says what is wrong with what was heard.
func (w *simWorld) check() {
	for _, h := range w.hubs {
		sum := uint64(0)
		w.mu.Lock()
		for _, m := range h.missing {
			sum += m.Count()
		}
		w.mu.Unlock()
		if s := h.Status(); !h.closed && !w.untold && (s.Missing != sum || s.Repairing > 0 || s.Phase != "") {
			w.fail("%s has told that %d are missing, and its status is %+v", h.name, sum, s)
		}
	}
	w.n.mu.Lock()
	defer w.n.mu.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	names := make([]string, 0, len(w.streams))
	for name := range w.streams {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		s := w.streams[name]
		w.figures.messages += len(s.sent)
		if strings.HasPrefix(s.subject, simMoving) {
			for _, l := range w.listeners {
				if l.plan.queue == "" && matches(l.plan.subject, s.subject) {
					w.checkStream(l, s)
				}
			}
			for _, h := range w.hubs {
				w.checkMissing(h, s)
			}
		} else {
			w.checkGroup(s)
		}
	}
	for _, l := range w.listeners {
		for name := range l.heard {
			if w.streams[name] == nil {
				w.wrong("%s hears of %s, which does not exist", l.who, name)
			}
		}
	}
	if len(w.asked) != w.requests {
		w.wrong("%d of %d requests have ended", len(w.asked), w.requests)
	}
	for key, err := range w.asked {
		if err != nil && !w.p.abrupt && w.p.stable && !w.n.unrouted[key] && !w.asker(key).closed && !w.asker(key).deafTo(w.p.serving) {
			w.wrong("request %s: %v", key, err)
		}
	}
	w.figures.hops, w.figures.returned, w.figures.unrouted = w.n.hops, len(w.n.returned), len(w.n.unrouted)
	for _, h := range w.hubs {
		for _, m := range h.missing {
			w.figures.missing += int(m.Count())
			if !w.p.abrupt {
				w.wrong("%s misses %+v", h.name, m)
			}
		}
		for _, m := range h.moves {
			switch {
			case m.Err != nil || m.From == "":
			case !m.Planned:
				w.figures.reconnects++
			default:
				w.figures.moves++
				if !w.p.abrupt && w.p.stalls == 0 {
					if m.Took > 5*m.Trip+50*time.Millisecond {
						w.figures.late++
					}
					if m.Held > m.Trip {
						w.figures.held++
					}
				}
			}
		}
	}
}

func (w *simWorld) wrong(format string, args ...any) {
	w.failed = append(w.failed, fmt.Errorf(format, args...))
}

func (w *simWorld) asker(key string) *simHub {
	name, _, _ := strings.Cut(key, " ")
	for _, h := range w.hubs {
		if h.name == name {
			return h
		}
	}
	return nil
}

// deafTo says that h is a member itself, and its own messages are not for it.
func (h *simHub) deafTo(members []int) bool {
	return h != nil && h.plan.noEcho && slices.Contains(members, h.index)
}

// exact says that l can tell by numbers what of s is lost, and else that it must come when nothing breaks.
func (w *simWorld) exact(l *simListener, s *simStream) bool {
	if s.hub != nil && !s.hub.plan.noNumbers || l.hub == nil {
		return !w.p.abrupt || l.hub != nil
	}
	// Without numbers nothing tells of what is late, on a third server or on a way that is stalled, while the hub or
	// the publisher moves.
	moved := len(l.hub.moves) > 1 || s.hub != nil && len(s.hub.moves) > 1
	return !w.p.abrupt && (!moved || w.p.stalls == 0 && w.p.tree())
}

// beginsLate says that h, who publishes or listens, moved when something that was published at a time was on its
// way, by a server that is not on the way between the two, or by a way that was stalled, or after a loss, with what had
// been published before still on another way. If a stream begins then the first that is heard of it may not be the
// first of all, and nothing tells.
func (w *simWorld) beginsLate(h *simHub, at time.Duration) bool {
	spreads := w.spreads()
	return h != nil && (w.p.abrupt || !w.p.tree() || w.p.stalls > 0) && slices.ContainsFunc(h.moves, func(m simMove) bool {
		return m.From != "" && m.ended-m.Took-spreads <= at && at <= m.ended+spreads
	})
}

// asksFor says that l had been there for long enough when a message of s was published to know that it lacks something
// if it is the first that it hears.
func (w *simWorld) asksFor(l *simListener, s *simStream, at int) bool {
	return l.hub != nil && s.sent[at].number.Stream != 0 && l.settled > 0 && s.sent[at].at > l.settled+acquainted
}

// checkStream checks what a plain subscription heard of a stream.
func (w *simWorld) checkStream(l *simListener, s *simStream) {
	if !w.exact(l, s) {
		return
	}
	heard := l.heard[s.name]
	if l.hub != nil && l.hub == s.hub && l.hub.plan.noEcho {
		if len(heard) > 0 {
			w.wrong("%s hears itself: %v", l.who, heard[0])
		}
		return
	}
	// Plain clients may hear out of order what has come by several ways, or where the way between the two servers
	// was stalled, of those that have moved.
	ordered := !l.plan.arrival && (l.hub != nil || s.hub == nil || len(s.hub.moves) <= 1 || w.p.tree() && w.p.stalls == 0)
	last, first := -1, -1
	if len(heard) > 0 {
		first = s.place[heard[0].n]
	}
	came := map[int]int{}
	for _, m := range heard {
		at, known := s.place[m.n]
		if !known {
			w.wrong("%s hears %s %d, which was not published", l.who, s.name, m.n)
			continue
		}
		switch came[at]++; {
		case l.hub != nil && s.sent[at].number.Stream == 0 && (l.settled == 0 || s.sent[at].at < l.settled):
			// While not all servers know of it one link may bring what the other does not, and no number tells.
		case came[at] > 1 && l.hub == nil && w.n.returned[fmt.Sprintf("%s %d", s.publisher, m.n)]:
		case came[at] > 1:
			w.wrong("%s hears %s %d again, at %v", l.who, s.name, m.n, m.at)
		case at < first && !w.asksFor(l, s, first) && w.beginsLate(s.hub, s.sent[at].at):
			w.figures.begun++
		case at < last && ordered:
			w.wrong("%s hears %s %d after %d, at %v", l.who, s.name, m.n, s.sent[last].n, m.at)
		}
		last = max(last, at)
	}
	if w.p.abrupt {
		return // checkMissing does
	}
	for _, at := range w.lacking(l, s) {
		w.wrong("%s does not hear %s %d, which was published at %v", l.who, s.name, s.sent[at].n, s.sent[at].at)
	}
}

// lacking is what of s did not come to l, and should have: from the first that it heard, or could not have
// missed, to the last, or, if it or the publisher ended before, the last that it heard.
func (w *simWorld) lacking(l *simListener, s *simStream) (places []int) {
	came := map[int]bool{}
	first, last := len(s.sent), -1
	for i, m := range l.heard[s.name] {
		at, known := s.place[m.n]
		if !known {
			continue
		}
		came[at] = true
		last = max(last, at)
		if i == 0 || w.asksFor(l, s, at) || !w.beginsLate(s.hub, s.sent[at].at) {
			first = min(first, at)
		}
	}
	if l.settled > 0 && !w.p.abrupt {
		for at := first - 1; at >= 0 && s.sent[at].at > l.settled; at-- {
			if !w.asksFor(l, s, at) && (w.beginsLate(l.hub, s.sent[at].at) || w.beginsLate(s.hub, s.sent[at].at)) {
				w.figures.begun++
				break
			}
			first = at
		}
	}
	switch {
	case l.ended == 0 && !w.p.abrupt:
		last = len(s.sent) - 1
	case l.ended == 0 && !l.hub.lost && s.hub != nil && !s.hub.closed && !s.hub.lost:
		last = len(s.sent) - 1
	}
	for at := first; at <= last; at++ {
		if !came[at] {
			places = append(places, at)
		}
	}
	return places
}

// checkMissing checks that h has said of s what did not come, and nothing else.
func (w *simWorld) checkMissing(h *simHub, s *simStream) {
	if s.hub == nil || s.hub.plan.noNumbers || !w.p.abrupt {
		return
	}
	if h == s.hub && h.plan.noEcho || h.closed || h.lost {
		return
	}
	told := map[int]int{}
	name := natswire.PublisherName(s.hub.outbox.publisher)
	byCount := map[uint64]int{}
	for at, m := range s.sent {
		byCount[m.number.Count] = at
	}
	for _, m := range h.missing {
		if m.Publisher != name || m.Subject != s.subject {
			continue
		}
		for n := m.From; n <= m.To; n++ {
			at, known := byCount[n]
			if !known {
				w.wrong("%s says that it misses number %d of %s, which does not exist", h.name, n, s.name)
				continue
			}
			told[at]++
		}
	}
	lack := map[int]int{}
	tail := len(s.sent) // from here on the publisher may have said that there was more, before it ended
	perhaps := 0        // subscriptions that have ended: what they missed may or may not have been told
	for _, l := range h.subs {
		if l.plan.queue != "" || !matches(l.plan.subject, s.subject) {
			continue
		}
		if l.ended > 0 {
			perhaps++
			continue
		}
		for _, at := range w.lacking(l, s) {
			lack[at]++
		}
		if s.hub.closed || s.hub.lost {
			last := 0
			for _, m := range l.heard[s.name] {
				last = max(last, s.place[m.n])
			}
			tail = min(tail, last+1)
		}
	}
	for at := range s.sent {
		switch n := lack[at]; {
		case told[at] < n:
			w.wrong("%s lacks %s %d (published at %v) in %d subscriptions, and says so of %d", h.name, s.name, s.sent[at].n, s.sent[at].at, n, told[at])
		case told[at] > n+perhaps && at < tail:
			w.wrong("%s says that it lacks %s %d in %d subscriptions, and does in %d", h.name, s.name, s.sent[at].n, told[at], n)
		}
	}
}

// leavesUnheard says that a member of subject's group moved when a way between servers was stalled: a server may not know yet
// where the member is, when it hears that it has left; and what is for a group has no repair.
func (w *simWorld) leavesUnheard(subject string, at time.Duration) bool {
	if w.p.stalls == 0 || w.p.tree() {
		return false
	}
	spreads := w.spreads()
	return slices.ContainsFunc(w.listeners, func(l *simListener) bool {
		return l.hub != nil && l.plan.queue != "" && l.plan.subject == subject && slices.ContainsFunc(l.hub.moves, func(m simMove) bool {
			return m.From != "" && m.ended-m.Took-spreads <= at && at <= m.ended+spreads
		})
	})
}

// checkGroup checks that one member of a queue group got each message.
func (w *simWorld) checkGroup(s *simStream) {
	times := map[int][]string{}
	settled := w.n.now()
	members := 0
	deaf := s.hub.deafTo(w.p.members)
	if s.subject == simServed {
		deaf = s.hub.deafTo(w.p.serving)
	}
	for _, l := range w.listeners {
		if l.plan.queue == "" || l.plan.subject != s.subject {
			continue
		}
		members++
		if l.settled > 0 {
			settled = min(settled, l.settled)
		}
		for _, m := range l.heard[s.name] {
			times[m.n] = append(times[m.n], l.who)
		}
	}
	for _, m := range s.sent {
		payload := fmt.Sprintf("%s %d", s.publisher, m.n)
		got := times[m.n]
		switch {
		case len(got) > 1:
			w.wrong("%s %d comes to %v", s.name, m.n, got)
		case len(got) == 0 && members > 0 && !deaf && w.p.stable && m.at > settled && !w.n.unrouted[payload] && !w.leavesUnheard(s.subject, m.at):
			w.wrong("%s %d comes to no member", s.name, m.n)
		}
	}
}

// firstFailures are as many as a reader wants.
func (w *simWorld) firstFailures() string {
	var lines []string
	for _, err := range w.failed[:min(len(w.failed), 8)] {
		lines = append(lines, err.Error())
	}
	if more := len(w.failed) - len(lines); more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(slices.Compact(lines), "\n")
}
