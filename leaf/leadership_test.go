package leaf

import (
	"testing"
	"time"
)

func TestManifestTellsWhatAnElectionDecides(t *testing.T) {
	now := Leadership{Epoch: 3, Role: "candidate"}
	c := config(t)
	c.NoWebSocketTLS = true
	c.Leadership = func() Leadership { return now }
	l, _ := startLeaf(t, c)
	if m := l.Manifest(); m.IsLeader || m.CandidateRole != "candidate" || m.LeaseExpiresAt != "" || m.LeaderEpoch != 3 {
		t.Errorf("as a candidate: %+v", m)
	}
}

func TestManifestOfALeaderLivesAsLongAsItsLease(t *testing.T) {
	until := time.Now().Add(4 * time.Second)
	c := config(t)
	c.NoWebSocketTLS = true
	c.Leadership = func() Leadership {
		return Leadership{Epoch: 4, Role: "leader", IsLeader: true, LeaseExpiresAt: until}
	}
	l, _ := startLeaf(t, c)
	want := until.UTC().Format(timeFormat)
	if m := l.Manifest(); !m.IsLeader || m.LeaseExpiresAt != want || m.ExpiresAt != want || m.LeaderEpoch != 4 {
		t.Errorf("%+v, want a lease until %s", m, want)
	}
}
