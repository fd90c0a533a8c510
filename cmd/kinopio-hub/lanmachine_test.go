package main

import (
	"testing"

	"github.com/kinopio-hub/kinopio-hub/v3/election/lab"
)

// On one machine run agents whose leaves are reachable there only, and one that serves the LAN. Whatever the epochs have come to,
// the LAN is led by the latter, and all follow it.
func TestLeaderOfTheLANBeatsThatOfOneMachine(t *testing.T) {
	network := lab.New(t)
	a, b := network.Host("a"), network.Host("b")
	here := []string{"--lan-bind-address", "127.0.0.1"}
	first := auto(t, a, "node-y", here...)
	first.Await(leading)
	second := auto(t, a, "node-x", here...)
	second.Await(following, `"nodeId":"node-y"`)
	first.Stop()
	second.Await(leading, `"leaderEpoch":2`)

	far := auto(t, b, "node-b") // It cannot use the leader of another machine.
	far.Await(leading)
	second.Await(following, `"nodeId":"node-b"`, b.Address.String())

	// The same beside each other: the leader of the machine is there first.
	far.Stop()
	second.Await(leading)
	beside := auto(t, a, "node-z")
	beside.Await(leading, a.Address.String())
	second.Forget()
	second.Await(following, `"nodeId":"node-z"`, a.Address.String())
	far = auto(t, b, "node-b")
	far.Await(following, `"nodeId":"node-z"`, a.Address.String())
}
