package main

import (
	"github.com/kinopio-hub/kinopio-hub/v3/hub"
	"github.com/kinopio-hub/kinopio-hub/v3/internal/bridge"
)

// functions are what package hub has for bridges beyond what programs see.
var functions = bridge.Functions().(interface {
	// KeepValues leaves values to JavaScript. denied is called for each message that the server did not permit to publish
	// on subject, and with subjects of the hub's own that are about values; link when the hub has a connection after it
	// had none, or is in another system, and with false when it has none. It is to be called before hub.Open.
	KeepValues(cfg *hub.Config, denied func(subject string), link func(online bool))
	// Burst calls do, and sends what comes of it before it returns, unless something would have to wait.
	Burst(h *hub.Hub, more bool, do func()) (done, quiet bool)
	// Publish hands msgs to the hub, all or none.
	Publish(h *hub.Hub, msgs []hub.OutMsg) bridge.Receipt
	// Respond answers a request.
	Respond(r hub.Responder, out hub.OutMsg) bridge.Receipt
	// Subscribe calls fn, or what how says, on the goroutine that reads the socket.
	Subscribe(h *hub.Hub, subject string, opts hub.SubOptions, how bridge.SubOptions, fn func(*hub.Message)) (*hub.Subscription, error)
})
