// Package multicast is a bus over UDP multicast on the LAN: what one host sends, every host
// of the group hears, the sending host too.
//
// A Bus joins the group on every interface that has an address and sends on each of them, so
// it needs no default route: one group of IPv4, and one of IPv6 if that is wanted, which carry the
// same. Where a socket has no room for another interface, the Bus takes a further one. It looks at the interfaces again every few seconds: one that
// appears is joined, one that vanishes is left, one that has another address is joined anew.
// The loopback interface is among them, although it lacks the multicast flag, so that the
// programs of a host without any network hear each other.
//
// A Bus is bounded: what is too large, too frequent, a repetition or more than its owner takes
// is dropped and counted in [Stats].
//
// The owner's part: read [Bus.Packets] until it is closed, judge what arrives (anyone on the
// LAN may send, the own packets are among what is heard), and call [Bus.Close].
package multicast
