package e2e

import (
	"fmt"
	"testing"
)

// The figures of the other tests are worth what the page's counter is worth.
func TestCounterSeesEveryLossRepetitionAndInversion(t *testing.T) {
	d := startDemo(t)
	b := openBrowser(t, "")
	b.goTo(d.ready.Ready.Page)
	for i, c := range []struct {
		name, stream              string
		lost, repeated, disorders int
	}{
		{"all there", `1, "=", 2, "=", 3, "=", 4`, 0, 0, 0},
		{"joined in the middle", `"=", 7, "=", 8`, 0, 0, 0},
		{"a number lost", `1, "=", "=", 3`, 1, 0, 0},
		{"one of the alike lost", `1, "=", 2, 3`, 1, 0, 0},
		{"both lost", `1, "=", 3, "=", 4`, 2, 0, 0},
		{"a hundred lost", `1, "=", 52, "=", 53`, 100, 0, 0},
		{"a number repeated", `1, "=", 2, 2, "=", 3`, 0, 1, 0},
		{"an old number repeated", `1, "=", 2, "=", 3, 1, "=", 4`, 0, 1, 0},
		{"one of the alike repeated", `1, "=", "=", 2, "=", 3`, 0, 1, 0},
		{"two numbers changed places", `1, "=", 3, 2, "=", "=", 4`, 1, 1, 1},
		{"an alike one slipped past a number", `1, 2, "=", "=", 3`, 1, 1, 0},
	} {
		// A module of its own each time, as the totals are shared by the streams of one page.
		got := eval[counters](b, fmt.Sprintf(`import("/page/counter.js?%d").then(({ StreamCounter, totals }) => {
			const counter = new StreamCounter();
			[%s].forEach((value) => counter.take(value));
			return totals;
		})`, i, c.stream))
		if got.Lost != c.lost || got.Repeated != c.repeated || got.Disordered != c.disorders {
			t.Errorf("%s (%s): %v; want %d, %d, %d", c.name, c.stream, got, c.lost, c.repeated, c.disorders)
		}
	}
}
