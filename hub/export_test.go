package hub

import "github.com/kinopio-hub/kinopio-hub/v3/internal/bridge"

// MoveTo makes a planned move, as discovery does.
func (h *Hub) MoveTo(url string) error { return h.propose(target{url: url, via: viaLeaf}, "test") }

// HasPlain says whether messages without numbers have come, for which a move takes longer.
func (h *Hub) HasPlain() bool { return h.intake.hasPlain() }

// Send is Publish that says what becomes of the messages.
func (h *Hub) Send(msgs ...OutMsg) *receipt { return h.send(msgs...) }

// Burst is burst.
func (h *Hub) Burst(more bool, do func()) (done, quiet bool) { return h.burst(more, do) }

// Inline are options with which the goroutine that reads calls back, with onRun for runs, if it is not nil.
func Inline(opts SubOptions, onRun func(*bridge.Run)) SubOptions {
	opts.inline, opts.onRun = true, onRun
	return opts
}
