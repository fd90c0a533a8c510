// Package natswire is the client's side of one connection to a NATS server: the protocol
// (https://docs.nats.io/reference/reference-protocols/nats-protocol), and the numbers that hubs write into the headers of
// their messages.
//
//	c, err := natswire.Handshake(ctx, conn, receiver, bursts, options) // INFO, CONNECT, PING, PONG
//	c.Start()                                                          // from now on messages go to receiver
//	c.Subscribe("a.*", "", route)                                      // they come with route
//	c.Publish(natswire.Msg{Subject: "a.b", Data: data})                // does not wait
//
// It knows nothing of hubs: a route is what its user knows a subscription by. A connection never reconnects.
//
// One goroutine reads and hands on what came by one read as a batch, one writes, unless the connection is a
// [transport.Direct], which reads by calling, and may be written to without waiting. Messages in a row on one subject come
// as one [Inbound], a run. Between [Bursts.Begin] and [Bursts.End] what is published stays in memory, and leaves in one
// write.
package natswire
