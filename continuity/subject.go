package main

import (
	"context"
	"fmt"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/continuity/ledger"
)

// A role is what the hub that moves does meanwhile.
type role string

const (
	subscriber role = "subscriber"
	publisher  role = "publisher"
	service    role = "service"
	requester  role = "requester"
)

var roles = []role{subscriber, publisher, service, requester}

// setup is how a subject is to be opened.
type setup struct {
	role     role
	servers  []string // in the platform's scheme
	manifest string   // "" is no discovery
	subjects int
	rate     int // messages, or requests, a second
	latency  bool
	standby  bool
	plain    bool // the crew are plain NATS clients, and no hubs
	// patience bounds each wait for something that must happen.
	patience time.Duration
	// quiet is after which time without any message what has not come is lost.
	quiet time.Duration
	// timeout is after which time a request has failed.
	timeout time.Duration
}

// A subject is the hub that moves, on one platform. It does what its role says from begin to
// stop, and counts.
type subject interface {
	// begin returns when the hub is connected and its server knows all its subscriptions.
	begin(ctx context.Context) error
	// work begins to publish or to request.
	work(ctx context.Context) error
	// event waits for the n-th change of server since begin, failed ones included.
	event(ctx context.Context, n int) (event, error)
	// reconnect asks for a fresh connection to the nearest server.
	reconnect(ctx context.Context) error
	// report is what was counted so far.
	report(ctx context.Context) (report, error)
	// mark begins to look for the longest pause between two messages or answers.
	mark(ctx context.Context) error
	// end says how many pairs of each stream were published, waits for them, and counts the rest as
	// lost when nothing has come for the quiet time.
	end(ctx context.Context, pairs map[string]int) error
	// stop publishes and requests no more, and waits until everything is answered.
	stop(ctx context.Context) error
	close()
}

// report is what a subject counted. What it says depends on the role.
type report struct {
	Counts ledger.Counts  `json:"counts"` // heard, handled, or answered
	Sent   map[string]int `json:"sent"`   // pairs published, by stream
	Asked  int            `json:"asked"`  // requests
	Failed int            `json:"failed"` // publishes and requests that failed
	// Missing is how many messages have not come by what the hub knows.
	Missing int    `json:"missing"`
	Why     string `json:"why"` // the first of these failures, and errors that were nobody's
	// Defects are some of the streams in which Counts found any.
	Defects []string `json:"defects"`
	GapMs   float64  `json:"gapMs"` // the longest pause since mark
}

func (r report) tally() tally { return tally{r.Counts, r.Failed, r.Missing, r.GapMs} }

// event is a change of server as the hub tells of it.
type event struct {
	From    string  `json:"from"`
	To      string  `json:"to"`
	Reason  string  `json:"reason"`
	Planned bool    `json:"planned"`
	TookMs  float64 `json:"tookMs"`
	HeldMs  float64 `json:"heldMs"`
	TripMs  float64 `json:"tripMs"`
	Error   string  `json:"error"`
}

// probeEvery is how often a hub looks at the manifest, and natively for a nearer server.
const probeEvery = 100 * time.Millisecond

// slower is by how much the far server is farther, one way; nearer is the gain that makes a hub move.
const (
	slower = 20 * time.Millisecond
	nearer = 12 * time.Millisecond
)

// Names of what is published, by who publishes, and of what is served.
func streamName(i int, who string) string { return fmt.Sprintf("c.%d.%s", i, who) }

const served = "q.serve"

// moving is who publishes where the hub that moves does.
const moving = "moving"

// pairsOf says how many pairs each of the streams has, when so many were published in turn.
func pairsOf(who string, subjects, pairs int) map[string]int {
	all := map[string]int{}
	for i := range subjects {
		all[streamName(i, who)] = (pairs + subjects - 1 - i) / subjects
	}
	return all
}

// paced calls do with 0, 1, 2, … so many times a second, until ctx ends or do fails, and
// returns how often.
func paced(ctx context.Context, begin, perSecond int, do func(n int) error) (int, error) {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	n, start := begin, time.Now()
	for {
		select {
		case <-ctx.Done():
			return n, nil
		case <-tick.C:
		}
		for due := begin + int(time.Since(start).Seconds()*float64(perSecond)); n < due && ctx.Err() == nil; n++ {
			if err := do(n); err != nil {
				return n, err
			}
		}
	}
}
