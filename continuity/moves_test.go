package main

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"go.uber.org/goleak"

	"github.com/kinopio-hub/kinopio-hub/continuity/ledger"
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
			t.Errorf("%s/%s/%s/%vms/%d: %s %q %q", r.Platform, r.Kind, r.Role, r.DelayMs, r.Subjects, wrong, r.Why, r.Defects)
		}
	}
	var text strings.Builder
	table(&text, results)
	t.Logf("\n%s", &text)
}

func TestMovesGoUnnoticed(t *testing.T) {
	c := short
	c.delays = []time.Duration{0, 10 * time.Millisecond, 30 * time.Millisecond}
	c.rows = regexp.MustCompile(`^native/(remote->leaf|latency|leader change)/.*/(8|10ms/200)$`)
	plans := c.plans()
	if want := 3*3*4 + 3*2; len(plans) != want {
		t.Fatalf("%d rows, want %d: 3 kinds, 3 delays, 4 roles, and 200 subjects for two roles", len(plans), want)
	}
	carryOut(t, plans, 4, "")
}

// What a lost connection costs is measured by make continuity; that nothing is heard twice or
// out of order is a promise.
func TestLostConnectionsRepeatAndReorderNothing(t *testing.T) {
	c := short
	c.delays = []time.Duration{10 * time.Millisecond}
	c.rows = regexp.MustCompile(`^native/(plug pulled|leaf killed)/`)
	carryOut(t, c.plans(), 4, "")
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
		"unplanned": func(r *result) { r.Unplanned = 1 }, "no move": func(r *result) { r.Moves = 0 },
		"no message": func(r *result) { r.Messages = 0 },
	} {
		r := fine
		change(&r)
		if r.wrong() == "" {
			t.Errorf("%s: the row passes", name)
		}
		r.Abrupt = true
		allowed := name == "lost" || name == "failed" || name == "unplanned"
		if (r.wrong() == "") != allowed {
			t.Errorf("%s in an abrupt row: %q", name, r.wrong())
		}
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
	// Pings and the like are part of what is counted.
	if b.Steady > 1.25*b.Plain {
		t.Errorf("%.0f bytes a message, and %.0f with a plain client", b.Steady, b.Plain)
	}
}
