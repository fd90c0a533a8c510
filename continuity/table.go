package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// columns of the table, in the order of result.cells.
var columns = []string{
	"platform", "move", "role", "one way", "moves", "undone", "messages", "lost", "repeated", "out of order", "missing", "failed",
	"took", "aim", "round trips", "held", "overlap", "gap",
}

// cells are what the table says of a row; times are p50 / p95 in milliseconds.
func (r *result) cells() []string {
	kind, who, order, aim := r.Kind, string(r.Role), "–", "–"
	if r.Standby {
		kind += ", standby"
	}
	if r.Subjects != fewSubjects {
		who += fmt.Sprintf(", %d subjects", r.Subjects)
	}
	if r.Plain {
		who += ", plain clients"
	}
	if r.ordered() {
		order = fmt.Sprint(r.Reordered)
	}
	took, held, trips := show(r.Took, 1, "%.0f"), show(r.Held, 1, "%.0f"), "–"
	if r.Abrupt {
		took, held = "–", "–"
	} else {
		most, _ := r.aim()
		aim = fmt.Sprintf("%.0f", most)
		if r.TripMs > 0 {
			trips = show(r.Took, r.TripMs, "%.1f")
		}
	}
	cells := []string{r.Platform, kind, who, fmt.Sprintf("%.0f", r.DelayMs)}
	for _, n := range []int{r.Moves, r.Undone, r.Messages, r.Lost, r.Repeated} {
		cells = append(cells, fmt.Sprint(n))
	}
	return append(cells, order, fmt.Sprint(r.Missing), fmt.Sprint(r.Failed), took, aim, trips, held, show(r.Overlap, 1, "%.0f"), show(r.Gap, 1, "%.0f"))
}

// show is p50 / p95 of values in a unit.
func show(values []float64, unit float64, format string) string {
	if len(values) == 0 {
		return "–"
	}
	return fmt.Sprintf(format+" / "+format, quantile(values, 0.5)/unit, quantile(values, 0.95)/unit)
}

// table prints the results, one line each, and what is wrong with them.
func table(w io.Writer, results []*result) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, strings.Join(columns, "\t")+"\t")
	for _, r := range results {
		fmt.Fprintf(t, "%s\t%s %s\n", strings.Join(r.cells(), "\t"), r.wrong(), r.slow())
	}
	_ = t.Flush() // to standard output or memory
}

// markdown prints them as two tables of a document, of planned moves and of losses.
func markdown(w io.Writer, results []*result) {
	for _, losses := range []bool{false, true} {
		var rows [][]string
		for _, r := range results {
			if r.Abrupt == losses {
				rows = append(rows, r.cells())
			}
		}
		if len(rows) == 0 {
			continue
		}
		line := func(cells []string) {
			fmt.Fprint(w, "|")
			for i, c := range cells {
				timed := slices.Contains([]string{"took", "aim", "round trips", "held", "overlap"}, columns[i])
				if columns[i] != "platform" && (losses && !timed || !losses && columns[i] != "gap") {
					fmt.Fprintf(w, " %s |", c)
				}
			}
			fmt.Fprintln(w)
		}
		line(columns)
		line(slices.Repeat([]string{"---"}, len(columns)))
		for _, cells := range rows {
			line(cells)
		}
		fmt.Fprintln(w)
	}
}
