package election

import "cmp"

// State is where an agent is. The names are those of kinopio-hub 2.x.
type State string

const (
	Discovering   State = "discovering"          // Listening for a leader before a first election.
	Electing      State = "electing"             // There is no leader, and one must be found.
	StartingLeaf  State = "starting-leaf"        // This agent's leaf is being started, to lead.
	Leading       State = "leader"               // This agent leads.
	Following     State = "following-leader"     // Another agent leads.
	MissingLeader State = "leader-missing-grace" // The leader is silent, and may yet come back.
	Stopped       State = "stopped"              // This agent takes no part any more.
)

// Role is what others are told of an agent. The names are those of kinopio-hub 2.x.
type Role string

const (
	RoleLeader    Role = "leader"
	RoleFollower  Role = "follower"
	RoleCandidate Role = "candidate"
	// RoleStopped is the role of an agent that will not lead: it has said goodbye, or
	// its leaf failed and it lets others try first.
	RoleStopped Role = "stopped"
)

// RTT is a round-trip time to the backbone in whole milliseconds, or [Unmeasured].
type RTT int32

// Unmeasured is the RTT of an agent that reaches no backbone, or has none.
const Unmeasured RTT = -1

// Record is what one agent says of itself in one heartbeat, as far as the election
// needs it.
type Record struct {
	NodeID string
	// Leads: this agent's leaf runs and is the one of the namespace.
	Leads bool
	Role  Role
	// State of the agent; "" when it does not tell (kinopio-hub 2.1.0).
	State State
	// Epoch under which it leads, or the highest that it has seen.
	Epoch int64
	RTT   RTT
	// Order of the records of one agent: each is larger than the one before, in a
	// restarted agent too. 0: unknown.
	Order int64
	// Proven: the record carries a valid proof of the namespace's secret, so that Order
	// cannot be a lie.
	Proven bool
	// About is what it says of its leaf, in one word: when that changes, the leaf is looked
	// at again.
	About string
	// Source is what the caller wants to find again in effects: the whole heartbeat.
	Source any
}

// better orders candidates: below 0 when a goes before b. Lower RTT first, a measured
// one before none, then the smaller node id (rules of kinopio-hub 2.x).
func better(aRTT RTT, a string, bRTT RTT, b string) int {
	if aRTT != bRTT {
		switch {
		case aRTT == Unmeasured:
			return 1
		case bRTT == Unmeasured:
			return -1
		}
		return cmp.Compare(aRTT, bRTT)
	}
	return cmp.Compare(a, b)
}

// epochJump is how far apart the epochs of two agents of one LAN may be. An epoch grows
// by one with each leader; agents that were apart for long enough to differ by more
// compare by priority only, which both sides see alike.
const epochJump = 1024

// maxEpoch is the largest epoch that is taken over from anybody.
const maxEpoch = 1 << 40

// wins orders leaders: below 0 when a stays and b yields. One that reaches the backbone before one
// that does not, as its part of the LAN is the larger system (2.1.0 knows no such rule, so it
// does not hold with one of those); then the higher epoch, then as candidates.
func wins(modern bool, aEpoch int64, aRTT RTT, a string, bEpoch int64, bRTT RTT, b string) int {
	if modern && (aRTT == Unmeasured) != (bRTT == Unmeasured) {
		return better(aRTT, a, bRTT, b)
	}
	if apart := aEpoch - bEpoch; apart != 0 && apart <= epochJump && apart >= -epochJump {
		return cmp.Compare(bEpoch, aEpoch)
	}
	return better(aRTT, a, bRTT, b)
}
