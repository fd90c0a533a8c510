package hub

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A PermissionError says what a server does not permit this hub's user. It is an [ErrPermission].
type PermissionError struct {
	Publish bool   // false: to subscribe
	Subject string // with wildcards, if that was subscribed to
	Queue   string // the queue group of the subscription, or ""
	Server  string // without credentials

	needs string // what goes without it, if that is the hub's own affair
}

func (e *PermissionError) Error() string {
	text := ErrPermission.Error() + ": " + e.Server + " does not let this user "
	if e.Publish {
		text += "publish to "
	} else {
		text += "subscribe to "
	}
	text += strconv.Quote(e.Subject)
	if e.Queue != "" {
		text += " in the queue group " + strconv.Quote(e.Queue)
	}
	return text + e.needs
}

// Is makes errors.Is(err, ErrPermission) true.
func (e *PermissionError) Is(target error) bool { return target == ErrPermission }

// violationOf reads what a server complains of; nil if it is something else.
func violationOf(err error) *PermissionError {
	if !errors.Is(err, ErrPermission) {
		return nil
	}
	_, text, ok := strings.Cut(err.Error(), "Permissions Violation for ")
	if !ok {
		return nil
	}
	// Names are quoted; quotation marks within them have backslashes, and so have those.
	text = strings.ReplaceAll(strings.ReplaceAll(text, `\\`, "\x00"), `\"`, "\x01")
	part := strings.Split(text, `"`)
	if len(part) < 3 {
		return nil
	}
	name := func(s string) string { return strings.ReplaceAll(strings.ReplaceAll(s, "\x01", `"`), "\x00", `\`) }
	v := &PermissionError{Publish: strings.HasPrefix(text, "Publish"), Subject: name(part[1])}
	if len(part) > 3 {
		v.Queue = name(part[3])
	}
	return v
}

// trouble takes what the server complains of. What it does not let the hub do for itself is no
// error of the program's.
func (l *link) Trouble(err error) {
	h := l.hub
	v := violationOf(err)
	switch {
	case v == nil && errors.Is(err, ErrMalformed):
		l.reportOnce(err)
	case v == nil:
		l.refused(err.Error())
		h.report(err)
	default:
		v.Server = l.target.String()
		h.denied(l, v)
	}
}

// denied does what follows from what l's server does not permit, and tells whom it concerns, once.
func (h *Hub) denied(l *link, v *PermissionError) {
	switch {
	case h.finder != nil && strings.HasPrefix(v.Subject, leafPrefix):
		h.finder.handlePermissionError(l, v)
	case strings.HasPrefix(v.Subject, ownPrefix) && (h.keeper().denied(v) || h.peers().denied(v)):
	case strings.HasPrefix(v.Subject, ownPrefix):
		h.repairs.forbidden(v)
	case strings.HasPrefix(v.Subject, h.inboxes()):
		what, which := "moves need to publish and subscribe", &l.noMarks
		if strings.HasPrefix(v.Subject, l.inbox) {
			what, which = "requests need to subscribe", &l.noInbox
		}
		v.needs = "; " + what + " to " + h.inboxes() + ">, or to the same below Config.InboxPrefix (inboxPrefix in JavaScript); see docs/permissions.md"
		which.Store(v)
		own := h.requests.fail(v, func(q *request) bool { return q.quiet && q.link == l && l.noInbox.Load() != nil })
		programs := h.requests.fail(v, func(q *request) bool { return q.link == l && l.noInbox.Load() != nil })
		if own > 0 && programs == 0 {
			h.keeper().warn(v)
			return
		}
		h.inboxDenied.Do(func() { h.report(v) })
	case v.Publish:
		failedRequests := h.requests.fail(v, func(q *request) bool { return q.link == l && q.subject == v.Subject })
		h.keeper().unpublished(v.Subject)
		h.mu.Lock()
		notifyVariable := h.variableDenied
		h.mu.Unlock()
		known := notifyVariable != nil && notifyVariable(v.Subject)
		if h.cfg.onDenied != nil {
			h.cfg.onDenied(v.Subject)
		}
		switch {
		case failedRequests > 0:
		case !known && h.answered.Load():
			v.needs = `; a service needs to publish its answers: allow_responses, or "_INBOX.>"; see docs/permissions.md`
			h.answersDenied.Do(func() { h.report(v) })
		default:
			l.reportOnce(v)
		}
	default:
		if !h.registry.denied(l, v) {
			l.reportOnce(v)
		}
	}
}

// refused notes what the server did not take.
func (l *link) refused(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.refusals) < refusalsKept {
		l.refusals = append(l.refusals, what)
	}
}

// reportOnce reports err, unless the same has been reported of this link, or very much else.
func (l *link) reportOnce(err error) {
	l.mu.Lock()
	text := err.Error()
	known := l.reported[text] || len(l.reported) >= refusalsKept
	if !known {
		if l.reported == nil {
			l.reported = map[string]bool{}
		}
		l.reported[text] = true
	}
	l.mu.Unlock()
	if !known {
		l.hub.report(err)
	}
}

// refusal is an error if the server has refused what old's did not, which a move needs, or if either
// has refused the marks.
func (l *link) refusal(old *link) error {
	for _, link := range []*link{old, l} {
		if v := link.noMarks.Load(); v != nil {
			return fmt.Errorf("%w: %w", errRefused, v)
		}
	}
	if v := l.hub.registry.deniedAlone(old, l); v != nil {
		return fmt.Errorf("%w: %w", errRefused, v)
	}
	l.mu.Lock()
	mine := slices.Clone(l.refusals)
	l.mu.Unlock()
	old.mu.Lock()
	defer old.mu.Unlock()
	for _, why := range mine {
		if !slices.Contains(old.refusals, why) {
			return fmt.Errorf("%w: %s: %s", errRefused, l.target, why)
		}
	}
	return nil
}

// denied notes that l's server does not permit a subscription; told says that somebody gets the error, or that
// the subscription has ended, so that nobody wants it.
func (r *registry) denied(l *link, v *PermissionError) (reported bool) {
	var handles []*Subscription
	reported = true
	r.mu.Lock()
	e, b := r.entries[entryKey{v.Subject, v.Queue}], r.binding(l)
	if e != nil && b != nil && b.subs[e] != nil {
		b.subs[e].denied = v
		b.denied++
		e.deaf.Store(true)
		reported, handles = e.awaited > 0, e.list()
	}
	r.mu.Unlock()
	for _, s := range handles {
		if s.denied != nil {
			reported = true
			s.denied(v)
		}
	}
	return reported
}

// deniedAlone is a subscription that next's server does not permit and old's does; nil: there is none.
func (r *registry) deniedAlone(old, next *link) *PermissionError {
	r.mu.Lock()
	defer r.mu.Unlock()
	from, to := r.binding(old), r.binding(next)
	if from == nil || to == nil || to.denied == 0 {
		return nil
	}
	for e, l := range to.subs {
		if before := from.subs[e]; l.denied != nil && before != nil && before.denied == nil {
			return l.denied
		}
	}
	return nil
}

// denial is why the current server does not bring s anything; nil if it does.
func (r *registry) denial(s *Subscription) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.bound) > 0 {
		if l := r.bound[0].subs[s.entry]; l != nil && l.denied != nil {
			return l.denied
		}
	}
	return nil
}

// awaits counts those who wait until the server has e.
func (r *registry) awaits(e *entry, by int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e.awaited += by
}
