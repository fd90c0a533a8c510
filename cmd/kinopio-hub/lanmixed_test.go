package main

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/election/lab"
)

// olderLeaf is what an agent of 2.1.0 that leads has at its address, where its manifest is read.
func olderLeaf(t *testing.T, h *lab.Host) *lab.Process {
	t.Helper()
	leaf := h.Start("leaf", h.Command(context.Background(), "kinopio-hub", "leaf", "start", "--discovery-namespace", "test", "--node-id", "older",
		"--discovery-port", "8443", "--json-lines", "--parent-pipe", "--cache-dir", t.TempDir(), "--runtime-dir", t.TempDir()))
	leaf.Await(`"phase":"running"`)
	return leaf
}

// In a fleet of both versions the lead goes from ours to theirs and back: to a leader of theirs with a
// higher epoch, from one that is gone, to one that comes when ours stops, and from one that resigns.
func TestLeadGoesToAgentsOf210AndBack(t *testing.T) {
	l := newLAN(t, 2, "--leader-missing-grace-ms", "1000")
	host := l.network.Host("older")
	older := host.Play("peer", "-namespace", "test", "-node", "older")
	older.Await("ready")
	older.Say("candidate 0")
	l.start(0)
	l.agents[0].Await(leading)
	older.Await("heard node=node-a role=leader leader=true")

	// Two leaders, as after a partition: the one with the higher epoch stays, whoever that is.
	leaf := olderLeaf(t, host)
	older.Say(fmt.Sprintf("lead 7 wss://%s:8443 7", host.Address))
	l.agents[0].Await(following, `"nodeId":"older"`, `"leaderEpoch":7`)
	older.Await("heard node=node-a role=follower leader=false")
	if own := strings.TrimSpace(l.agents[0].Said()); strings.Contains(own[strings.LastIndexByte(own, '\n')+1:], `"localLeaf":{`) {
		t.Error("the leaf of the one that has yielded is still there")
	}

	// It is gone without a word.
	older.Say("silence")
	leaf.Kill()
	l.agents[0].Await(leading, `"leaderEpoch":8`)
	older.Forget()
	older.Say("follow 8")
	older.Await("heard node=node-a role=leader leader=true epoch=8")

	// Theirs takes over while ours leads and another follows; ours that led stops.
	l.start(1)
	l.agents[1].Await(following, `"nodeId":"node-a"`)
	leaf = olderLeaf(t, host)
	older.Say(fmt.Sprintf("lead 9 wss://%s:8443 7", host.Address))
	l.agents[0].Await(following, `"nodeId":"older"`, `"leaderEpoch":9`)
	l.agents[1].Await(following, `"nodeId":"older"`, `"leaderEpoch":9`)
	l.agents[0].Stop()
	l.agents[0] = nil
	l.agents[1].Forget()
	l.agents[1].Silent(2*time.Second, leading)

	// It resigns: what 2.1.0 sends then is that of a follower.
	older.Say("follow 9")
	leaf.Stop()
	l.agents[1].Await(leading, `"leaderEpoch":10`)
	older.Await("heard node=node-b role=leader leader=true epoch=10")
}
