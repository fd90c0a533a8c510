package hub

import (
	"math"
	"time"
)

// An overlap is the part of a move in which both links have the hub's subscriptions. Messages with
// numbers are judged by them alone. Of those without, the ones by the old link are delivered, and
// those by the new one wait until the old one has ended, and it can be said which have come (align).
type overlap struct {
	old, next *link
	subject   string // of marks, up to the last part

	logOld, logNext []logged
	held            []inbound
	bytes           int
	full            chan struct{} // closed when too much waits
	isFull          bool

	joined      bool     // the new link has subscriptions
	undone      bool     // and loses them again: the old one has everything
	first, last int      // marks after the hub had joined, and before it began to leave
	marks       chan int // a mark has come: through the old server by the new link, or the other way
}

// logKept bounds each of the logs.
const logKept = 1 << 20

// overlaps begins to write down what comes by old, which the hub is about to leave.
func (in *intake) overlaps(old, next *link, subject string) *overlap {
	in.lock()
	defer in.mu.Unlock()
	in.over = &overlap{old: old, next: next, subject: subject, first: math.MaxInt, last: math.MaxInt, full: make(chan struct{}), marks: make(chan int, 64)}
	return in.over
}

// joins says that the new link is about to get the subscriptions, and that marks from first on, which
// have another subject, tell what belongs together.
func (in *intake) joins(subject string, first int) {
	in.lock()
	defer in.mu.Unlock()
	o := in.over
	o.joined, o.subject, o.first = true, subject, first
}

// undoes says that the hub stays on the old link, which brings everything, whatever the new one still brings.
func (in *intake) undoes() {
	in.lock()
	defer in.mu.Unlock()
	in.over.undone = true
}

// leaves says that the old link will have less than the new one from now on: later marks than last do
// not tell what belongs together.
func (in *intake) leaves(last int) {
	in.lock()
	defer in.mu.Unlock()
	in.over.last = last
}

// both says that e is on both links.
func (o *overlap) both(e *entry) bool { return o.joined && e.onBoth.Load() }

// take takes a message without a number.
func (o *overlap) take(in *intake, l *link, m *inbound) (idle bool) {
	if l == o.next && o.undone {
		return true
	}
	if l == o.next && !o.both(m.sub().entry) || l != o.next && l != o.old {
		return in.deliver(m)
	}
	e := logged{print: in.fingerprint(m), subject: in.subjectPrint(m)}
	in.plain = true
	if l == o.old {
		o.logOld = logging(o.logOld, e)
		if in.expected != nil && in.isExpectedCopy(m) {
			return true
		}
		if in.remembers {
			in.remember(m)
		}
		return in.deliver(m)
	}
	o.logNext = logging(o.logNext, e)
	o.held = append(o.held, *m)
	if o.bytes += m.held(); o.bytes > in.hub.cfg.PendingLimit && !o.isFull {
		o.isFull = true
		close(o.full)
	}
	return false
}

func logging(log []logged, e logged) []logged {
	if len(log) >= logKept {
		log = log[:copy(log, log[len(log)/2:])]
	}
	return append(log, e)
}

// mark takes a mark that came by l. in.mu is held.
func (o *overlap) mark(l *link, mark int) {
	switch {
	case max(mark, -mark) < o.first || max(mark, -mark) > o.last:
	case l == o.old:
		o.logOld = logging(o.logOld, logged{mark: mark})
	case l == o.next:
		o.logNext = logging(o.logNext, logged{mark: mark})
	}
	if (l == o.next) == (mark > 0) {
		select {
		case o.marks <- mark:
		default: // there are more to come
		}
	}
}

// concludes ends the overlap: old brings nothing more. trip is how long what both have may still take.
func (in *intake) concludes(trip time.Duration) {
	in.lock()
	defer in.mu.Unlock()
	o := in.over
	in.over = nil
	in.settled = in.now() + int64(settling)
	came, expected, possible := align(o.logOld, o.logNext)
	for i := range o.held {
		m := &o.held[i]
		if came[i] {
			continue
		}
		if in.remembers {
			in.remember(m)
		}
		in.deliver(m)
	}
	in.expectCopies(expected, max(4*trip, copiesLate), possible, max(2*trip, copiesLate/6))
	in.beginAll()
}

// canceled ends the overlap: the hub stays where it was, with nothing lost there.
func (in *intake) canceled() {
	in.lock()
	defer in.mu.Unlock()
	in.over = nil
	in.settled = in.now() + int64(settling)
	in.ahead()
	in.beginAll()
}

// ahead looks for the beginning of streams that only the new link has brought so far: the old one brings all of them,
// and what is before, which the hub was too late for there.
func (in *intake) ahead() {
	for c := range in.gaps {
		if !c.begun && c.gap.from == 0 && len(c.waiting) > 0 && c.waiting[0].Number.Count > 1 && len(in.backfills) < maxBackfills {
			in.backfill(c)
		}
	}
}

// beginAll lets the counters begin that have waited for what the other link has.
func (in *intake) beginAll() {
	for c := range in.gaps {
		if !c.begun && c.gap.from == 0 && len(c.waiting) > 0 && !in.mayLack(c, c.waiting[0].Number.Count) {
			c.begin(c.waiting[0].Number.Count - 1)
			in.drain(c)
		}
	}
	if len(in.gaps) > 0 {
		in.hub.repairs.wakeUp()
	}
}
