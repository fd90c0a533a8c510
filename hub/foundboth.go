package hub

import (
	"errors"
	"fmt"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/transport"
)

// both looks through the session first, and where that brings no leaf at the manifest's URL, if there is one.
func (s *searcher) both(fetch func() (target, error)) func() (target, error) {
	h := s.h
	f := h.finder
	return func() (target, error) {
		if !s.stay.doubted.IsZero() && !s.stay.decided {
			f.again()
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
			otherErr = f.vouched(other)
		}
		if otherErr != nil && !errors.Is(otherErr, errNoBackbone) {
			return target{}, fmt.Errorf("%w; %w", err, otherErr)
		}
		return other, otherErr
	}
}

// looksAt is where the hub looks for the leaf, in words.
func (h *Hub) looksAt() string {
	d := h.cfg.Discovery
	switch {
	case h.finder == nil:
		return transport.Redact(d.ManifestURL)
	case d.ManifestURL == "":
		return "the namespace " + d.Namespace + ", through the session"
	}
	return "the namespace " + d.Namespace + ", through the session, and " + transport.Redact(d.ManifestURL)
}

// newsCome has a token when the leaves have told something; nil without a namespace.
func (h *Hub) newsCome() <-chan struct{} {
	if h.finder == nil {
		return nil
	}
	return h.finder.wake
}

// refuse remembers that the hub could not move to leaf.
func (s *searcher) refuse(leaf target) {
	if f := s.h.finder; f != nil {
		f.pass(leaf.url)
	}
	s.refused = s.refused.backOff(leaf.url, time.Now(), s.h.cfg.Discovery.CacheTTL)
}

// forget lets everything be tried again.
func (s *searcher) forget() {
	s.refused = refusal{}
	if f := s.h.finder; f != nil {
		f.passed = map[string]refusal{}
		f.again()
	}
}
