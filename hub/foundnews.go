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
	due       time.Time // when to ask; zero: nothing was told
	lastQuery time.Time // when such news have caused a question
	vain      int       // how many such questions in a row brought nothing new
	followed  bool      // they have caused the last question
}

const (
	// nearSpread is the time within which hubs ask that most likely are near the leaf, and farSpread within which the others do.
	nearSpread, farSpread = 20 * time.Millisecond, 2 * time.Second
	// The least time between two questions that news have caused grows from the first to the second while they bring nothing, but for a few:
	// a leaf that begins tells of itself, of its bridge and of its public address.
	minNewsInterval, maxNewsInterval = 25 * time.Millisecond, time.Minute
	vainNews                         = 3
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
	rest := min(minNewsInterval<<min(max(p.vain-vainNews, 0), 12), maxNewsInterval)
	if rested := p.lastQuery.Add(rest); at.Before(rested) {
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
			p.vain = 0
		default:
			p.vain++
		}
	}
}
