package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/kinopio-hub/kinopio-hub/v3/continuity/ledger"
)

// A result is one row of the table: one kind of move, and what became of the messages meanwhile.
type result struct {
	Platform string  `json:"platform"`
	Kind     string  `json:"kind"`
	Role     role    `json:"role"`
	DelayMs  float64 `json:"delayMs"` // of each link, one way
	TripMs   float64 `json:"tripMs"`  // the round trip of the subject's slower link
	Subjects int     `json:"subjects"`
	Standby  bool    `json:"standby"`
	Plain    bool    `json:"plain"` // the others are plain NATS clients, and no hubs
	Abrupt   bool    `json:"abrupt"`

	Moves     int `json:"moves"`
	Undone    int `json:"undone"`    // tried, and stayed
	Unplanned int `json:"unplanned"` // by the loss of a link
	Failed    int `json:"failed"`    // requests and publishes
	Missing   int `json:"missing"`   // messages, as the receivers' hubs say
	ledger.Counts

	Overlap []float64 `json:"overlapMs"` // how long both connections were open
	Took    []float64 `json:"tookMs"`
	Held    []float64 `json:"heldMs"`
	Gap     []float64 `json:"gapMs"`   // without any message, around an abrupt move
	Why     []string  `json:"why"`     // what failed or was undone, each text once
	Defects []string  `json:"defects"` // where, of the whole run
}

func newResult(p plan, kind string) *result {
	return &result{
		Platform: p.platform, Kind: kind, Role: p.role, DelayMs: ms(p.delay), TripMs: ms(p.roundTrip()), Subjects: p.subjects,
		Standby: p.standby, Plain: p.plain, Abrupt: abrupt(kind),
	}
}

func (r *result) String() string {
	s := fmt.Sprintf("%s/%s/%s/%vms/%d", r.Platform, r.Kind, r.Role, r.DelayMs, r.Subjects)
	if r.Standby {
		s += "/standby"
	}
	if r.Plain {
		s += "/plain"
	}
	return s
}

func (r *result) undone(e event) {
	r.Undone++
	r.note(e.Error)
}

func (r *result) moved(e event) {
	r.Moves++
	if !e.Planned {
		r.Unplanned++
	}
	r.Took = append(r.Took, e.TookMs)
	r.Held = append(r.Held, e.HeldMs)
}

func (r *result) note(why string) {
	if why != "" && !slices.Contains(r.Why, why) && len(r.Why) < 10 {
		r.Why = append(r.Why, why)
	}
}

func (r *result) count(before, after tally) {
	r.Counts = r.Counts.Plus(after.Counts.Minus(before.Counts))
	if !r.ordered() {
		r.Reordered = 0
	}
	r.Failed += after.Failed - before.Failed
	r.Missing += after.Missing - before.Missing
}

// ordered: requests are independent of each other, and have no order.
func (r *result) ordered() bool { return r.Role == subscriber || r.Role == publisher }

// exact says whether not one message may be lost or late: always between hubs, and with plain clients when
// no connection breaks.
func (r *result) exact() bool { return !r.Plain || !r.Abrupt }

// wrong says what must not be in this row, or "".
func (r *result) wrong() string {
	var all []string
	zero := func(what string, n int) {
		if n != 0 {
			all = append(all, fmt.Sprintf("%d %s", n, what))
		}
	}
	zero("repeated", r.Repeated)
	zero("missing", r.Missing)
	if r.exact() {
		zero("lost", r.Lost)
	}
	if r.exact() || r.Role == subscriber {
		zero("out of order", r.Reordered) // what a hub has published may reach plain clients late
	}
	if !r.Abrupt || r.ordered() {
		zero("failed", r.Failed) // answers are lost with a connection
	}
	if !r.Abrupt {
		zero("without a plan", r.Unplanned)
	}
	if r.Messages == 0 {
		all = append(all, "no message came")
	}
	if r.Moves == 0 {
		all = append(all, "no move was made")
	}
	return strings.Join(all, ", ")
}

// aim is what a planned move should take at most, and hold what the subject publishes, in
// milliseconds: five round trips and 50 ms, and one round trip (and 10 ms, for the machine).
func (r *result) aim() (took, held float64) { return 5*r.TripMs + 50, r.TripMs + 10 }

// slow says which aim a planned row misses by its median, or "". That is about time, so it is no part of a test.
func (r *result) slow() string {
	if r.Abrupt {
		return ""
	}
	var all []string
	took, held := r.aim()
	for _, it := range []struct {
		what   string
		values []float64
		aim    float64
	}{{"took", r.Took, took}, {"held", r.Held, held}} {
		if p50 := quantile(it.values, 0.5); p50 > it.aim {
			all = append(all, fmt.Sprintf("%s %.0f ms, aim %.0f", it.what, p50, it.aim))
		}
	}
	return strings.Join(all, ", ")
}

// quantile is the value below which a part of values lies, p from 0 to 1.
func quantile(values []float64, p float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(int(p*float64(len(sorted))), len(sorted)-1)]
}

// save writes the results as JSON.
func save(file string, results any) error {
	data, err := json.MarshalIndent(results, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(data, '\n'), 0o600)
}
