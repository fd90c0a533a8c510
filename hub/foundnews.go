package hub

import (
	"slices"
	"sync"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/plainjson"
)

// A newsLimiter says when news make a hub ask. They are hints that anybody in the account may give: one that
// brings nothing new makes the next wait longer, so that a liar costs the leaves little. What leaves elsewhere tell brings
// nothing as a rule, and does not delay what those here tell.
type newsLimiter struct {
	mu        sync.Mutex
	near, far newsPace
	place     string // the hub's, as in finder
}

// A newsPace is that of the news of leaves that may be near, or of those that are elsewhere.
type newsPace struct {
	due         time.Time     // when to ask; zero: nothing was told
	minInterval time.Duration // the least time between two questions that such news have caused
	lastQuery   time.Time     // when that was
	followed    bool          // they have caused the last question
}

const (
	// nearSpread is the time within which hubs ask that most likely are near the leaf, and farSpread within which the others do.
	nearSpread, farSpread = 20 * time.Millisecond, 2 * time.Second
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
	f.news.take(time.Now(), addresses, randomFraction())
	notify(f.newsArrived)
}

// take notes news of a leaf behind the public addresses; it is followed within a time, of which fraction says what part.
func (n *newsLimiter) take(now time.Time, addresses []string, fraction float64) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.place != "" && len(addresses) > 0 && !slices.ContainsFunc(addresses, func(a string) bool { return placeOf(a) == n.place }) {
		n.far.schedule(now, time.Duration(fraction*float64(farSpread)))
	} else {
		n.near.schedule(now, time.Duration(fraction*float64(nearSpread)))
	}
}

func (p *newsPace) schedule(now time.Time, after time.Duration) {
	at := now.Add(after)
	if rested := p.lastQuery.Add(p.minInterval); at.Before(rested) {
		at = rested
	}
	if p.due.IsZero() || at.Before(p.due) {
		p.due = at
	}
}

// next is until when to wait with the question that news ask for; false: there are none.
func (n *newsLimiter) next() (at time.Time, ok bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range []*newsPace{&n.near, &n.far} {
		if !p.due.IsZero() && (!ok || p.due.Before(at)) {
			at, ok = p.due, true
		}
	}
	return at, ok
}

// begin is called when news are followed: by a question that is for all of them.
func (n *newsLimiter) begin(now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range []*newsPace{&n.near, &n.far} {
		if p.followed = !p.due.IsZero() && !now.Before(p.due); p.followed {
			p.lastQuery = now
		}
		p.due = time.Time{}
	}
}

// report says whether what was asked because of news was another leaf than before.
func (n *newsLimiter) report(something bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, p := range []*newsPace{&n.near, &n.far} {
		switch {
		case !p.followed:
		case something:
			p.minInterval = minNewsInterval
		default:
			p.minInterval = min(max(2*p.minInterval, 2*minNewsInterval), maxNewsInterval)
		}
	}
}
