// Package mdns makes leaves known on the LAN by multicast DNS, and hears of others: the
// service _kinopio-leaf._tcp.local. as kinopio-hub 2.1.0 announces it (RFC 6762, RFC 6763).
//
// A [Responder] announces what [Responder.Announce] is given, answers the questions of others
// about it, says goodbye, asks for the service every few seconds, and yields what it hears on
// [Responder.Announcements], its own announcements too.
//
// It has a socket of its own, on which github.com/miekg/dns reads and writes the packets.
// github.com/hashicorp/mdns is not used: it sends no announcement and no goodbye, it cannot
// tell a goodbye from a live entry, and it asks and answers by unicast, which another
// program on port 5353 of the host may swallow. Nothing that is needed here remains.
//
// The owner's part: announce at least as often as [TTL] runs out, judge what it hears (anyone
// on the LAN may announce anything, and one announcement may arrive several times), and go on
// without multicast DNS when Open fails.
//
// What is left out of RFC 6762: probing, as the names contain the node's identity; the random
// delay before an answer, as a namespace has one leader; IPv6; and on Linux questions that are
// sent to the host's own address instead of the group, since its socket leaves unicast to the
// other programs on port 5353.
package mdns
