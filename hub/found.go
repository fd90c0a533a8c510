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
	"github.com/kinopio-hub/kinopio-hub/v3/transport"
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
	h          *Hub
	namespace  string
	key        ed25519.PublicKey // of the namespace; nil: any answer is believed
	place      string            // the hub's public address as a part of a subject; "": not known
	refusals   map[string]refusal
	proven     map[string]transport.Reach // what signed answers said of leaves, by their keys
	leaf       target                     // what the last question brought,
	leafErr    error
	due        time.Time
	failures   int // questions in a row that brought nothing
	namesAsked bool
	otherNames string // other namespaces

	askedAt       string    // where the hub was at the last question
	strangersOnly time.Time // since when only leaves at other public addresses answer; zero: they are not the only ones

	newsArrived chan struct{} // a token: there are news
	warnOnce    sync.Once
	news        newsLimiter
}

const (
	leafPrefix = ownPrefix + "leaf."
	// maxAnswers bounds the answers to one question that are looked at.
	maxAnswers = 64
	// maxOtherPlace bounds how many leaves are tried of whom it is known that they are behind another public address.
	maxOtherPlace = 2
	// elsewhereAfter is for how long only such leaves must have answered before one is tried. It most likely is in vain, and browsers hold
	// up what is tried next; a leaf that was started again here does not know its public address at once.
	elsewhereAfter = 4 * time.Second
	// maxTried bounds how many are tried one after the other.
	maxTried = 4
	// answerWindow is for how long answers are waited for, besides some round trips, and answerGrace for more than one.
	answerWindow, answerGrace = 500 * time.Millisecond, 20 * time.Millisecond
	// refresh is the time between two questions when nothing is told: for who has not heard of a change. It grows to that
	// from firstRefresh while nobody answers.
	refresh, firstRefresh = 45 * time.Second, time.Second
)

// newFinder returns nil when the configuration names no namespace.
func (h *Hub) newFinder() *finder {
	d := h.cfg.Discovery
	if d.Namespace == "" {
		return nil
	}
	f := &finder{h: h, namespace: subjectToken(d.Namespace), refusals: map[string]refusal{}, proven: map[string]transport.Reach{}, newsArrived: make(chan struct{}, 1)}
	f.key, _ = parseNamespaceKey(d.NamespaceKey) // it was checked
	return f
}

// subjectToken is a name as one part of a subject; leaves make the same of it.
func subjectToken(name string) string {
	var b []byte
	for _, c := range []byte(name) {
		if c == '-' || c == '_' || '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' {
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
	told, news := f.news.next()
	news = news && !now.Before(told)
	if now.Before(f.due) && !news && on == f.askedAt {
		return f.leaf, f.leafErr
	}
	if news {
		f.news.begin(now)
	}
	before, beforeErr := f.leaf, f.leafErr
	f.askedAt = on
	f.leaf, f.leafErr = f.query()
	if news {
		f.news.report(f.leaf != before || (f.leafErr == nil) != (beforeErr == nil))
	}
	switch {
	case f.leafErr == nil || errors.Is(f.leafErr, errNoBackbone):
		f.failures = 0
		f.due = now.Add(jitter(refresh))
	default:
		f.due = now.Add(jitter(min(firstRefresh<<min(f.failures, 10), refresh)))
		f.failures++
	}
	return f.leaf, f.leafErr
}

// jitter is a time around d, so that many hubs do not ask together.
func jitter(d time.Duration) time.Duration {
	return time.Duration((0.7 + 0.6*randomFraction()) * float64(d))
}

// askNow makes the next fetch ask.
func (f *finder) askNow() { f.due = time.Time{} }

// untilNextQuestion is the time until the next fetch will ask.
func (f *finder) untilNextQuestion() time.Duration {
	next := f.due
	if told, news := f.news.next(); news && told.Before(next) {
		next = told
	}
	return max(time.Until(next), 0)
}

// refuse remembers that the hub could not move to a leaf.
func (f *finder) refuse(leaf string) {
	if len(f.refusals) >= maxLeafRecords {
		f.refusals = map[string]refusal{}
	}
	f.refusals[leaf] = f.refusals[leaf].backOff(leaf, time.Now(), f.h.cfg.Discovery.CacheTTL)
	f.askNow()
}

// A candidate is a leaf that has answered.
type candidate struct {
	target
	err  error // why it is not good enough: errNoBackbone, or nil
	says leafInfo
	near nearness
}

// nearness is how likely a leaf is in the hub's LAN.
type nearness int

const (
	currentLeaf  nearness = iota // the hub is on it
	samePlace                    // behind the same public address
	unknownPlace                 // it does not know its own, or the hub does not
	otherPlace
)

// query asks, and chooses.
func (f *finder) query() (target, error) {
	f.updatePlace()
	var all []candidate
	var why []error
	for _, subject := range f.subjects() {
		answers, refused, err := f.collect(subject)
		all = append(all, answers...)
		if why = append(why, refused...); err != nil {
			return target{}, err
		}
		if slices.ContainsFunc(answers, func(one candidate) bool { return one.err == nil && one.near <= samePlace }) {
			break
		}
	}
	if len(all) == 0 {
		return target{}, f.noAnswerError(why)
	}
	return f.chooseLeaf(all)
}

// updatePlace notes the address that the configured server sees the hub at.
func (f *finder) updatePlace() {
	f.h.mu.Lock()
	l := f.h.live
	f.h.mu.Unlock()
	if l == nil || l.target.via != viaConfigured {
		return // a leaf sees another one
	}
	if w, ok := l.wire.(interface{ SeenAs() string }); ok {
		if w.SeenAs() == "" { // a server behind a proxy says it a moment later
			ctx, cancel := context.WithTimeout(f.h.ctx, answerWindow)
			defer cancel()
			if err := l.wire.Flush(ctx); err != nil {
				f.h.cfg.Logger.Debug("the hub's public address is not known", "err", err)
			}
		}
		f.place = placeOf(w.SeenAs())
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
func (f *finder) collect(subject string) (answers []candidate, refused []error, err error) {
	h := f.h
	nonce := newNonce()
	var w plainjson.Writer
	text := w.Text("nonce", nonce).String()
	type answer struct {
		data   []byte
		header Header
	}
	came, ended := make(chan answer, maxAnswers), make(chan error, 1)
	window := answerWindow + 4*f.h.repairs.distance()
	cancel := h.requestMany(h.ctx, OutMsg{Subject: subject, Data: []byte(text), answer: true}, window, maxAnswers, func(m *Message) {
		came <- answer{slices.Clone(m.Data), m.Header} // it has room for all
	}, func(err error) { ended <- err })
	defer cancel()
	var enough <-chan time.Time
	seen := map[string]bool{}
	take := func(a answer) {
		one, err := f.readAnswer(nonce, a.header, a.data)
		switch {
		case err != nil:
			refused = append(refused, err)
		case !seen[one.key()]:
			seen[one.key()] = true
			answers = append(answers, one)
			if enough == nil {
				enough = time.After(answerGrace + h.repairs.distance())
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
			return nil, refused, f.queryError(err)
		}
	}
}

// newNonce is 26 random letters and digits, so that no answer to another question counts.
func newNonce() string {
	return rand.Text()
}

// queryError is why a question could not be asked.
func (f *finder) queryError(err error) error {
	if errors.Is(err, ErrPermission) {
		return fmt.Errorf("the leaf cannot be asked for: %w; see «Discovery through the session» in docs/permissions.md", err)
	}
	return fmt.Errorf("the leaf cannot be asked for: %w", err)
}

// chooseLeaf takes the best of those that have answered, and not been tried in vain lately.
func (f *finder) chooseLeaf(all []candidate) (target, error) {
	if slices.ContainsFunc(all, func(one candidate) bool { return one.near < otherPlace }) {
		f.strangersOnly = time.Time{}
	} else if f.strangersOnly.IsZero() {
		f.strangersOnly = time.Now()
	}
	for i := range all { // of equals any
		j := int(randomFraction() * float64(i+1))
		all[i], all[j] = all[j], all[i]
	}
	var best *candidate
	var cut error
	tried, away := 0, 0
	for near := currentLeaf; near <= otherPlace && tried < maxTried; near++ {
		for i := range all {
			one := &all[i]
			switch {
			case one.near != near || tried >= maxTried:
				continue
			case near == currentLeaf:
				return one.target, one.err
			case one.err != nil:
				cut = one.err
				continue
			case near == otherPlace && (away >= maxOtherPlace || time.Since(f.strangersOnly) < elsewhereAfter || !f.mayReach(one.url)):
				continue
			case near == otherPlace:
				away++
			}
			tried++
			if best == nil && !f.refusals[one.key()].holds(one.key(), time.Now()) {
				best = one
			}
		}
	}
	switch {
	case f.h.where().via == viaLeaf: // it is leaving, and says so, or is another's turn to answer
		return target{}, fmt.Errorf("%w: %s does not answer any more, others do", errNoLeader, f.h.where())
	case best != nil:
		f.h.cfg.leaves.add(best.url, best.says, true)
		return best.target, nil
	case cut != nil:
		return target{}, fmt.Errorf("%w (in the namespace %q)", cut, f.h.cfg.Discovery.Namespace)
	case tried > 0:
		return target{}, errAllInCooldown
	}
	return target{}, fmt.Errorf("%d leaves answer in the namespace %q, all of them behind other public addresses than this page's %s: none is in this LAN, or a proxy hides the addresses (then give leaves no --public-address)", len(all), f.h.cfg.Discovery.Namespace, f.place)
}

// errAllInCooldown: those that there are were tried a moment ago.
var errAllInCooldown = errors.New("all leaves that answered were tried, and could not be moved to")

// mayReach says that a leaf may be tried that most likely is elsewhere: for that no user is asked.
func (f *finder) mayReach(url string) bool {
	a := access{f.h, map[string]bool{}, map[string]time.Time{}}
	v, _ := a.judge(url)
	return v == mayGo
}

// noAnswerError says why there is no leaf.
func (f *finder) noAnswerError(refused []error) error {
	name := f.h.cfg.Discovery.Namespace
	if len(refused) > 0 {
		return fmt.Errorf("%d answers in the namespace %q do not count: %w", len(refused), name, refused[0])
	}
	return fmt.Errorf("%w answers in the namespace %q%s", errNoLeafAnswers, name, f.otherNamespaces())
}

// errNoLeafAnswers is an errNoLeader with words.
var errNoLeafAnswers = fmt.Errorf("%w: no leaf", errNoLeader)

// otherNamespaces says, once asked, which namespaces there are, as the name may be mistyped.
func (f *finder) otherNamespaces() string {
	if !f.namesAsked {
		f.namesAsked = true
		var mu sync.Mutex
		var names []string
		done := make(chan struct{})
		f.h.requestMany(f.h.ctx, OutMsg{Subject: leafPrefix + "names", Data: []byte("{}"), answer: true}, answerWindow, maxAnswers, func(m *Message) {
			r, err := plainjson.Read(m.Data)
			if err != nil {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if one := r.Text("discoveryNamespace"); one != "" && len(one) <= 128 && checkName(subjectToken(one), false) == nil && !slices.Contains(names, one) {
				names = append(names, one)
			}
		}, func(error) { close(done) })
		<-done
		mu.Lock()
		defer mu.Unlock()
		slices.Sort(names)
		names = names[:min(len(names), 5)]
		if len(names) > 0 {
			f.otherNames = fmt.Sprintf("; there are leaves of the namespaces %q", names)
		}
	}
	if f.otherNames != "" {
		return f.otherNames
	}
	return "; a leaf answers when it leads, has its bridge to this account, and was started with that --discovery-namespace"
}

// handlePermissionError takes what a server does not permit of this.
func (f *finder) handlePermissionError(l *link, v *PermissionError) {
	h := f.h
	h.requests.fail(v, func(q *request) bool { return q.link == l && q.subject == v.Subject })
	if strings.HasPrefix(v.Subject, leafPrefix+"names") {
		return // a hint only
	}
	f.warnOnce.Do(func() {
		h.cfg.Logger.Warn("the leaf cannot be found through the session as it should: the server permits too little of "+leafPrefix+">; see docs/permissions.md", "err", v)
	})
}
