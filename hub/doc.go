// Package hub lets programs use remote variables and functions as if they were local.
//
// A [Hub] is a set of names that outlives every connection; a connection is disposable.
// Reconnecting, moving to a faster server, moving to the leaf on the LAN and falling back
// again are one mechanism: open another link, bind the same names to it, promote it, drain
// the old one. The same code runs natively and, compiled for js/wasm, in a browser.
//
//	h, err := hub.Open(ctx, hub.Config{Servers: []string{"nats://localhost:4222"}})
//	battery := h.Scope("robot").Variable("battery")
//	err = battery.Pub(ctx, 87)
//	sub, err := battery.Sub(ctx, func(m *hub.Message) { fmt.Println(m.Value()) })
//	answer, err := h.Scope("robot").Variable("status").Req(ctx, nil)
//
// Values travel as bytes: nil is the empty payload, []byte and string are themselves, all
// else is JSON (or what [Config.Codec] makes of it).
//
// # What runs where
//
// One goroutine a hub decides which server it is on. One goroutine a link takes messages off the socket and hands them, in their order, to the
// subscriptions; every subscription with an ordinary callback has one goroutine of its own,
// so that a slow callback holds up nobody else. Close waits for all of them.
package hub
