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
	// Local: its leaf is, or would be, reachable on its own machine only.
	Local bool
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

// A Place is from where an agent's leaf can be reached.
type Place uint8

const (
	PlaceUnknown Place = iota
	OnLAN
	OnMachine // On its own machine only.
)

// epochJump is how far apart the epochs of two agents of one LAN may be. An epoch grows
// by one with each leader; agents that were apart for long enough to differ by more
// compare by priority only, which both sides see alike.
const epochJump = 1024

// maxEpoch is the largest epoch that is taken over from anybody.
const maxEpoch = 1 << 40

// A standing is by what leaders of one LAN are ordered.
type standing struct {
	node  string
	epoch int64
	rtt   RTT
	local bool
}

// wins orders leaders: below 0 when a stays and b yields. One that serves the LAN before one that serves its own machine only:
// nobody else could use that. Then one that reaches the backbone before one that does not, as its part of the LAN is the
// larger system (2.1.0 knows no such rule, so it does not hold with one of those); then the higher epoch, then as candidates.
func wins(modern, anywhere bool, a, b standing) int {
	if a.local != b.local && !anywhere {
		return before(b.local)
	}
	if modern && (a.rtt == Unmeasured) != (b.rtt == Unmeasured) {
		return better(a.rtt, a.node, b.rtt, b.node)
	}
	if apart := a.epoch - b.epoch; apart != 0 && apart <= epochJump && apart >= -epochJump {
		return cmp.Compare(b.epoch, a.epoch)
	}
	return better(a.rtt, a.node, b.rtt, b.node)
}

// before is below 0 for true.
func before(first bool) int {
	if first {
		return -1
	}
	return 1
}
