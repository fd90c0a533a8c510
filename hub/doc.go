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
//
// Observers (OnStateChange and its siblings) are called by one goroutine, and the Logger by another,
// both without any lock: they may ask the hub for anything but Close. Who reads the socket holds the
// intake's lock while it calls inline callbacks and what [Hub.Request] was given: those may neither wait
// nor call the hub.
//
// # Words
//
//	link       one connection to one server; at rest a hub has one, around a move two
//	wire       a link's protocol engine: writes PUB and SUB, reads MSG and HMSG
//	manager    the one goroutine that decides which link is the current one, and moves
//	move       from one link that lives to another; its phases are in [Phase]
//	passage    a move after connecting; overlap: the part of it in which both links are subscribed
//	mark       a message that a hub sends to itself to learn what another server knows already
//	registry   the names that are subscribed to; entry: one subject (and queue group) with all
//	           its handles; binding: the subscriptions of one link, one for each entry
//	outbox     everything that the hub sends goes through it; while it is held, messages wait
//	store      what was published lately, for those who miss something
//	intake     everything that links bring comes in through it
//	stream     what one publisher sends on one subject; its messages have numbers in a row
//	counter    follows one stream for one entry: what is next, a copy, too early, missing
//	gap        what is missing in a stream; repair: asking the publisher for it
//	burst      what one call of a page sends, in one frame; run: messages that came in a row, one after the
//	           other on one subject
//	mailbox    what waits for one callback
//	standby    a second link that waits, with nothing subscribed
//	finder     asks for leaves over the session; candidate: one that has answered; proven: its answer was
//	           signed; place: a public address; news: what leaves tell hubs, so that they ask again
//	ticket     lets the owner of a key into one leaf, once
//
// # Order of locks
//
// Whoever holds one of these takes only what is to the right of it, or below:
//
//	outbox | intake             never one with the other
//	  variable                  its value and who follows it
//	    registry                which names are on which links
//	      wire, then bursts     what is to be written; nobody writes to a socket with a lock
//	  requests, then request
//	  repairs
//	  mailbox, watcher, link, standby
//	    hub                     status, links, goroutines
//	      events and lines      what waits for observers and for the Logger
//
// So whoever holds variable or registry must not take the intake's lock: what ends a
// subscription leaves that to another goroutine.
package hub
