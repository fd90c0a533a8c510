package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/kinopio-hub/kinopio-hub/continuity/ledger"
)

// A result is one row of the table: one kind of move, and what became of the messages meanwhile.
type result struct {
	Platform string  `json:"platform"`
	Kind     string  `json:"kind"`
	Role     role    `json:"role"`
	DelayMs  float64 `json:"delayMs"`
	Subjects int     `json:"subjects"`
	Standby  bool    `json:"standby"`
	Abrupt   bool    `json:"abrupt"`

	Moves     int `json:"moves"`
	Undone    int `json:"undone"`    // tried, and stayed
	Unplanned int `json:"unplanned"` // by the loss of a link
	Failed    int `json:"failed"`    // requests and publishes
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
		Platform: p.platform, Kind: kind, Role: p.role, DelayMs: ms(p.delay), Subjects: p.subjects, Standby: p.standby,
		Abrupt: kind == plugPulled || kind == leafKilled,
	}
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
	if r.order() == "–" {
		r.Reordered = 0
	}
	r.Failed += after.Failed - before.Failed
}

// wrong says what must not be in this row, or "".
func (r *result) wrong() string {
	var all []string
	zero := func(what string, n int) {
		if n != 0 {
			all = append(all, fmt.Sprintf("%d %s", n, what))
		}
	}
	zero("repeated", r.Repeated)
	zero("out of order", r.Reordered)
	if !r.Abrupt {
		zero("lost", r.Lost)
		zero("failed", r.Failed)
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

// slow says that an abrupt row with a standby takes longer than one and a half round trips,
// or "". That is about time, so it is no part of a test.
func (r *result) slow() string {
	bound := 1.5 * 2 * r.DelayMs
	if r.Kind == leafKilled && r.Role == service {
		// Who asks does so by way of the bridge: with the leaf, answers are lost that had been
		// sent one way earlier, and the first one after takes three ways.
		bound = 2 * 2 * r.DelayMs
	}
	if p50 := quantile(r.Gap, 0.5); r.Abrupt && r.Standby && r.DelayMs > 0 && p50 > bound {
		return fmt.Sprintf("a gap of %.0f ms, want at most %.0f", p50, bound)
	}
	return ""
}

// order is what stands in the table: requests are independent of each other, and have none.
func (r *result) order() string {
	if r.Role == service || r.Role == requester {
		return "–"
	}
	return fmt.Sprint(r.Reordered)
}

// quantile is the value below which a part of values lies, p from 0 to 1.
func quantile(values []float64, p float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(int(p*float64(len(sorted))), len(sorted)-1)]
}

func show(values []float64) string {
	if len(values) == 0 {
		return "–"
	}
	return fmt.Sprintf("%.0f/%.0f", quantile(values, 0.5), quantile(values, 0.95))
}

// table prints the results, one line each.
func table(w io.Writer, results []*result) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "platform\tmove\trole\tdelay\tsubj\tmoves\tundone\tmessages\tlost\trepeated\tout of order\tfailed\ttook\toverlap\thold\tgap\t")
	for _, r := range results {
		kind := r.Kind
		if r.Standby {
			kind += " +standby"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%.0f\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t%d\t%s\t%s\t%s\t%s\t%s\n", r.Platform, kind, r.Role, r.DelayMs, r.Subjects,
			r.Moves, r.Undone, r.Messages, r.Lost, r.Repeated, r.order(), r.Failed, show(r.Took), show(r.Overlap), show(r.Held), show(r.Gap), r.wrong())
	}
	_ = t.Flush() // to standard output or memory
}

// save writes the results as JSON.
func save(file string, results any) error {
	data, err := json.MarshalIndent(results, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(data, '\n'), 0o600)
}
