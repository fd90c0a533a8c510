package hub

import (
	"encoding/binary"
	"slices"
	"sort"
	"time"
)

// A counter follows one stream on one subject for one entry: what comes twice is left out, what
// comes too early waits for what is before it, and what is missing is known.
//
// A late subscriber begins at the first number that it hears. It is pure: now is given to it.
type counter struct {
	stream  uint64
	subject string
	entry   *entry
	used    uint64 // by the entry's serial, so that the idle ones can be forgotten

	begun     bool   // false: what comes first is not known yet; nothing before it is missed
	last      uint64 // all up to this one came, or will not
	at        int64  // when last moved
	unsettled int64  // until then copies of what came may come
	prints    prints
	recent    uint64 // of a queue group: which of the 64 up to last came

	waiting   []inbound // came too early, in order
	bytes     int       // of waiting
	gone      []span    // what will not come, in order
	skipped   []span    // the last of what was given up: if it comes nevertheless, it is no copy
	announced uint64    // so far the publisher has counted, as it says
	gap       gap
}

// A span is from number to number, both included.
type span struct{ from, to uint64 }

// A gap is what is done about what is missing.
type gap struct {
	since  int64 // when it was found; 0: there is none
	due    int64 // when something is to be done next
	tries  int
	from   int64 // only what was published since then is asked for; 0: all
	maxAge int64 // how old that was, in ms, when it was asked for
	loose  bool  // gaps in this stream are none of ours: its messages go to several subjects
}

const (
	// copyWindow is how long after a message another one with its number and content is a copy of it, which
	// servers make when a member leaves a queue group, and not one that is sent again on purpose.
	copyWindow = time.Second
	// settling is for how long after a change of links, or a repair, what has an old number is a copy
	// that took a longer way, and settlingNumbers how old that is at most.
	settling        = 30 * time.Second
	settlingNumbers = 1 << 16
	// mostGap is how many numbers may be missing at a time. More is a new beginning.
	mostGap = 1 << 20
)

type decision int

const (
	takeIt decision = iota
	dropIt
	keepIt
)

// printOf tells messages apart that have the same number.
func printOf(data []byte) uint32 {
	h := uint64(len(data)) * 0x9E3779B97F4A7C15
	mix := func(b []byte) {
		for len(b) >= 8 {
			h = (h ^ binary.LittleEndian.Uint64(b)) * 0xff51afd7ed558ccd
			h ^= h >> 32
			b = b[8:]
		}
		for _, c := range b {
			h = (h ^ uint64(c)) * 0xff51afd7ed558ccd
		}
		h ^= h >> 29
	}
	if len(data) <= 128 {
		mix(data)
	} else {
		mix(data[:64])
		mix(data[len(data)-64:])
	}
	return uint32(h>>32) | 1
}

// takeRun takes payloads with numbers in a row, from first on, if nothing has to be thought about.
func (c *counter) takeRun(first uint64, run [][]byte, now int64) bool {
	if !c.begun || first != c.last+1 || len(c.waiting) > 0 || c.entry.shared() {
		return false
	}
	c.last += uint64(len(run))
	c.at = now
	c.prints.run(first, run, now)
	return true
}

// take says what is to be done with m. unsettled: copies of what came may come by another link.
// After takeIt and dropIt next may have more.
func (c *counter) take(m *inbound, now int64, unsettled bool) decision {
	n := m.Number.Count
	unsettled = unsettled || now < c.unsettled || c.gap.since != 0 // what was asked for may come both ways
	switch {
	case c.entry.shared():
		return c.takeShared(m, now, unsettled)
	case !c.begun:
		return c.wait(m, now)
	case n == c.last+1:
		c.came(n, m.Data, now)
		return takeIt
	case n <= c.last:
		if spanAt(c.skipped, n) >= 0 {
			c.skipped = without(c.skipped, n)
			c.unsettled = now + int64(settling)
			return takeIt
		}
		if c.copied(n, m.Data, now, unsettled) {
			return dropIt
		}
		if c.last-n > mostGap { // a new beginning
			c.begin(n - 1)
			c.came(n, m.Data, now)
		}
		return takeIt
	case c.gap.loose:
		c.skipTo(n - 1)
		c.came(n, m.Data, now)
		return takeIt
	}
	return c.wait(m, now)
}

// takeShared is take for a member of a queue group, which gets some of the numbers only.
func (c *counter) takeShared(m *inbound, now int64, unsettled bool) decision {
	n := m.Number.Count
	switch {
	case !c.begun || n > c.last:
		if ahead := n - c.last; c.begun && ahead < 64 {
			c.recent = c.recent<<ahead | 1
		} else {
			c.recent = 1
		}
		c.skipTo(n - 1)
		c.begun = true
		c.came(n, m.Data, now)
		return takeIt
	case c.last-n < 64 && c.recent&(1<<(c.last-n)) == 0:
		c.recent |= 1 << (c.last - n)
		if c.last-n < c.prints.len() {
			c.prints.set(n, printOf(m.Data))
		}
		return takeIt
	case c.last-n < 64 && c.copied(n, m.Data, now, unsettled):
		return dropIt
	case c.last-n > mostGap:
		c.begun = false
		return c.takeShared(m, now, unsettled)
	}
	return takeIt
}

// came notes that n, the next, came.
func (c *counter) came(n uint64, data []byte, now int64) {
	c.last, c.at = n, now
	c.prints.next(n, data, now)
}

// begin says that the next number is the one after last.
func (c *counter) begin(last uint64) {
	c.begun, c.last = true, last
	c.prints.forget()
	c.gone, c.skipped, c.announced = nil, nil, 0
}

// skipTo moves last on without anything having come.
func (c *counter) skipTo(last uint64) {
	if last > c.last {
		c.prints.skip(c.last+1, last)
		c.last = last
	}
}

// copied says that n, which came before, comes once more.
func (c *counter) copied(n uint64, data []byte, now int64, unsettled bool) bool {
	back := c.last - n
	if back < c.prints.len() {
		if known := c.prints.at(n); known != 0 {
			return known == printOf(data) && (unsettled || now-c.at < int64(copyWindow))
		}
	}
	return unsettled && back < settlingNumbers
}

// wait keeps m, which came too early.
func (c *counter) wait(m *inbound, now int64) decision {
	n := m.Number.Count
	i := len(c.waiting) // most come in order
	for i > 0 && c.waiting[i-1].Number.Count >= n {
		if i--; c.waiting[i].Number.Count == n && printOf(c.waiting[i].Data) == printOf(m.Data) {
			return dropIt
		}
	}
	for i < len(c.waiting) && c.waiting[i].Number.Count == n {
		i++
	}
	c.waiting = append(c.waiting, inbound{})
	copy(c.waiting[i+1:], c.waiting[i:])
	c.waiting[i] = *m
	c.bytes += m.held()
	c.found(now)
	return keepIt
}

// waits says that a copy of m waits for its turn already.
func (c *counter) waits(m *inbound) bool {
	n := m.Number.Count
	i := sort.Search(len(c.waiting), func(i int) bool { return c.waiting[i].Number.Count >= n })
	for ; i < len(c.waiting) && c.waiting[i].Number.Count == n; i++ {
		if printOf(c.waiting[i].Data) == printOf(m.Data) {
			return true
		}
	}
	return false
}

// held is what it costs to keep m, in bytes.
func (m *inbound) held() int { return len(m.Data) + 128 }

// found notes that something is missing.
func (c *counter) found(now int64) {
	if c.gap.since == 0 {
		c.gap.since, c.gap.due, c.gap.tries = now, 0, 0
	}
}

// next takes the next of what waits whose turn has come. lost is called with what will not come.
func (c *counter) next(now int64, lost func(span)) (m inbound, ok bool) {
	for {
		if len(c.waiting) > 0 && c.begun {
			switch n := c.waiting[0].Number.Count; {
			case n <= c.last:
				m = c.shift()
				if c.copied(n, m.Data, now, true) {
					continue
				}
				return m, true // of the same number, and another one
			case n == c.last+1:
				m = c.shift()
				c.came(n, m.Data, now)
				return m, true
			}
		}
		if len(c.gone) == 0 || c.gone[0].from > c.last+1 {
			if !c.begun && len(c.gone) == 0 && len(c.waiting) > 0 && c.waiting[0].Number.Count == c.last+1 {
				c.begun = true
				continue
			}
			break
		}
		end := c.gone[0].to
		if len(c.waiting) > 0 {
			end = min(end, c.waiting[0].Number.Count-1)
		}
		if end > c.last {
			if c.begun {
				lost(span{c.last + 1, end})
				c.skipped = append(c.skipped, span{c.last + 1, end})
				c.skipped = c.skipped[max(0, len(c.skipped)-mostSpans):]
			}
			c.skipTo(end)
		}
		if c.gone[0].to <= c.last {
			c.gone = c.gone[1:]
		} else if len(c.waiting) == 0 || c.waiting[0].Number.Count != c.last+1 {
			break
		}
		if !c.begun && len(c.waiting) > 0 && c.waiting[0].Number.Count == c.last+1 {
			c.begun = true
		}
	}
	if !c.isMissing() {
		if c.gap.since != 0 {
			c.unsettled = now + int64(settling)
		}
		c.gap.since, c.gap.from = 0, 0
	}
	return inbound{}, false
}

// shift takes the first of what waits.
func (c *counter) shift() inbound {
	m := c.waiting[0]
	c.bytes -= m.held()
	c.waiting[0] = inbound{}
	if c.waiting = c.waiting[1:]; len(c.waiting) == 0 {
		c.waiting = nil
	}
	return m
}

func (c *counter) isMissing() bool {
	return len(c.waiting) > 0 || c.announced > c.last
}

// missing is what is to be asked for, at most mostSpans of it.
func (c *counter) missing() (all []span) {
	from := c.last + 1
	for i := range c.waiting {
		n := c.waiting[i].Number.Count
		if n > from {
			all = append(all, span{from, n - 1})
		}
		from = max(from, n+1)
	}
	if c.announced >= from {
		all = append(all, span{from, c.announced})
	}
	return all[:min(len(all), mostSpans)]
}

// mostSpans is how many spans of one stream are asked for at a time.
const mostSpans = 64

// lose says that s will not come; next tells of it in its turn.
func (c *counter) lose(s span) {
	if s.to <= c.last {
		return
	}
	at := len(c.gone)
	for at > 0 && c.gone[at-1].from > s.from {
		at--
	}
	c.gone = append(c.gone, span{})
	copy(c.gone[at+1:], c.gone[at:])
	c.gone[at] = span{max(s.from, c.last+1), s.to}
	if len(c.gone) > mostSpans {
		c.gone = c.gone[:mostSpans]
	}
}

// giveUp ends the waiting for everything that is missing: next has what waits.
func (c *counter) giveUp() {
	if n := len(c.waiting); n > 0 && c.waiting[n-1].Number.Count-c.last > mostGap || c.announced > c.last+mostGap {
		// A new beginning, or somebody made it up: nothing is known to be missing.
		c.begun = false
	}
	if !c.begun && len(c.waiting) > 0 {
		c.begin(c.waiting[0].Number.Count - 1)
	}
	if len(c.waiting) > 0 {
		c.gone = []span{{c.last + 1, c.waiting[len(c.waiting)-1].Number.Count - 1}}
	}
	c.announced = 0 // whoever said so does not answer: the next message will tell
}

// spanAt is which of all has n, or -1.
func spanAt(all []span, n uint64) int {
	return slices.IndexFunc(all, func(s span) bool { return s.from <= n && n <= s.to })
}

// without takes n out of all.
func without(all []span, n uint64) []span {
	i := spanAt(all, n)
	s := all[i]
	var rest []span
	if s.from < n {
		rest = append(rest, span{s.from, n - 1})
	}
	if s.to > n {
		rest = append(rest, span{n + 1, s.to})
	}
	return replaced(all, i, rest)
}

// replaced puts others in the place of the one at i.
func replaced(all []span, i int, others []span) []span {
	return append(append(all[:i:i], others...), all[i+1:]...)
}
