package hub

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/plainjson"
)

// A finder finds the leaf through the session that there is: leaves of a namespace answer there, over their bridges, with
// their manifests. It asks those behind its own public address first, and otherwise one of each of a few groups, so
// that neither many hubs nor many leaves make many answers. Leaves tell of changes, and then it asks again.
//
//	_KH.leaf.find.<namespace>.at.<place>  who is there?
//	_KH.leaf.find.<namespace>.any         a few of all
//	_KH.leaf.names                        which namespaces are there?
//	_KH.leaf.news.<namespace>             something has changed; nothing else of it is believed
//	_KH.leaf.ticket.<namespace>.<node>    see tickets
//
// It belongs to the searcher's goroutine, but for what news and the server's complaints touch.
type finder struct {
	h         *Hub
	namespace string
	key       ed25519.PublicKey // of the namespace; nil: any answer is believed
	place     string            // the hub's public address as a part of a subject; "": not known
	passed    map[string]refusal
	proven    map[string]bool // URLs that answers have named which were signed
	last      target          // what the last question brought,
	lastErr   error
	due       time.Time
	fruitless int // questions in a row that brought nothing
	hinted    bool
	hint      string // other namespaces

	asked string // where the hub was at the last question

	wake   chan struct{} // a token: there are news
	warned sync.Once
	news   newsBook
}

const (
	leafPrefix = ownPrefix + "leaf."
	// mostAnswers bounds the answers to one question that are looked at.
	mostAnswers = 64
	// mostFar bounds how many leaves are tried of whom it is known that they are behind another public address.
	mostFar = 2
	// mostTried bounds how many are tried one after the other.
	mostTried = 4
	// askWindow is for how long answers are waited for, besides some round trips, and askGrace for more than one.
	askWindow, askGrace = 500 * time.Millisecond, 20 * time.Millisecond
	// refresh is the time between two questions when nothing is told: for who has not heard of a change. It grows to that
	// from firstPause while nobody answers.
	refresh, firstPause = 45 * time.Second, time.Second
)

// newFinder returns nil when the configuration names no namespace.
func (h *Hub) newFinder() *finder {
	d := h.cfg.Discovery
	if d.Namespace == "" {
		return nil
	}
	f := &finder{h: h, namespace: word(d.Namespace), passed: map[string]refusal{}, proven: map[string]bool{}, wake: make(chan struct{}, 1)}
	f.key, _ = parseNamespaceKey(d.NamespaceKey) // it was checked
	return f
}

// word is a name as one part of a subject; leaves make the same of it.
func word(name string) string {
	var b []byte
	for _, c := range []byte(name) {
		if c == '-' || c == '_' || value62[c] >= 0 {
			b = append(b, c)
		} else {
			b = append(b, '=', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return string(b)
}

const hexDigits = "0123456789abcdef"

// fetch returns the leaf to be on, as fetchManifest does. Between two questions it returns what the last one brought.
func (f *finder) fetch() (target, error) {
	now, on := time.Now(), f.h.where().url
	told, news := f.news.wait()
	news = news && !now.Before(told)
	if now.Before(f.due) && !news && on == f.asked {
		return f.last, f.lastErr
	}
	if news {
		f.news.asks(now)
	}
	before, beforeErr := f.last, f.lastErr
	f.asked = on
	f.last, f.lastErr = f.ask()
	if news {
		f.news.brought(f.last != before || (f.lastErr == nil) != (beforeErr == nil))
	}
	switch {
	case f.lastErr == nil || errors.Is(f.lastErr, errNoBackbone):
		f.fruitless = 0
		f.due = now.Add(jitter(refresh))
	default:
		f.due = now.Add(jitter(min(firstPause<<min(f.fruitless, 10), refresh)))
		f.fruitless++
	}
	return f.last, f.lastErr
}

// jitter is a time around d, so that many hubs do not ask together.
func jitter(d time.Duration) time.Duration {
	return time.Duration((0.7 + 0.6*randomFraction()) * float64(d))
}

// again makes the next fetch ask.
func (f *finder) again() { f.due = time.Time{} }

// pause is the time until the next fetch will ask.
func (f *finder) pause() time.Duration {
	next := f.due
	if told, news := f.news.wait(); news && told.Before(next) {
		next = told
	}
	return max(time.Until(next), 0)
}

// pass remembers that the hub could not move to a leaf.
func (f *finder) pass(leaf string) {
	if len(f.passed) >= leavesKept {
		f.passed = map[string]refusal{}
	}
	f.passed[leaf] = f.passed[leaf].backOff(leaf, time.Now(), f.h.cfg.Discovery.CacheTTL)
	f.again()
}

// A found leaf is one that has answered.
type found struct {
	target
	err    error // why it is not good enough: errNoBackbone, or nil
	node   string
	near   nearness
	ticket bool
}

// nearness is how likely a leaf is in the hub's LAN.
type nearness int

const (
	here        nearness = iota // the hub is on it
	samePlace                   // behind the same public address
	unknownAway                 // it does not know its own, or the hub does not
	elsewhere
)

// ask asks, and chooses.
func (f *finder) ask() (target, error) {
	f.locate()
	var all []found
	var why []error
	for _, subject := range f.subjects() {
		answers, refused, err := f.collect(subject)
		all = append(all, answers...)
		if why = append(why, refused...); err != nil {
			return target{}, err
		}
		if slices.ContainsFunc(answers, func(one found) bool { return one.err == nil && one.near <= samePlace }) {
			break
		}
	}
	if len(all) == 0 {
		return target{}, f.nobody(why)
	}
	return f.choose(all)
}

// locate notes the address that the configured server sees the hub at.
func (f *finder) locate() {
	f.h.mu.Lock()
	l := f.h.live
	f.h.mu.Unlock()
	if l == nil || l.target.via != viaConfigured {
		return // a leaf sees another one
	}
	if w, ok := l.wire.(interface{ seenAs() string }); ok {
		if w.seenAs() == "" { // a server behind a proxy says it a moment later
			ctx, cancel := context.WithTimeout(f.h.ctx, askWindow)
			defer cancel()
			if err := l.wire.flush(ctx); err != nil {
				f.h.cfg.Logger.Debug("the hub's public address is not known", "err", err)
			}
		}
		f.place = placeOf(w.seenAs())
		f.news.mu.Lock()
		f.news.place = f.place
		f.news.mu.Unlock()
	}
}

func (f *finder) subjects() (all []string) {
	if f.place != "" {
		all = append(all, leafPrefix+"find."+f.namespace+".at."+f.place)
	}
	return append(all, leafPrefix+"find."+f.namespace+".any")
}

// collect asks on one subject. refused is what was wrong with those answers that do not count.
func (f *finder) collect(subject string) (answers []found, refused []error, err error) {
	h := f.h
	nonce := newNonce()
	var w plainjson.Writer
	text := w.Text("nonce", nonce).String()
	type answer struct {
		data   []byte
		header Header
	}
	came, ended := make(chan answer, mostAnswers), make(chan error, 1)
	window := askWindow + 4*f.h.repairs.distance()
	cancel := h.requestMany(h.ctx, OutMsg{Subject: subject, Data: []byte(text), answer: true}, window, mostAnswers, func(m *Message) {
		came <- answer{slices.Clone(m.Data), m.Header} // it has room for all
	}, func(err error) { ended <- err })
	defer cancel()
	var enough <-chan time.Time
	seen := map[string]bool{}
	take := func(a answer) {
		one, err := f.read(nonce, a.header, a.data)
		switch {
		case err != nil:
			refused = append(refused, err)
		case !seen[one.url]:
			seen[one.url] = true
			answers = append(answers, one)
			if enough == nil {
				enough = time.After(askGrace + h.repairs.distance())
			}
		}
	}
	for {
		select {
		case a := <-came:
			take(a)
		case <-enough:
			return answers, refused, nil
		case err := <-ended:
			for len(came) > 0 {
				take(<-came)
			}
			if err == nil || errors.Is(err, ErrNoResponders) || len(answers) > 0 {
				return answers, refused, nil
			}
			return nil, refused, f.failed(err)
		}
	}
}

// newNonce is 26 random letters and digits, so that no answer to another question counts.
func newNonce() string {
	return rand.Text()
}

// failed is why a question could not be asked.
func (f *finder) failed(err error) error {
	if errors.Is(err, ErrPermission) {
		return fmt.Errorf("the leaf cannot be asked for: %w; see «Discovery through the session» in docs/permissions.md", err)
	}
	return fmt.Errorf("the leaf cannot be asked for: %w", err)
}

// choose takes the best of those that have answered, and not been tried in vain lately.
func (f *finder) choose(all []found) (target, error) {
	for i := range all { // of equals any
		j := int(randomFraction() * float64(i+1))
		all[i], all[j] = all[j], all[i]
	}
	var best *found
	var cut error
	tried, away := 0, 0
	for near := here; near <= elsewhere && tried < mostTried; near++ {
		for i := range all {
			one := &all[i]
			switch {
			case one.near != near || tried >= mostTried:
				continue
			case near == here:
				return one.target, one.err
			case one.err != nil:
				cut = one.err
				continue
			case near == elsewhere && (away >= mostFar || !f.mayReach(one.url)):
				continue
			case near == elsewhere:
				away++
			}
			tried++
			if best == nil && !f.passed[one.url].holds(one.url, time.Now()) {
				best = one
			}
		}
	}
	switch {
	case f.h.where().via == viaLeaf: // it is leaving, and says so, or is another's turn to answer
		return target{}, fmt.Errorf("%w: %s does not answer any more, others do", errNoLeader, f.h.where())
	case best != nil:
		return best.target, nil
	case cut != nil:
		return target{}, fmt.Errorf("%w (in the namespace %q)", cut, f.h.cfg.Discovery.Namespace)
	case tried > 0:
		return target{}, errResting
	}
	return target{}, fmt.Errorf("%d leaves answer in the namespace %q, all of them behind other public addresses than this page's %s: none is in this LAN, or a proxy hides the addresses (then give leaves no --public-address)", len(all), f.h.cfg.Discovery.Namespace, f.place)
}

// errResting: those that there are were tried a moment ago.
var errResting = errors.New("all leaves that answered were tried, and could not be moved to")

// mayReach says that a leaf may be tried that most likely is elsewhere: for that no user is asked.
func (f *finder) mayReach(url string) bool {
	a := access{f.h, map[string]bool{}, map[string]time.Time{}}
	v, _ := a.judge(url)
	return v == mayGo
}

// nobody says why there is no leaf.
func (f *finder) nobody(refused []error) error {
	name := f.h.cfg.Discovery.Namespace
	if len(refused) > 0 {
		return fmt.Errorf("%d answers in the namespace %q do not count: %w", len(refused), name, refused[0])
	}
	return fmt.Errorf("%w answers in the namespace %q%s", errNobody, name, f.others())
}

// errNobody is an errNoLeader with words.
var errNobody = fmt.Errorf("%w: no leaf", errNoLeader)

// others says, once asked, which namespaces there are, as the name may be mistyped.
func (f *finder) others() string {
	if !f.hinted {
		f.hinted = true
		var mu sync.Mutex
		var names []string
		done := make(chan struct{})
		f.h.requestMany(f.h.ctx, OutMsg{Subject: leafPrefix + "names", Data: []byte("{}"), answer: true}, askWindow, mostAnswers, func(m *Message) {
			r, err := plainjson.Read(m.Data)
			if err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if one := r.Text("discoveryNamespace"); one != "" && len(one) <= 128 && checkName(word(one), false) == nil && !slices.Contains(names, one) {
				names = append(names, one)
			}
		}, func(error) { close(done) })
		<-done
		mu.Lock()
		defer mu.Unlock()
		slices.Sort(names)
		names = names[:min(len(names), 5)]
		if len(names) > 0 {
			f.hint = fmt.Sprintf("; there are leaves of the namespaces %q", names)
		}
	}
	if f.hint != "" {
		return f.hint
	}
	return "; a leaf answers when it leads, has its bridge to this account, and was started with that --discovery-namespace"
}

// forbidden takes what a server does not permit of this.
func (f *finder) forbidden(l *link, v *PermissionError) {
	h := f.h
	h.requests.fail(v, func(q *request) bool { return q.link == l && q.subject == v.Subject })
	if strings.HasPrefix(v.Subject, leafPrefix+"names") {
		return // a hint only
	}
	f.warned.Do(func() {
		h.cfg.Logger.Warn("the leaf cannot be found through the session as it should: the server permits too little of "+leafPrefix+">; see docs/permissions.md", "err", v)
	})
}
