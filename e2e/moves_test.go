package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/e2e/engine"
)

const (
	rate         = 2000 // numbered messages a second, both publishers together
	plannedMoves = 10   // rounds to the leaf and back
	pulledPlugs  = 3
	settle       = rate / 2 // messages that must arrive in one place before the next move
)

// counters is what the page has counted.
type counters struct {
	Received, Lost, Repeated, Disordered int
}

func (c counters) String() string {
	return fmt.Sprintf("%d received, %d lost, %d repeated, %d out of order", c.Received, c.Lost, c.Repeated, c.Disordered)
}

func (c counters) since(before counters) counters {
	return counters{c.Received - before.Received, c.Lost - before.Lost, c.Repeated - before.Repeated, c.Disordered - before.Disordered}
}

// pageMove is a move as the library told the page.
type pageMove struct {
	From, To, Via, Reason string
	Planned               bool
	TookMs, HeldMs        float64
	Error                 string
}

// demoPage is the demo's page in a browser.
type demoPage struct {
	*browser
	demo *demoRun
}

// openDemoPage shows the demo in a browser that trusts its CA, and waits until the page is
// connected to the remote server and both streams arrive.
func openDemoPage(t *testing.T, d *demoRun) demoPage {
	t.Helper()
	p := demoPage{openBrowser(t, d.ready.Ready.CAFile), d}
	p.goTo(d.ready.Ready.Page)
	p.waitFor("the module is there", `window.demo?.hub`, `document.body.innerText`)
	p.waitOn("configured", d.ready.Ready.Backbone.WebSocket)
	p.waitFor("both streams arrive", `Object.values(demo.streams).length === 2 && Object.values(demo.streams).every((s) => s.last > 50)`, `demo.counters`)
	return p
}

// waitOn waits until the page is connected to server by via, and says so to its user.
func (p demoPage) waitOn(via, server string) time.Duration {
	p.t.Helper()
	return p.waitFor("the page is on "+server,
		fmt.Sprintf(`window.demo?.state?.hub === "connected" && demo.state.server.startsWith(%q) && document.body.dataset.via === %q`, server, via),
		`({ state: window.demo?.state, errors: window.demo?.errors, text: document.querySelector(".say")?.innerText })`)
}

func (p demoPage) counters() counters { return eval[counters](p.browser, `demo.counters`) }

// receive waits until n more messages have come, of both streams.
func (p demoPage) receive(n int) {
	p.t.Helper()
	c := p.counters()
	last := eval[map[string]int](p.browser, `Object.fromEntries(Object.entries(demo.streams).map(([k, s]) => [k, s.last]))`)
	p.waitFor(fmt.Sprintf("%d more messages", n),
		fmt.Sprintf(`demo.counters.received >= %d && demo.streams.backbone.last > %d && demo.streams.leaf.last > %d`,
			c.Received+n, last["backbone"]+n/8, last["leaf"]+n/8), `demo.counters`)
}

// moves returns the page's moves from the n-th on.
func (p demoPage) moves(n int) []pageMove {
	return eval[[]pageMove](p.browser, fmt.Sprintf(
		`demo.moves.slice(%d).map((m) => ({ ...m, error: m.error ? String(m.error.message ?? m.error) : "" }))`, n))
}

// toLeaf starts the leaf and waits until the page, the publisher and the service are on it.
func (p demoPage) toLeaf() {
	p.t.Helper()
	p.click("#start")
	p.demo.untilAll(map[string]func(demoEvent) bool{
		"the leaf is running":          leafIs("running"),
		"the page is on the leaf":      moved("page", "leaf"),
		"the publisher is on the leaf": moved("publisher", "leaf"),
		"the service is on the leaf":   moved("service", "leaf"),
	})
	p.waitOn("leaf", p.demo.ready.Ready.Leaf.WebSocket)
}

// fromLeaf presses a button that ends the leaf, and waits until all are on the backbone.
func (p demoPage) fromLeaf(button, how string) {
	p.t.Helper()
	p.click(button)
	p.demo.untilAll(map[string]func(demoEvent) bool{
		"the leaf has ended":               func(e demoEvent) bool { return e.Leaf.State == "stopped" && e.Leaf.How == how },
		"the page is on the backbone":      moved("page", "configured"),
		"the publisher is on the backbone": moved("publisher", "configured"),
		"the service is on the backbone":   moved("service", "configured"),
	})
	p.waitOn("configured", p.demo.ready.Ready.Backbone.WebSocket)
}

func TestDemoMovesToLeafAndBackLosingNothing(t *testing.T) {
	d := startDemo(t, "--tls", "--rate", fmt.Sprint(rate))
	p := openDemoPage(t, d)
	begin, before := time.Now(), p.counters()
	var table strings.Builder
	fmt.Fprintf(&table, "round   to the leaf: took  held    back: took  held    messages  lost  repeated  out of order\n")
	var taken []float64
	for round := 1; round <= plannedMoves; round++ {
		at, known := p.counters(), len(p.moves(0))
		p.toLeaf()
		p.receive(settle)
		p.fromLeaf("#stop", "stopped")
		p.receive(settle)

		moves, c := p.moves(known), p.counters().since(at)
		if len(moves) != 2 || !moves[0].Planned || !moves[1].Planned || moves[0].Error+moves[1].Error != "" {
			t.Errorf("round %d: want two planned moves without an error, got %+v", round, moves)
			continue
		}
		fmt.Fprintf(&table, "%5d %15.0f ms %3.0f ms %11.0f ms %3.0f ms %11d %5d %9d %13d\n", round,
			moves[0].TookMs, moves[0].HeldMs, moves[1].TookMs, moves[1].HeldMs, c.Received, c.Lost, c.Repeated, c.Disordered)
		taken = append(taken, moves[0].TookMs, moves[1].TookMs)
	}
	total := p.counters().since(before)
	seconds := time.Since(begin).Seconds()
	t.Logf("\n%s%d moves in %.0f s: %v; %.0f messages a second", &table, len(taken), seconds, total, float64(total.Received)/seconds)
	if total.Lost != 0 || total.Repeated != 0 || total.Disordered != 0 {
		t.Errorf("planned moves must lose, repeat and reorder nothing: %v", total)
	}
	if got := float64(total.Received) / seconds; got < 0.9*rate {
		t.Errorf("%.0f messages a second arrived, of the %d that were to be sent", got, rate)
	}
	if len(taken) > 0 {
		slices.Sort(taken)
		t.Logf("a move took %.0f ms in the middle, %.0f ms at most", taken[len(taken)/2], taken[len(taken)-1])
	}
	p.toLeaf()
	if engineOf(t) == engine.Chromium { // which can take the other appearances
		p.saveScreenshots()
	}
	if took := d.end(); took > 3*time.Second {
		t.Errorf("the demo took %v to end, want 3 s at most", took)
	}
}

func TestDemoSurvivesAPulledPlug(t *testing.T) {
	d := startDemo(t, "--tls", "--rate", fmt.Sprint(rate))
	p := openDemoPage(t, d)
	var table strings.Builder
	fmt.Fprintf(&table, "plug   noticed and moved in   messages  lost  repeated  out of order\n")
	for round := 1; round <= pulledPlugs; round++ {
		p.toLeaf()
		p.receive(settle)
		at, known := p.counters(), len(p.moves(0))
		p.fromLeaf("#kill", "killed")
		p.receive(settle)

		moves, c := p.moves(known), p.counters().since(at)
		if len(moves) != 1 || moves[0].Planned || moves[0].Error != "" {
			t.Errorf("plug %d: want one unplanned move, got %+v", round, moves)
			continue
		}
		fmt.Fprintf(&table, "%4d %19.0f ms %10d %5d %9d %13d\n", round, moves[0].TookMs, c.Received, c.Lost, c.Repeated, c.Disordered)
	}
	total := p.counters()
	t.Logf("\n%s%d pulled plugs: %v", &table, pulledPlugs, total)
	if total.Repeated != 0 || total.Disordered != 0 {
		t.Errorf("a lost server must repeat and reorder nothing: %v", total)
	}
}

// saveScreenshots keeps pictures of the page as it is, in both colour schemes and two sizes.
func (p demoPage) saveScreenshots() {
	p.t.Helper()
	p.receive(5 * rate) // as it looks after a while, not at the moment of a move
	for range 3 {
		eval[bool](p.browser, `(document.getElementById("answer").textContent = "", true)`)
		p.click("#call")
		p.waitFor("the function has answered", `document.getElementById("answer").textContent.includes("Hello")`, `document.getElementById("answer-from").textContent`)
	}
	eval[bool](p.browser, `(document.activeElement.blur(), true)`)
	for _, shot := range []struct {
		name          string
		width, height int64
		scheme        string
	}{
		{"demo-light.png", 1280, 800, "light"},
		{"demo-dark.png", 1280, 800, "dark"},
		{"demo-narrow-light.png", 390, 844, "light"},
		{"demo-narrow-dark.png", 390, 844, "dark"},
	} {
		p.appearance(shot.width, shot.height, shot.scheme)
		picture := p.picture()
		save(p.t, shot.name, picture)
		if shot.name == "demo-light.png" && os.Getenv("KINOPIO_E2E_PICTURE") == "1" {
			if err := writeFile(filepath.Join("..", "docs", "demo.png"), picture); err != nil {
				p.t.Error(err)
			}
		}
	}
}
