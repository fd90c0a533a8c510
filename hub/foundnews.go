package hub

import (
	"slices"
	"sync"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/plainjson"
)

// A newsBook says when news make a hub ask. They are hints that anybody in the account may give: one that
// brings nothing new makes the next wait longer, so that a liar costs the leaves little.
type newsBook struct {
	mu    sync.Mutex
	due   time.Time     // when to ask; zero: nothing was told
	pause time.Duration // the least time between two questions that news have caused
	last  time.Time     // when that was
	place string        // the hub's, as in finder
}

const (
	// newsSpread is the time within which hubs ask that most likely are near the leaf, and farSpread within which the others do.
	newsSpread, farSpread = 40 * time.Millisecond, 2 * time.Second
	// newsPause grows from the first to the second while news bring nothing.
	newsPause, mostNewsPause = 50 * time.Millisecond, time.Minute
	mostNews                 = 4 << 10 // bytes
)

// listen hears news.
func (f *finder) listen() {
	f.h.listenTo(leafPrefix+"news."+f.namespace, f.told)
}

// told takes news. The intake's lock is held.
func (f *finder) told(m *Message) {
	if len(m.Data) > mostNews {
		return
	}
	r, err := plainjson.Read(m.Data)
	if err != nil {
		return
	}
	addresses := r.Texts("publicAddresses")
	spread := newsSpread
	f.news.mu.Lock()
	defer f.news.mu.Unlock()
	if place := f.news.place; place != "" && len(addresses) > 0 && !slices.ContainsFunc(addresses, func(a string) bool { return placeOf(a) == place }) {
		spread = farSpread
	}
	f.news.hear(time.Now(), time.Duration(randomFraction()*float64(spread)))
	notify(f.wake)
}

// hear notes news, to be followed after the given time. n.mu is held.
func (n *newsBook) hear(now time.Time, after time.Duration) {
	at := now.Add(after)
	if rested := n.last.Add(n.pause); at.Before(rested) {
		at = rested
	}
	if n.due.IsZero() || at.Before(n.due) {
		n.due = at
	}
}

// wait is until when to wait with the question that news ask for; false: there are none.
func (n *newsBook) wait() (time.Time, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.due, !n.due.IsZero()
}

// asks is called when news are followed.
func (n *newsBook) asks(now time.Time) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.due, n.last = time.Time{}, now
}

// brought says whether what was asked because of news was another leaf than before.
func (n *newsBook) brought(something bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if something {
		n.pause = newsPause
	} else {
		n.pause = min(max(2*n.pause, 2*newsPause), mostNewsPause)
	}
}
