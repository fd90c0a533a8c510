package election

import "time"

// EventKind says what has happened.
type EventKind uint8

const (
	// Tick: nothing but time has passed.
	Tick EventKind = iota
	// Heard: Record came from another agent, on whatever way.
	Heard
	// Measured: RTT is this agent's round-trip time to the backbone from now on.
	Measured
	// Woke: this machine has slept, which a clock that stood still does not tell. (One that went on does: see Step.)
	Woke
	// LeafStarted: the leaf that StartLeaf asked for runs.
	LeafStarted
	// LeafFailed: that leaf could not start, for the reason Err; nothing of it is left.
	LeafFailed
	// LeafDied: the running leaf has ended by itself, for the reason Err; nothing is left.
	LeafDied
	// LeafStopped: what StopLeaf asked for is done. It comes once for each StopLeaf, and
	// also when the leaf failed or died while it was being stopped.
	LeafStopped
	// Verified: the answer to Verify for Node. OK: the leaf that it speaks of is there and
	// leads; Epoch, RTT and Local are what was read there. It comes once for each Verify.
	Verified
	// Placed: this agent's leaf is, or would be, reachable at Place from now on.
	Placed
	// Dead: it is proven that the leader Node has ended (and not merely silent).
	Dead
	// Stop: this agent shall leave.
	Stop
)

// Event is something that happened to an agent. Kind says which fields count.
type Event struct {
	Kind   EventKind
	Record *Record // Heard. It is copied.
	RTT    RTT     // Measured, Verified.
	Node   string  // Verified, Dead.
	OK     bool    // Verified.
	Epoch  int64   // Verified.
	Local  bool    // Verified.
	Place  Place   // Placed.
	Err    string  // LeafFailed, LeafDied.
}

// EffectKind says what is to be done.
type EffectKind uint8

const (
	// Send a heartbeat that says Record, to everybody on every way.
	Send EffectKind = iota
	// StartLeaf with Epoch, in the background. Answer with LeafStarted or LeafFailed.
	StartLeaf
	// StopLeaf that runs or is being started. Answer with LeafStopped.
	StopLeaf
	// Verify that the leaf of which Record speaks is there and leads: read the manifest
	// at its address, in the background, within two seconds. Answer with Verified.
	Verify
	// Hold a connection to the leader that Record speaks of, instead of any before, and
	// report its proven death. A nil Record: to nobody.
	Hold
	// Changed: the status is another one.
	Changed
	// Ended: the agent has left, and its leaf is stopped. The last effect of all.
	Ended
)

// Effect is something that the machine wants done. Kind says which fields count.
type Effect struct {
	Kind   EffectKind
	Record Record // Send (of this agent); Verify and Hold (of the other; NodeID "" is nobody).
	Epoch  int64  // StartLeaf.
}

// The protocol's times, shared with kinopio-hub 2.x where it has them.
const (
	Heartbeat = time.Second     // Between two heartbeats of an agent.
	Lease     = 4 * time.Second // A leader that is silent for so long is missed.
	Stale     = 8 * time.Second // An agent that is silent for so long is forgotten.
	// Settle is for how long a new agent listens before its first election.
	Settle = 1250 * time.Millisecond
	// DefaultGrace is for how long a missed leader is waited for.
	DefaultGrace = 10 * time.Second

	evaluateEvery    = 250 * time.Millisecond // Of an advantage, and of an election.
	evaluations      = 3                      // Of an advantage that it takes to pre-empt.
	advantage        = RTT(50)                // Milliseconds that it takes to pre-empt.
	unmeasuredFor    = 12 * time.Second       // A leader that measures nothing for so long has no backbone.
	helloEvery       = 300 * time.Millisecond // Between the first heartbeats of an agent.
	answerAfter      = 250 * time.Millisecond // Between answers to agents that look for a leader.
	electionPatience = 2 * Lease              // For a better candidate that does not begin.
	startPatience    = 20 * time.Second       // For a leaf that is being started.
	// electionMost is for how long others are waited for in one election, whoever they are and
	// whatever they say: a slow start of the first and the patience for the next.
	electionMost    = startPatience + electionPatience
	retryStart      = 2 * time.Second // After a failed start; doubled up to retryStartMost.
	retryStartMost  = 32 * time.Second
	challengeAfter  = time.Minute     // From a failed start to a pre-emption.
	orderTrust      = 2 * time.Second // For so long an older record of a heard agent is a copy.
	verifyAgain     = time.Second     // After a failed verification; doubled up to verifyAgainMost.
	verifyAgainMost = 8 * time.Second
	verifyLeader    = 10 * time.Second        // Between verifications of the leader that is followed.
	verifyFailures  = 3                       // Running, after which that leader counts as silent.
	verifyMost      = 4                       // At a time.
	lingerFor       = 1500 * time.Millisecond // For a successor, before the leaf of an agent that leaves is stopped.
	goodbyeEvery    = 300 * time.Millisecond
	wokenAfter      = 2 * time.Second // Who is called so much later than it wanted did not run for a while.
	maxPeers        = 256
)
