package demo

import (
	"slices"
	"testing"
)

// The demo's leaf serves the demo's page and no other site that its browser visits.
func TestLeafServesTheDemoPageOnly(t *testing.T) {
	l, err := newLeafProcess(leafConfig{origins: pageOrigins(8088)})
	if err != nil {
		t.Fatal(err)
	}
	args := l.arguments()
	for _, origin := range []string{"http://localhost:8088", "http://127.0.0.1:8088"} {
		if i := slices.Index(args, origin); i < 1 || args[i-1] != "--allowed-origin" {
			t.Errorf("%s is not among %v", origin, args)
		}
	}
}
