package hub

import (
	"slices"
	"sync"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/plainjson"
)

// A newsLimiter says when news make a hub ask. They are hints that anybody in the account may give: one that
// brings nothing new makes the next wait longer, so that a liar costs the leaves little.
type newsLimiter struct {
	mu          sync.Mutex
	due         time.Time     // when to ask; zero: nothing was told
	minInterval time.Duration // the least time between two questions that news have caused
	lastQuery   time.Time     // when that was
	place       string        // the hub's, as in finder
}

const (
	// nearSpread is the time within which hubs ask that most likely are near the leaf, and farSpread within which the others do.
	nearSpread, farSpread = 40 * time.Millisecond, 2 * time.Second
	// minNewsInterval grows from the first to the second while news bring nothing.
	minNewsInterval, maxNewsInterval = 50 * time.Millisecond, time.Minute
	maxNewsBytes                     = 4 << 10 // bytes
)

// subscribeNews hears news.
func (f *finder) subscribeNews() {
	f.h.listenTo(leafPrefix+"news."+f.namespace, f.handleNews)
}

// handleNews takes news. The intake's lock is held.
func (f *finder) handleNews(m *Message) {
	if len(m.Data) > maxNewsBytes {
		return
	}
	r, err := plainjson.Read(m.Data)
	if err != nil {
		return
	}
	addresses := r.Texts("publicAddresses")
	spread := nearSpread
	f.news.mu.Lock()
	defer f.news.mu.Unlock()
	if place := f.news.place; place != "" && len(addresses) > 0 && !slices.ContainsFunc(addresses, func(a string) bool { return placeOf(a) == place }) {
		spread = farSpread
	}
	f.news.schedule(time.Now(), time.Duration(randomFraction()*float64(spread)))
	notify(f.newsArrived)
}

// schedule notes news, to be followed after the given time. n.mu is held.
func (n *newsLimiter) schedule(now time.Time, after time.Duration) {
	at := now.Add(after)
	if rested := n.lastQuery.Add(n.minInterval); at.Before(rested) {
		at = rested
	}
	if n.due.IsZero() || at.Before(n.due) {
		n.due = at
	}
}

// next is until when to wait with the question that news ask for; false: there are none.
func (n *newsLimiter) next() (time.Time, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.due, !n.due.IsZero()
}

// begin is called when news are followed.
func (n *newsLimiter) begin(now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.due, n.lastQuery = time.Time{}, now
}

// report says whether what was asked because of news was another leaf than before.
func (n *newsLimiter) report(something bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if something {
		n.minInterval = minNewsInterval
	} else {
		n.minInterval = min(max(2*n.minInterval, 2*minNewsInterval), maxNewsInterval)
	}
}
