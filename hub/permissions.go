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
	what := "subscribe"
	if e.Publish {
		what = "publish"
	}
	text := fmt.Sprintf("%v: %s does not let this user %s to %q", ErrPermission, e.Server, what, e.Subject)
	if e.Queue != "" {
		text += fmt.Sprintf(" in the queue group %q", e.Queue)
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
	kind, text, ok := strings.Cut(text, ` "`)
	if !ok {
		return nil
	}
	v := &PermissionError{Publish: strings.HasPrefix(kind, "Publish")}
	if v.Subject, text, ok = quoted(`"` + text); !ok {
		return nil
	}
	if _, queue, ok := strings.Cut(text, "using queue "); ok {
		v.Queue, _, _ = quoted(queue)
	}
	return v
}

// quoted takes a quoted text off the beginning of s.
func quoted(s string) (text, rest string, ok bool) {
	prefix, err := strconv.QuotedPrefix(s)
	if err != nil {
		return "", s, false
	}
	text, err = strconv.Unquote(prefix)
	return text, s[len(prefix):], err == nil
}

// trouble takes what the server complains of. What it does not let the hub do for itself is no
// error of the program's.
func (l *link) trouble(err error) {
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
	case strings.HasPrefix(v.Subject, ownPrefix):
		h.repairs.forbidden(v)
	case strings.HasPrefix(v.Subject, h.inboxes()):
		v.needs = fmt.Sprintf(`; moves need to publish and subscribe to "%s>"`, h.inboxes())
		if strings.HasPrefix(v.Subject, l.inbox) {
			v.needs = fmt.Sprintf(`; requests need to subscribe to "%s>"`, h.inboxes())
		}
		v.needs += ", or to the same below Config.InboxPrefix (inboxPrefix in JavaScript); see docs/permissions.md"
		if strings.HasPrefix(v.Subject, l.inbox) {
			l.noInbox.Store(v)
			h.requests.fail(v, func(q *request) bool { return q.link == l })
		} else {
			l.noMarks.Store(v)
		}
		h.inboxDenied.Do(func() { h.report(v) })
	case v.Publish:
		asked := h.requests.fail(v, func(q *request) bool { return q.link == l && q.subject == v.Subject })
		known := h.publishes(v.Subject)
		if known != nil {
			known.refused()
		}
		if h.cfg.OnDenied != nil {
			h.cfg.OnDenied(v.Subject)
		}
		switch {
		case asked > 0:
		case known == nil && h.answered.Load():
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

// publishes is the variable of subject, if there is one.
func (h *Hub) publishes(subject string) *Variable {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.variables[subject]
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
func (r *registry) denied(l *link, v *PermissionError) (told bool) {
	var tell []func(*PermissionError)
	defer func() {
		for _, denied := range tell {
			denied(v)
		}
	}()
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.binding(l)
	if b == nil {
		return true
	}
	ended := true
	for _, arrival := range [2]bool{false, true} {
		e := r.entries[entryKey{v.Subject, v.Queue, arrival}]
		if e == nil || b.legs[e] == nil {
			continue
		}
		ended = false
		b.legs[e].denied = v
		b.denied++
		e.deaf.Store(true)
		told = told || e.awaited > 0
		for _, s := range *e.handles.Load() {
			if s.denied != nil {
				tell = append(tell, s.denied)
			}
		}
	}
	return ended || told || len(tell) > 0
}

// deniedAlone is a subscription that next's server does not permit and old's does; nil: there is none.
func (r *registry) deniedAlone(old, next *link) *PermissionError {
	r.mu.Lock()
	defer r.mu.Unlock()
	from, to := r.binding(old), r.binding(next)
	if from == nil || to == nil || to.denied == 0 {
		return nil
	}
	for e, l := range to.legs {
		if before := from.legs[e]; l.denied != nil && before != nil && before.denied == nil {
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
		if l := r.bound[0].legs[s.entry]; l != nil && l.denied != nil {
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
