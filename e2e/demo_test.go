package e2e

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"
)

// demoEvent is one line of kinopio-hub demo --json.
type demoEvent struct {
	Time  time.Time `json:"time"`
	Event string    `json:"event"`
	Ready struct {
		Page     string `json:"page"`
		CAFile   string `json:"caFile"`
		Backbone struct {
			Client    string `json:"client"`
			WebSocket string `json:"websocket"`
		} `json:"backbone"`
		Leaf struct {
			Client    string `json:"client"`
			WebSocket string `json:"websocket"`
			Manifest  string `json:"manifest"`
		} `json:"leaf"`
	} `json:"ready"`
	Leaf struct {
		State  string `json:"state"`
		How    string `json:"how"`
		Detail string `json:"detail"`
		PID    int    `json:"pid"`
		Bridge string `json:"bridge"`
	} `json:"leaf"`
	Move struct {
		Who     string  `json:"who"`
		From    string  `json:"from"`
		To      string  `json:"to"`
		Via     string  `json:"via"`
		Reason  string  `json:"reason"`
		Planned bool    `json:"planned"`
		TookMs  float64 `json:"tookMs"`
		HeldMs  float64 `json:"heldMs"`
		Error   string  `json:"error"`
	} `json:"move"`
}

// demoRun is a running kinopio-hub demo.
type demoRun struct {
	*process
	ready demoEvent
	pids  []int // of every leaf it has started
}

// startDemo starts kinopio-hub demo --json with a cache of its own and a leaf that waits for
// its button. When the test ends, the demo must end and leave no process behind.
func startDemo(t *testing.T, args ...string) *demoRun {
	t.Helper()
	program := artefacts(t).program
	args = append([]string{"demo", "--json", "--leaf-after", "-1s", "--cache-dir", t.TempDir()}, args...)
	d := &demoRun{}
	t.Cleanup(func() { // runs after the demo was ended
		if code := d.cmd.ProcessState.ExitCode(); code > 0 {
			t.Errorf("the demo ended with exit code %d: %s", code, d.complaints())
		}
		for _, pid := range d.pids {
			if alive(pid) {
				t.Errorf("the leaf's process %d outlived the demo", pid)
			}
		}
	})
	d.process = run(t, nil, program, args...)
	d.ready = d.until("the addresses", func(e demoEvent) bool { return e.Event == "ready" })
	return d
}

// until returns the first event from now on for which found is true.
func (d *demoRun) until(what string, found func(demoEvent) bool) demoEvent {
	d.t.Helper()
	ctx, cancel := context.WithTimeout(d.t.Context(), patience)
	defer cancel()
	var seen []string
	for {
		select {
		case line, ok := <-d.lines:
			if !ok {
				d.t.Fatalf("waiting for %s: the demo has ended: %s", what, d.complaints())
			}
			seen = append(seen, line)
			var e demoEvent
			if err := json.Unmarshal([]byte(line), &e); err != nil {
				d.t.Fatalf("not a JSON line of the demo: %s", line)
			}
			if e.Event == "leaf" && e.Leaf.State == "starting" {
				d.pids = append(d.pids, e.Leaf.PID)
			}
			if found(e) {
				return e
			}
		case <-ctx.Done():
			d.t.Fatalf("waiting for %s: not within %v; seen:\n%s\n%s", what, patience, strings.Join(seen, "\n"), d.complaints())
		}
	}
}

// untilAll waits until each of the conditions was true of some event, in any order.
func (d *demoRun) untilAll(conditions map[string]func(demoEvent) bool) {
	d.t.Helper()
	var left []string
	for what := range conditions {
		left = append(left, what)
	}
	d.until(strings.Join(left, ", "), func(e demoEvent) bool {
		for what, found := range conditions {
			if found(e) {
				delete(conditions, what)
			}
		}
		return len(conditions) == 0
	})
}

// moved is true of the event that who, connected before, has moved by via: "leaf" or "configured".
func moved(who, via string) func(demoEvent) bool {
	return func(e demoEvent) bool {
		return e.Move.Who == who && e.Move.Via == via && e.Move.From != "" && e.Move.Error == ""
	}
}

// leafIs is true of the event that the leaf is in a state.
func leafIs(state string) func(demoEvent) bool {
	return func(e demoEvent) bool { return e.Event == "leaf" && e.Leaf.State == state }
}
