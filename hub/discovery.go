package hub

import (
	"errors"
	"strings"
	"time"
)

// A proposal is to move to one of several servers.
type proposal struct {
	targets []target
	ready   *link // a connection to the only target, which becomes the connection manager's; nil: there is none
	again   bool  // also if the hub is on that server: there is a better way to it
	reason  string
	done    chan error // takes one result: why the hub did not move there, or nil
}

// A searcher looks for the leaf's manifest, again and again, and proposes the leaf to the
// connection manager. Nothing that fails here disturbs the connection that there is.
type searcher struct {
	h       *Hub
	access  access
	fetch   func() (target, error) // the leaf that the manifest names
	refused refusal
	stay    stay
	byUser  bool // this probe was asked for by the user
}

// discover is the searcher's goroutine.
func (h *Hub) discover() {
	web := newFetcher(h.cfg.TLS)
	defer web.close()
	if h.Connected(h.ctx) != nil && h.ctx.Err() != nil {
		return
	}
	s := &searcher{h: h, access: access{h, map[string]bool{}, map[string]time.Time{}}}
	s.fetch = func() (target, error) { return h.fetchManifest(h.ctx, web) }
	if h.finder != nil {
		h.finder.subscribeNews()
		s.fetch = s.fetchFromBoth(s.fetch)
	}
	goOn := s.probe(false)
	for {
		byUser, ok := s.wait(goOn)
		if !ok {
			return
		}
		goOn = s.probe(byUser != nil)
		if byUser != nil {
			close(byUser)
		}
	}
}

// wait returns when it is time for the next probe, and whom to tell of it if somebody has asked
// for it; false means that the hub ends. goOn says that probes go on by themselves.
func (s *searcher) wait(goOn bool) (byUser chan struct{}, ok bool) {
	h := s.h
	begin := time.Now()
	for {
		h.mu.Lock()
		l, changed := h.live, h.changed
		h.mu.Unlock()
		isOn := l != nil && l.target.via == viaLeaf
		probes := goOn && (isOn || !h.cfg.Discovery.NoBackgroundProbe)
		if s.onLeaf() && l != nil && !isOn {
			if probes {
				h.setDiscovery(DiscoveryProbing, "the hub has left the leaf")
				return nil, true
			}
			h.setDiscovery(DiscoveryIdle, "the hub has left the leaf")
		}
		var due <-chan time.Time
		stop := func() bool { return true }
		if probes && l != nil && (isOn || !h.hidden()) { // nobody looks at a hidden page: it need not wake up
			timer := time.NewTimer(s.untilProbe(begin, isOn))
			due, stop = timer.C, timer.Stop
		}
		select {
		case <-due:
			return nil, true
		case byUser := <-h.discoveryRequests:
			stop()
			return byUser, true
		case <-h.permission:
			stop()
			s.refused = refusal{}
			return nil, true
		case url := <-h.lateWay:
			stop()
			s.takeLateWay(url)
			return nil, true
		case <-h.leafNews():
			// The time of the next probe is another now.
		case <-h.visibilityForDiscovery:
		case <-changed:
		case <-h.ctx.Done():
			stop()
			return nil, false
		}
		stop()
	}
}

// onLeaf says that the hub was on a leaf when it last told of it.
func (s *searcher) onLeaf() bool {
	state := s.h.DiscoveryStatus().State
	return state == DiscoveryLocal || state == DiscoveryIsolated
}

// probe fetches the manifest once, and moves if there is where to. byUser means that the user has said so. It
// returns false where another probe would find the same, until something happens.
func (s *searcher) probe(byUser bool) (goOn bool) {
	h := s.h
	address := h.cfg.Discovery.ManifestURL
	if s.byUser = byUser; byUser {
		s.clearRefusals()
	}
	if h.finder == nil && !s.access.admit(address, byUser) {
		return s.access.inCooldown(address)
	}
	switch h.DiscoveryStatus().State {
	case DiscoveryIdle, DiscoveryPermissionNeeded, DiscoveryPermissionDenied:
		h.setDiscovery(DiscoveryProbing, h.discoverySources())
	}
	leaf, err := s.fetch()
	switch {
	case h.ctx.Err() != nil:
		return false
	case (err == nil || errors.Is(err, errNoBackbone)) && s.sitsOn(leaf):
		if leaf.unproven {
			leaf, err = s.prove(leaf)
		}
		s.review(leaf, err)
		return true
	case err != nil && s.place():
		h.cfg.Logger.Debug("no manifest", "err", err) // as long as the leaf serves, it is the one
		return true
	case errors.Is(err, errAllInCooldown): // the status says why
		return true
	case errors.Is(err, errNoLeader):
		s.refused = refusal{}
		h.setDiscovery(DiscoveryNoLeader, strings.TrimPrefix(strings.TrimPrefix(err.Error(), errNoLeader.Error()), ": "))
		return true
	case errors.Is(err, errNoAnswer):
		s.refused = refusal{} // what answers there again may be another one
		if !s.access.blame(address) {
			h.setDiscovery(DiscoveryUnreachable, err.Error()+s.silence())
		}
		return true
	case err != nil:
		h.cfg.Logger.Debug("no leaf", "err", err)
		h.setDiscovery(DiscoveryNoLeader, err.Error())
		return true
	}
	here := h.where()
	if here.url == "" {
		return true // the configured servers come first
	}
	if h.cfg.Discovery.NoBackgroundProbe && here.via == viaLeaf {
		return true // it probes on only to know whether it may stay
	}
	if s.refused.holds(leaf.key(), time.Now()) {
		return true
	}
	if !s.access.admit(leaf.url, byUser) {
		// The manifest may be reached all the same, and tells when the leaf is another.
		return h.finder != nil || h.DiscoveryStatus().State == DiscoveryPermissionNeeded || s.access.inCooldown(leaf.url)
	}
	h.setDiscovery(DiscoverySwitching, leaf.String())
	if err = s.change(here, leaf); err == nil {
		s.refused, s.stay = refusal{}, stay{}
		s.place()
		// A leaf that was about to stop has withdrawn its manifest first; that it told its clients may have been before
		// the hub was one.
		if _, err := s.fetch(); errors.Is(err, errNoLeader) && h.where() == leaf {
			if err := s.back("leaf leaving"); err != nil {
				h.cfg.Logger.Debug("the hub stays on a leaf that is stopping", "err", err)
			}
		}
		return true
	}
	if h.ctx.Err() != nil || s.place() {
		return true
	}
	s.refuse(leaf)
	if errors.Is(err, ErrConnect) && s.access.blame(leaf.url) {
		return true
	}
	why := strings.TrimPrefix(err.Error(), ErrMove.Error()+": ")
	switch {
	case errors.Is(err, ErrConnect) && strings.Contains(strings.ToLower(why), "authorization"):
		why += h.refusedFor(leaf)
	case errors.Is(err, ErrConnect):
		why += s.silence()
	}
	h.setDiscovery(DiscoveryUnreachable, why)
	return true
}

// silence is what to say beside an error of a browser, which tells nothing.
func (s *searcher) silence() string {
	if s.h.cfg.Page == nil {
		return ""
	}
	return "; a browser does not say why: nothing answers there, its certificate is not trusted, or the page's Content-Security-Policy or CORS forbids it"
}

// change moves the hub to leaf. From another leaf it goes through a configured server: two
// leaves know of each other only by way of the backbone.
func (s *searcher) change(here, leaf target) error {
	if here.via == viaLeaf {
		if err := s.back("leaf changed"); err != nil {
			return err
		}
	}
	err := s.h.propose(leaf, "leaf found")
	if errors.Is(err, errApart) && leaf.unproven && s.h.cfg.Discovery.RequireBackbone == BackboneNever {
		leaf.alone = true // now it is known
		err = s.h.propose(leaf, "leaf found")
	}
	return err
}

// back moves the hub from a leaf to a configured server.
func (s *searcher) back(reason string) error {
	return s.h.proposeOne(s.h.rank(""), reason)
}

// place tells that the hub is on a leaf, if it is.
func (s *searcher) place() bool {
	h := s.h
	h.mu.Lock()
	l := h.live
	h.mu.Unlock()
	switch {
	case l == nil || l.target.via != viaLeaf:
		return false
	case l.isolated.Load():
		h.setDiscovery(DiscoveryIsolated, l.target.String()+" is not one system with the configured servers: who is there is not heard here")
	default:
		h.setDiscovery(DiscoveryLocal, strings.TrimSpace(l.target.String()+" "+l.way()))
	}
	return true
}

// where is the server that the hub is on.
func (h *Hub) where() target {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.live == nil {
		return target{}
	}
	return h.live.target
}

// propose asks the connection manager to move to t, and waits for what comes of it.
func (h *Hub) propose(t target, reason string) error { return h.proposeOne([]target{t}, reason) }

// proposeOne is propose for whichever of the targets a race chooses.
func (h *Hub) proposeOne(targets []target, reason string) error {
	return h.submit(proposal{targets: targets, reason: reason, done: make(chan error, 1)})
}

// proposeLink is propose with a connection to the server. It is closed if the hub does not move.
func (h *Hub) proposeLink(l *link, reason string) error {
	err := h.submit(proposal{targets: []target{l.target}, ready: l, reason: reason, done: make(chan error, 1)})
	if err != nil {
		l.shut()
	}
	return err
}

func (h *Hub) submit(p proposal) error {
	select {
	case h.proposals <- p:
	case <-h.ctx.Done():
		return ErrDisposed
	}
	select {
	case err := <-p.done:
		return err
	case <-h.ctx.Done():
		return ErrDisposed
	}
}

// A refusal remembers a leaf that the hub could not move to, so that it is not tried at
// every probe: each time twice as long as before, up to a minute.
type refusal struct {
	leaf  string
	pause time.Duration
	until time.Time
}

func (r refusal) holds(leaf string, now time.Time) bool {
	return r.leaf == leaf && now.Before(r.until)
}

func (r refusal) backOff(leaf string, now time.Time, first time.Duration) refusal {
	if r.leaf != leaf {
		r = refusal{leaf: leaf, pause: first}
	} else {
		r.pause = min(2*r.pause, time.Minute)
	}
	r.until = now.Add(r.pause)
	return r
}
