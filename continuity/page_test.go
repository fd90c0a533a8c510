//go:build chromium

package main

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// dist is what make build made.
func dist(t *testing.T) string {
	t.Helper()
	dir := filepath.Join("..", "npm", "dist")
	for _, file := range []string{"kinopio-hub.global.js", "kinopio-hub.wasm"} {
		if _, err := os.Stat(filepath.Join(dir, file)); err != nil {
			t.Fatalf("%v: run make build first", err)
		}
	}
	return dir
}

func TestMovesOfAPageGoUnnoticed(t *testing.T) {
	c := short
	c.platforms, c.delays = []string{chromium}, []time.Duration{10 * time.Millisecond}
	c.rows = regexp.MustCompile(`/8(/standby)?$`)
	carryOut(t, c.plans(), 2, dist(t))
}

func TestPageSeesEveryLossRepetitionAndInversion(t *testing.T) {
	data, err := os.ReadFile("ledger/testdata/streams.json")
	if err != nil {
		t.Fatal(err)
	}
	type counts struct{ Lost, Repeated, Reordered int }
	var cases []struct {
		Name, Stream string
		Pairs        int
		counts
	}
	if err := json.Unmarshal(data, &cases); err != nil || len(cases) == 0 {
		t.Fatalf("%d cases: %v", len(cases), err)
	}
	site := newSite(dist(t))
	defer site.Close()
	s, err := openPage(site.URL, setup{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	for _, c := range cases {
		got, err := call[counts](context.Background(), s.(*page), "tried", strings.Fields(c.Stream), c.Pairs)
		if err != nil || got != c.counts {
			t.Errorf("%s (%s): %+v %v, want %+v", c.Name, c.Stream, got, err, c.counts)
		}
	}
}
