package hub

import "github.com/kinopio-hub/kinopio-hub/v3/internal/bridge"

// bridgeFunctions are what the browser bridge has beyond what programs see: see package bridge.
type bridgeFunctions struct{}

var _ = func() bool {
	bridge.Register(bridgeFunctions{})
	return true
}()

// OnDenied lets fn be called on a link's goroutine for each message that the server did not permit to publish on
// subject, of which OnError tells once. It is to be called before Open.
func (bridgeFunctions) OnDenied(cfg *Config, fn func(subject string)) { cfg.onDenied = fn }

// Burst is [Hub.burst].
func (bridgeFunctions) Burst(h *Hub, more bool, do func()) (done, quiet bool) {
	return h.burst(more, do)
}

// Publish is [Hub.Publish]; the receipt says what becomes of the messages.
func (bridgeFunctions) Publish(h *Hub, msgs []OutMsg) bridge.Receipt { return h.send(msgs...) }

// Respond is [Responder.Respond]; the receipt says what becomes of the answer.
func (bridgeFunctions) Respond(r Responder, out OutMsg) bridge.Receipt { return r.send(out) }

// Subscribe is [Hub.Subscribe], with callbacks as bridge.SubOptions says.
func (bridgeFunctions) Subscribe(h *Hub, subject string, opts SubOptions, how bridge.SubOptions, fn func(*Message)) (*Subscription, error) {
	opts.inline, opts.awaited, opts.onRun = true, how.Awaited, how.OnRun
	return h.Subscribe(subject, opts, fn)
}
