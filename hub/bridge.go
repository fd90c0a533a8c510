package hub

import "github.com/kinopio-hub/kinopio-hub/v3/internal/bridge"

// bridgeFunctions are what the browser bridge has beyond what programs see: see package bridge.
type bridgeFunctions struct{}

var _ = func() bool {
	bridge.Register(bridgeFunctions{})
	return true
}()

// KeepValues leaves values and presence to the bridge: the version of a set value is an ordinary header, in both
// directions. denied is called on a link's goroutine for each message that the server did not permit to publish on
// subject, of which OnError tells once, and with subjects of the hub's own that are about these; link when the hub has a
// connection after it had none, or is in another system, and with false when it has none. It is to be called before Open.
func (bridgeFunctions) KeepValues(cfg *Config, denied func(subject string), link func(online bool)) {
	cfg.onDenied, cfg.onLink = denied, link
}

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
	opts.inline, opts.awaited, opts.onRun, opts.control = true, how.Awaited, how.OnRun, how.Control
	return h.Subscribe(subject, opts, fn)
}
