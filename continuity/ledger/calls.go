package ledger

import (
	"sync"
	"time"
)

// Calls has the numbered requests of some requesters, as one side sees them: handled, or
// answered. Its zero value is ready.
type Calls struct {
	mu      sync.Mutex
	callers map[string]*caller
	pace    pace
	totals  Counts
}

type caller struct {
	seen    []uint64 // a bit for each number
	highest int      // of them, plus one
}

// Take counts the request n of caller.
func (c *Calls) Take(name string, n int) {
	now := time.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pace.step(now)
	if c.callers == nil {
		c.callers = map[string]*caller{}
	}
	who := c.callers[name]
	if who == nil {
		who = &caller{}
		c.callers[name] = who
	}
	for len(who.seen) <= n/64 {
		who.seen = append(who.seen, 0)
	}
	c.totals.Messages++
	switch bit := uint64(1) << (n % 64); {
	case who.seen[n/64]&bit != 0:
		c.totals.Repeated++
	case n < who.highest:
		who.seen[n/64] |= bit
		c.totals.Reordered++
	default:
		who.seen[n/64] |= bit
		who.highest = n + 1
	}
}

// Total is what was counted so far; nothing is ever lost by it, as it knows not what was asked.
func (c *Calls) Total() Counts {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.totals
}

// Mark begins to look for the longest pause between two requests.
func (c *Calls) Mark() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pace.longest = 0
}

// Gap is the longest pause since Mark, or 0.
func (c *Calls) Gap() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pace.longest
}
