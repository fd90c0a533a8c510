package hub

import (
	"time"
)

// A stay is what discovery knows of the leaf that the hub is on. What was required of it before the hub
// moved there is required as long as the hub is there.
type stay struct {
	sound   time.Time // when the leaf was last known to be good enough
	doubted time.Time // when it first was not; zero: it is
	stuck   refusal   // the configured servers, which could not be moved to
}

const (
	// doubtTime is how long a leaf may be without its backbone before hubs leave it: a bridge that
	// is made anew is up again by then.
	doubtTime = time.Second
	// hiddenLook is the time between two looks from a hidden page, which is on a leaf.
	hiddenLook = 30 * time.Second
)

// pause is the time between two looks.
func (s *searcher) pause(onLeaf bool) time.Duration {
	ttl := s.h.cfg.Discovery.CacheTTL
	switch {
	case onLeaf && s.h.hidden():
		return max(ttl, hiddenLook)
	case onLeaf && !s.stay.doubted.IsZero():
		return min(ttl, doubtTime)
	}
	return ttl
}

// sitsOn says that the hub is on leaf.
func (s *searcher) sitsOn(leaf target) bool {
	here := s.h.where()
	return here.via == viaLeaf && here.url == leaf.url
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
		s.stay.doubted, s.stay.stuck = time.Time{}, refusal{}
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
		s.stay.stuck = s.stay.stuck.again(leaf.url, time.Now(), h.cfg.Discovery.CacheTTL)
		return
	}
	s.stay = stay{}
	h.tell(DiscoveryNoLeader, err.Error())
}
