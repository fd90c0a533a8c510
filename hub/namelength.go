package hub

import (
	"errors"
	"fmt"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/natswire"
)

// mostNames bounds the bytes of names in one line that a hub sends: of a subject with its queue group, or
// with the subject for answers. A server closes a connection that sends a longer line than its
// max_control_line, 4096 bytes by default; the rest of the line are two numbers, and what hubs
// put before a subject to ask for what got lost.
const mostNames = 4000

// inboxNames is what a request's subject for answers takes of that.
const inboxNames = 64

// checkLength refuses names that no server takes, or that one has closed a connection over.
func (h *Hub) checkLength(subject string, other int) error {
	n := len(subject) + other
	most := int(h.longestNames.Load())
	switch {
	case n <= most:
		return nil
	case most < mostNames:
		return fmt.Errorf("%w: %.40q… has %d bytes of names with its queue group or reply: want at most %d, as the server has closed a connection over more (max_control_line)", ErrInvalidName, subject, n, most)
	}
	return fmt.Errorf("%w: %.40q… has %d bytes of names with its queue group or reply: want at most %d, so that servers take it", ErrInvalidName, subject, n, most)
}

// learnLength finds out whether a connection was closed over a name, and sees to it that this is not
// repeated: subscriptions with names as long as that one end, and there will be no more of them.
func (h *Hub) learnLength(cause error) {
	e, ok := errors.AsType[*natswire.LineError](cause)
	if !ok || e.Names == 0 || int64(e.Names) > h.longestNames.Load() {
		return
	}
	h.longestNames.Store(int64(e.Names) - 1)
	for _, s := range h.registry.longer(e.Names - 1) {
		if s.finish() {
			h.registry.remove(s)
		}
		if !s.control {
			h.report(fmt.Errorf("subscription ended: %w", h.checkLength(s.key.subject, len(s.key.queue))))
		}
	}
}

// longer are the handles of names with more bytes than most.
func (r *registry) longer(most int) (all []*Subscription) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, e := range r.entries {
		if len(key.subject)+len(key.queue) > most {
			all = append(all, e.list()...)
		}
	}
	return all
}
