package hub

import "time"

// Where a stream begins for this hub: a late subscriber begins at the first number that it hears; what it should
// have heard before that is asked for.

// An absence is a time without a link.
type absence struct {
	from, to int64
	until    int64 // until then a stream that nobody knows of may have begun meanwhile
}

// begins says where c, which has heard nothing so far or does not know what comes first, begins: at
// m, or, where another link or the publisher may have what is before, later.
func (in *intake) begins(l *link, c *counter, m *inbound) bool {
	n := m.Number.Count
	e := c.entry
	switch {
	case e.shared():
		return false
	case n == 1 && len(c.waiting) == 0:
	case in.over != nil && l == in.over.next && (in.over.undone || in.over.both(e)):
		return false
	case c.gap.from != 0, in.mayLack(c, n):
		return false
	}
	if len(c.waiting) > 0 {
		n = min(n, c.waiting[0].Number.Count) // what follows that comes by the same link
	}
	c.begin(n - 1)
	return true
}

const (
	// acquainted is how long a subscription has been there that hears of every new stream from its first message on.
	acquainted = time.Second
	// mostYoung is the highest number that a stream begins with, if something has overtaken what is before, and
	// maxBackfills how many such streams are asked for at a time.
	mostYoung, maxBackfills = 1 << 16, 256
)

// mayLack says that the hub should have heard what comes before c's first message, n, if there was something: the
// stream may have begun while the hub had no link, or while it or the publisher moved. Then that is asked for.
func (in *intake) mayLack(c *counter, n uint64) bool {
	e := c.entry
	switch here := max(e.since, in.here); {
	case n == 1:
		return false
	case in.absent(e):
		c.gap.from = in.sinceAbsence(e)
	case n <= mostYoung && in.now()-here > int64(acquainted) && len(in.backfills) < maxBackfills && !in.hub.repairs.unable.Load():
		in.backfill(c)
	default:
		return false
	}
	return true
}

// backfill lets c's publisher be asked for what it has published since the hub heard of it.
func (in *intake) backfill(c *counter) {
	c.gap.from = max(c.entry.since, in.here, in.now()-int64(in.hub.cfg.Repair.Age), 1)
	if in.backfills == nil {
		in.backfills = map[*counter]bool{}
	}
	in.backfills[c] = true
}

// isBackfill says that the beginning of c is still searched for: nothing before its first message is known to be missing.
func (in *intake) isBackfill(c *counter) bool { return !c.begun && in.backfills[c] }

// absent says that a stream may have begun while the hub had no link.
func (in *intake) absent(e *entry) bool {
	return in.away.until != 0 && in.now() < in.away.until && e.since < in.away.from
}

// sinceAbsence is from when on e may lack something that came while there was no link.
func (in *intake) sinceAbsence(e *entry) int64 {
	return max(in.away.from-int64(2*time.Second), e.since, 1)
}

// age is how long ago what is wanted was published, at most, in ms; 0: whenever that was.
func (in *intake) age(g *gap) int64 {
	if g.from == 0 {
		return 0
	}
	return max(1, time.Duration(in.now()-g.from).Milliseconds())
}

// arrives says that the hub hears from now on what is published in this system.
func (in *intake) arrives() {
	in.lock()
	defer in.mu.Unlock()
	in.here = in.now()
}

// returned notes that the hub had no link for so long.
func (in *intake) returned(absent time.Duration) {
	in.lock()
	defer in.mu.Unlock()
	in.settled = in.now() + int64(settling)
	in.away = absence{in.now() - int64(absent), in.now(), in.now() + int64(newcomers)}
}
