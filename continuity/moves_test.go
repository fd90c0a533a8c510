package main

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/kinopio-hub/kinopio-hub/v3/continuity/ledger"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// short has a move and few messages in each row: what a busy machine can do with the race
// detector on.
var short = choice{platforms: []string{nativePlatform}, moves: 1, abrupt: 1, rate: 400}

// carryOut runs plans and fails the test for what must not be in their rows.
func carryOut(t *testing.T, plans []plan, parallel int, dist string) {
	t.Helper()
	results, failed := runAll(t.Context(), plans, parallel, dist, options{}.makers())
	for _, err := range failed {
		t.Error(err)
	}
	for _, r := range results {
		if wrong := r.wrong(); wrong != "" {
			t.Errorf("%s: %s %q %q", r, wrong, r.Why, r.Defects)
		}
	}
	var text strings.Builder
	table(&text, results)
	t.Logf("\n%s", &text)
}

func TestMovesGoUnnoticed(t *testing.T) {
	c := short
	c.delays = []time.Duration{0, 10 * time.Millisecond, 30 * time.Millisecond}
	c.rows = regexp.MustCompile(`^native/(remote->leaf|latency|leader change)/.*/(8|10ms/200|10ms/8/plain)$`)
	plans := c.plans()
	if want := 3*3*4 + 3*2 + 3*2; len(plans) != want {
		t.Fatalf("%d rows, want %d: 3 kinds, 3 delays, 4 roles, and 200 subjects and plain clients for two roles", len(plans), want)
	}
	carryOut(t, plans, 4, "")
}

// A lost connection costs nothing between hubs; what it costs plain clients is measured by make continuity.
func TestLostConnectionsGoUnnoticed(t *testing.T) {
	c := short
	c.delays = []time.Duration{10 * time.Millisecond}
	c.rows = regexp.MustCompile(`^native/(plug pulled|leaf killed)/`)
	plans := c.plans()
	if want := 2*4*2 + 2*2; len(plans) != want {
		t.Fatalf("%d rows, want %d: 2 kinds, 4 roles, with and without a standby, and plain clients for two roles", len(plans), want)
	}
	carryOut(t, plans, 4, "")
}

// A move at a distance takes its time, and is made all the same.
func TestFarMovesGoUnnoticed(t *testing.T) {
	c := short
	c.delays = []time.Duration{300 * time.Millisecond}
	c.rows = regexp.MustCompile(`^native/(remote->leaf|latency|leaf killed)/subscriber/.*/8$`)
	plans := c.plans()
	if len(plans) != 3 {
		t.Fatalf("%d rows, want 3", len(plans))
	}
	carryOut(t, plans, 4, "")
}

// How long is waited follows the distance, and how long the machine takes for anything.
func TestWaitsFollowTheDistanceAndTheMachine(t *testing.T) {
	near, far := &run{}, &run{plan: plan{delay: time.Second}}
	near.waits(0)
	far.waits(0)
	if far.patience-near.patience < 50*2*time.Second || far.quiet-near.quiet < 5*2*time.Second {
		t.Errorf("%v and %v with no distance, %v and %v with a second one way", near.patience, near.quiet, far.patience, far.quiet)
	}
	busy := &run{}
	busy.waits(3 * time.Second)
	if busy.patience < near.patience+100*3*time.Second || busy.quiet < near.quiet+10*3*time.Second {
		t.Errorf("%v and %v where a server starts at once, %v and %v where that takes 3 s", near.patience, near.quiet, busy.patience, busy.quiet)
	}
}

// naive moves as one would without a hub: subscribe at the new server, then leave the old one.
type naive struct {
	setup  setup
	book   ledger.Book
	mu     sync.Mutex
	conn   *nats.Conn
	here   int
	events []event
}

func (n *naive) begin(context.Context) error { return n.goTo(0) }

func (n *naive) goTo(i int) error {
	conn, err := nats.Connect(n.setup.servers[i], nats.NoReconnect())
	if err != nil {
		return err
	}
	for i := range n.setup.subjects {
		if _, err := conn.Subscribe(streamName(i, "*"), func(m *nats.Msg) { n.book.Take(m.Subject, m.Data) }); err != nil {
			return err
		}
	}
	if err := conn.Flush(); err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.conn != nil {
		n.conn.Close()
	}
	n.events = append(n.events, event{From: n.setup.servers[n.here], To: n.setup.servers[i], Planned: true})
	n.conn, n.here = conn, i
	return nil
}

func (n *naive) work(context.Context) error { return nil }
func (n *naive) event(_ context.Context, i int) (event, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if i >= len(n.events) {
		return event{}, fmt.Errorf("%d changes of server, want more than %d", len(n.events), i)
	}
	return n.events[i], nil
}
func (n *naive) reconnect(context.Context) error { return n.goTo(1 - n.here) }
func (n *naive) report(context.Context) (report, error) {
	return report{Counts: n.book.Total(), Defects: n.book.Defects()}, nil
}
func (n *naive) mark(context.Context) error { return nil }
func (n *naive) end(ctx context.Context, pairs map[string]int) error {
	n.book.End(ctx, pairs, time.Second)
	return nil
}
func (n *naive) stop(context.Context) error { return nil }
func (n *naive) close()                     { n.conn.Close() }

// A table of zeros is worth what the harness is worth that counts them.
func TestNaiveMovesAreCaught(t *testing.T) {
	p := plan{kind: latencyMove, platform: "naive", role: subscriber, delay: 10 * time.Millisecond, subjects: 8, moves: 6, rate: 2000}
	results, err := do(t.Context(), p, "", func(_ *run, s setup) (subject, error) { return &naive{setup: s}, nil })
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != 1 || results[0].Moves != p.moves {
		t.Fatalf("results %+v, want one with %d moves", results, p.moves)
	}
	if r := results[0]; r.Repeated+r.Lost+r.Reordered == 0 || r.wrong() == "" {
		t.Errorf("subscribing there and leaving here loses, repeats and reorders nothing: %+v", r.Counts)
	} else {
		t.Logf("%d moves: %s", r.Moves, r.wrong())
	}
}

func TestResultRefusesWhatMustNotBe(t *testing.T) {
	fine := result{Moves: 1, Role: subscriber, Counts: ledger.Counts{Messages: 1}}
	if wrong := fine.wrong(); wrong != "" {
		t.Errorf("a clean row: %s", wrong)
	}
	for name, change := range map[string]func(*result){
		"lost": func(r *result) { r.Lost = 1 }, "repeated": func(r *result) { r.Repeated = 1 },
		"reordered": func(r *result) { r.Reordered = 1 }, "failed": func(r *result) { r.Failed = 1 },
		"missing": func(r *result) { r.Missing = 1 }, "unplanned": func(r *result) { r.Unplanned = 1 },
		"no move": func(r *result) { r.Moves = 0 }, "no message": func(r *result) { r.Messages = 0 },
	} {
		for _, c := range []struct {
			abrupt, plain bool
			role          role
			allowed       []string
		}{
			{abrupt: true, role: subscriber, allowed: []string{"unplanned"}},
			{abrupt: true, role: requester, allowed: []string{"unplanned", "failed"}},
			{abrupt: true, role: subscriber, plain: true, allowed: []string{"unplanned", "lost"}},
			{abrupt: true, role: publisher, plain: true, allowed: []string{"unplanned", "lost", "reordered"}},
			{role: subscriber}, {role: requester}, {role: publisher, plain: true},
		} {
			r := fine
			change(&r)
			r.Abrupt, r.Plain, r.Role = c.abrupt, c.plain, c.role
			if passes := r.wrong() == ""; passes != slices.Contains(c.allowed, name) {
				t.Errorf("%s in a row with %+v: %q", name, c, r.wrong())
			}
		}
	}
}

func TestTablesShowTheAim(t *testing.T) {
	r := result{Moves: 1, Role: subscriber, Subjects: fewSubjects, TripMs: 100, Took: []float64{900}, Held: []float64{100}, Counts: ledger.Counts{Messages: 1}}
	if slow := r.slow(); slow != "took 900 ms, aim 550" {
		t.Errorf("slow: %q", slow)
	}
	loss := r
	loss.Abrupt, loss.Gap = true, []float64{30}
	var text strings.Builder
	markdown(&text, []*result{&r, &loss})
	for _, want := range []string{"| 900 / 900 | 550 | 9.0 / 9.0 | 100 / 100 |", "| 30 / 30 |"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, &text)
		}
	}
	r.Took = []float64{550}
	if r.slow() != "" || loss.slow() != "" {
		t.Errorf("slow: %q, %q", r.slow(), loss.slow())
	}
}

func TestSoakIsSharedByItsRows(t *testing.T) {
	plans := make([]plan, 3)
	share(plans, 5000)
	if sum := plans[0].moves + plans[1].moves + plans[2].moves; sum != 5000 || plans[2].moves-plans[0].moves > 1 {
		t.Errorf("%d moves: %+v", sum, plans)
	}
}

func TestFlagsAreChecked(t *testing.T) {
	for _, args := range []string{"-moves 0", "-soak 5", "-soak -1 -rows x", "-rows (", "-delays 10", "-delays -1ms", "-rate 0", "more"} {
		if _, err := parse(strings.Fields(args)); err == nil {
			t.Errorf("%s: want an error", args)
		}
	}
}

// A crowd that moves is as exact as one hub, and costs no more between the servers than one
// client when it rests.
func TestCrowdCostsTheBridgeNothingWhenItRests(t *testing.T) {
	b, err := bridgeWith(t.Context(), 8, 100)
	if err != nil {
		t.Fatal(err)
	}
	if wrong := b.wrong(); wrong != "" || b.Messages == 0 {
		t.Errorf("%+v: %s", b, wrong)
	}
	// A number is a header of about 32 bytes, and NATS has 12 more for a message with headers; pings and the
	// like are part of what is counted.
	if b.Steady > 1.25*(b.Plain+44) {
		t.Errorf("%.0f bytes a message, and %.0f with plain clients", b.Steady, b.Plain)
	}
}
