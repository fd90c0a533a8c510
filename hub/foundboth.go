package hub

import (
	"errors"
	"fmt"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/transport"
)

// fetchFromBoth looks through the session first, and where that brings no leaf at the manifest's URL, if there is one.
func (s *searcher) fetchFromBoth(fetch func() (target, error)) func() (target, error) {
	h := s.h
	f := h.finder
	return func() (target, error) {
		if !s.stay.doubted.IsZero() && !s.stay.decided {
			f.askNow()
		}
		leaf, err := f.fetch()
		address := h.cfg.Discovery.ManifestURL
		if err == nil || errors.Is(err, errNoBackbone) && leaf.url != "" || address == "" || h.ctx.Err() != nil {
			return leaf, err
		}
		if v, why := s.access.judge(address); v != mayGo && !s.byUser {
			return target{}, fmt.Errorf("%w; %s", err, why)
		} else if !s.access.admit(address, s.byUser) {
			return target{}, err
		}
		other, otherErr := fetch()
		if otherErr == nil {
			otherErr = f.checkProven(other)
		}
		if otherErr != nil && !errors.Is(otherErr, errNoBackbone) {
			return target{}, fmt.Errorf("%w; %w", err, otherErr)
		}
		return other, otherErr
	}
}

// discoverySources is where the hub looks for the leaf, in words.
func (h *Hub) discoverySources() string {
	d := h.cfg.Discovery
	switch {
	case h.finder == nil:
		return transport.Redact(d.ManifestURL)
	case d.ManifestURL == "":
		return "the namespace " + d.Namespace + ", through the session"
	}
	return "the namespace " + d.Namespace + ", through the session, and " + transport.Redact(d.ManifestURL)
}

// leafNews has a token when the leaves have told something; nil without a namespace.
func (h *Hub) leafNews() <-chan struct{} {
	if h.finder == nil {
		return nil
	}
	return h.finder.newsArrived
}

// refuse remembers that the hub could not move to leaf.
func (s *searcher) refuse(leaf target) {
	if f := s.h.finder; f != nil {
		f.refuse(leaf.key())
	}
	s.refused = s.refused.backOff(leaf.key(), time.Now(), s.h.cfg.Discovery.CacheTTL)
}

// forgive lets a leaf be tried again at once.
func (s *searcher) forgive(url string) {
	if s.refused.leaf == url {
		s.refused = refusal{}
	}
	if f := s.h.finder; f != nil {
		delete(f.refusals, url)
		f.askNow()
	}
}

// clearRefusals lets everything be tried again.
func (s *searcher) clearRefusals() {
	s.refused = refusal{}
	if f := s.h.finder; f != nil {
		f.refusals = map[string]refusal{}
		f.askNow()
	}
}
