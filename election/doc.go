// Package election keeps exactly one leaf alive in each namespace of a LAN.
//
// Every device that can run a leaf runs an agent. Agents tell each other once a second
// how they are; one of them leads, which means that its leaf is the one that others use,
// and the others follow. The formats and times are those of kinopio-hub 2.1.0, whose
// agents take part.
//
// # The machine
//
// [Machine] decides, and does nothing else: it is told what happens ([Event]) and
// answers what is to be done ([Effect]). Its caller must
//
//   - call Step with each event, and with Tick when Wake is due, one call at a time;
//   - give times of a clock that runs evenly; what wall clocks show plays no part, in
//     records neither: an agent is as fresh as its last record is on the receiver's clock;
//   - carry the effects out in their order, those that take time in the background;
//   - answer each StartLeaf with LeafStarted or LeafFailed, each StopLeaf with LeafStopped
//     and each Verify with Verified, however long it took.
//
// # Rules
//
// Candidates: one whose leaf would serve the LAN goes before one whose leaf would be reachable on its own
// machine only; then the lower RTT to the backbone goes first, a measured one before none, then
// the smaller node id. Leaders: one that serves the LAN stays before one that serves its own machine, whatever
// their epochs; then one that reaches the backbone before one that does not
// (among agents that tell their state), then the higher epoch, then the same order; the other
// stops its leaf. (2.1.0 knows no such rule about the LAN: its leader of one machine stays, beside that of the LAN.) A new leader's epoch is one more than any seen before; epochs more than
// 1024 apart are not compared and not taken over, because the protocol cannot explain them.
//
// A leader whose heartbeats stop is missed after 4 s (the lease) and waited for 10 s (the
// grace) before another is elected. None of that is waited for when it says goodbye, says
// that its leaf has died, comes back without leading, or is proven dead.
//
// A healthy leader is pre-empted only by the best candidate, 50 ms or more ahead of it in
// three evaluations running, 4 s after that candidate began to follow it, and never within
// a minute after the candidate's leaf has failed. Who follows the leader of its own machine, and could serve the LAN,
// is ahead of it in any case; who could not is ahead of no leader that does. The new leaf leads before the old one
// stops: a leader yields to an agent that leads, and not to one that might.
//
// An agent whose leaf does not start stands back for 2 s, doubled up to 32 s, and says so;
// the next one goes on. A leaf that has not started after 20 s counts as one that cannot.
//
// What a record says is a claim. A leader is followed for good, or yielded to, when its
// manifest was read at its address (Verify); until then a claim delays an election by at
// most one lease in all. Others are waited for during 28 s at most in one election, whoever they
// are and whatever they say; of each it is believed once that it starts a leaf, for 20 s.
//
// Records of a leader that is followed can be forged, too. Its epoch and its place are those that were read at its leaf; an advantage
// over it counts if what was read there does not speak against it.
//
// An agent that did not run for a while (its process was stopped, its machine slept) and has no leader listens again before
// it elects; one that leads says so at once, and yields as to any other leader.
//
// What is shown of a leader ([AgentStatus].Leader) is what was read there, never what a record
// says.
//
// # Promises
//
// Simulated LANs check these in sim_test.go, with loss, copies, delays, partitions,
// crashes, restarts, processes that stand still and go on, machines that sleep, leaves that only their own machine reaches,
// slow and failing ones, clocks that are wrong and run unevenly, and
// forged records. They hold among agents that reach each other, as long as of the
// datagrams from one to another no three running are lost, counted from the last thing
// that happened to them:
//
//   - two leaders at once for at most 3 heartbeats + 4 s (2 s of them only if one was
//     restarted and has lost its count; 8 s more if one's leaf has just become reachable on the LAN, where it was looked for
//     in vain before);
//   - no leader for at most lease + grace + settling (1.25 s) + patience for better
//     candidates that do not begin (8 s) + the start of a leaf + 2 s; forged records that go
//     on for as long as they like add at most a lease and 28 s, one adds a lease, an agent that stands back at most 52 s, a leaf that is still
//     stopping what that takes;
//   - at most one change of leader for one cause in each part of the LAN; a second one if
//     the best candidate by far arrives, or its leaf recovers, while another begins to lead
//     (a third if loss kept two that arrived from hearing each other begin), or if the cause ended a time of heavier loss (two more). A forged goodbye can cause one. In the
//     presence of agents that do not tell their state (2.1.0) there may be more;
//   - in the end one leads and everybody else follows it.
package election
