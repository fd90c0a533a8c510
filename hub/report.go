package hub

import (
	"fmt"
	"runtime"
)

// report tells of an error that is nobody's return value.
func (h *Hub) report(err error) {
	h.cfg.Logger.Warn("trouble", "err", err)
	h.tellError(err)
}

func (h *Hub) tellError(err error) {
	h.events.put(func() { h.onError.notify(err, h.errorObserverFailed) }, eventsKept)
}

func (h *Hub) errorObserverFailed(p any) {
	h.cfg.Logger.Error("an observer of errors panicked", "panic", p, "stack", stack())
}

// panicked, called where a panic was recovered from, reports it, and where it was.
func (h *Hub) panicked(who string, p any) {
	err := fmt.Errorf("%w: %s: panic: %v", ErrCallback, who, p)
	h.cfg.Logger.Error("panic", "err", err, "stack", stack())
	h.tellError(err)
}

// stack is where the caller is, in text.
func stack() string {
	text := make([]byte, 8<<10)
	return string(text[:runtime.Stack(text, false)])
}

// observerFailed tells of an observer that panicked.
func (h *Hub) observerFailed(p any) { h.panicked("an observer", p) }
