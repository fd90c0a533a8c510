package hub

import (
	"crypto/rand"
	"fmt"
	"strconv"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/natswire"
)

// A stay is what discovery knows of the leaf that the hub is on. What was required of it before the hub
// moved there is required as long as the hub is there.
type stay struct {
	sound   time.Time // when the leaf was last known to be good enough
	doubted time.Time // when it first was not; zero: it is
	decided bool      // and it has not become so again
	stuck   refusal   // the configured servers, which could not be moved to
	proven  time.Time // when it was last tried whether messages come through
}

const (
	// doubtTime is how long a leaf may be without its backbone before hubs leave it: a bridge that
	// is made anew is up again by then.
	doubtTime = time.Second
	// hiddenProbeInterval is the time between two probes from a hidden page, which is on a leaf.
	hiddenProbeInterval = 30 * time.Second
)

// untilProbe is the time until the next probe; the last one was at the given time.
func (s *searcher) untilProbe(last time.Time, onLeaf bool) time.Duration {
	ttl := s.h.cfg.Discovery.CacheTTL
	doubts := !s.stay.doubted.IsZero() && !s.stay.decided
	switch {
	case onLeaf && s.h.hidden():
		ttl = max(ttl, hiddenProbeInterval)
	case onLeaf && doubts:
		ttl = min(ttl, doubtTime)
	}
	again := time.Until(last.Add(ttl))
	f := s.h.finder
	switch {
	case f == nil || doubts:
		return again
	case s.h.cfg.Discovery.ManifestURL == "":
		return f.untilNextQuestion()
	}
	return min(again, f.untilNextQuestion())
}

// sitsOn says that the hub is on leaf.
func (s *searcher) sitsOn(leaf target) bool {
	here := s.h.where()
	return here.via == viaLeaf && here.is(leaf)
}

// review decides, by what the manifest says now of the leaf that the hub is on, whether the hub stays there;
// err is why it is not good enough. The way back is a move.
func (s *searcher) review(leaf target, err error) {
	h := s.h
	h.mu.Lock()
	l := h.live
	h.mu.Unlock()
	if l == nil || l.target.url != leaf.url {
		return
	}
	now := time.Now()
	if s.stay.sound.IsZero() || !leaf.alone && !leaf.unproven {
		s.stay.sound = now
	}
	if !leaf.alone && !leaf.unproven && l.isolated.Load() {
		// The leaf has its backbone again, where others have gone on.
		absent := l.apart()
		l.isolates(false, now)
		h.intake.returned(absent)
		h.repairs.returned()
	}
	if !leaf.alone {
		s.stay.doubted, s.stay.decided, s.stay.stuck = time.Time{}, false, refusal{}
		s.place()
		return
	}
	if s.stay.doubted.IsZero() {
		s.stay.doubted = now
		h.cfg.Logger.Debug("the leaf has lost its backbone", "leaf", leaf.String(), "err", err)
		return
	}
	if now.Sub(s.stay.doubted) < min(doubtTime, h.cfg.Discovery.CacheTTL)/2 {
		return
	}
	s.stay.decided = true
	l.isolates(true, s.stay.sound)
	s.place()
	if err == nil || s.stay.stuck.holds(leaf.url, now) {
		return
	}
	// All who are on the leaf find out at the same time.
	select {
	case <-time.After(time.Duration(randomFraction() * float64(spread))):
	case <-h.ctx.Done():
		return
	}
	if err := h.proposeOne(h.rank(""), "leaf cut off"); err != nil {
		s.stay.stuck = s.stay.stuck.backOff(leaf.url, time.Now(), h.cfg.Discovery.CacheTTL)
		return
	}
	s.stay = stay{}
	h.setDiscovery(DiscoveryNoLeader, err.Error())
}

// proofTime is for how long a message may be on its way from the leaf to a configured server.
const proofTime = 2 * time.Second

// prove finds out whether a leaf that does not say whether it has its backbone has it: whether a message
// comes through from there to a configured server. That takes a connection, so it is done at every other probe.
func (s *searcher) prove(leaf target) (target, error) {
	h := s.h
	if s.stay.doubted.IsZero() && time.Since(s.stay.proven) < 2*h.cfg.Discovery.CacheTTL {
		return leaf, nil
	}
	h.mu.Lock()
	here := h.live
	h.mu.Unlock()
	there, err := h.race(h.ctx, h.rank(""), h.cfg.ReconnectTimeout)
	if err != nil {
		return leaf, nil // nothing is known, and there is nowhere to go
	}
	defer there.shut()
	s.stay.proven = time.Now()
	switch through := here != nil && h.passes(here, there); {
	case through:
		leaf.unproven = false
		return leaf, nil
	case here == nil || ended(here.wire) || ended(there.wire) || h.ctx.Err() != nil:
		return leaf, nil
	}
	leaf.unproven, leaf.alone = false, true
	if h.cfg.Discovery.RequireBackbone == BackboneNever {
		return leaf, nil
	}
	return leaf, fmt.Errorf("%w: nothing that is published there comes to %s", errNoBackbone, there.target)
}

// passes says whether a message that is published at here comes to there.
func (h *Hub) passes(here, there *link) bool {
	came := make(chan bool, 1)
	q := &request{done: func(m *Message, _ error) { came <- m != nil }}
	if !h.requests.add(proofTime, q) {
		return false
	}
	subject := there.inbox + strconv.FormatUint(q.token, 36)
	again := time.NewTicker(proofTime / 10) // interest in it may still be spreading
	defer again.Stop()
	for {
		if err := here.wire.Publish(natswire.Msg{Subject: subject, Data: []byte(rand.Text())}); err != nil {
			h.requests.finish(q, nil, err)
		}
		select {
		case through := <-came:
			return through
		case <-again.C:
		}
	}
}
