package election

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// How many LANs are simulated: KINOPIO_SIM=n asks for n, KINOPIO_SIM_SEED=seed for the
// one of that seed, with all that happens in it.
const (
	defaultLANs = 20_000
	crowds      = 100 // Of 50 nodes.
	crowd       = 50
)

func simulate(seed uint64, nodes int, without rule, trace *[]string) *world {
	rng := rand.New(rand.NewPCG(seed, 42))
	if nodes == 0 {
		nodes = 1 + rng.IntN(7)
	}
	p := randomPlan(rng, nodes)
	if nodes == crowd {
		p.causes, p.boot = p.causes[:min(len(p.causes), 2)], min(p.boot, 5*sec)
		p.causes = append([]cause{}, p.causes...)
		p.causes = append(p.causes, cause{30 * sec, 0, causeCalm}, cause{30 * sec, 0, causeHeal})
		p.end = 30*sec + p.rest() + p.freezes()
		for i := range p.causes[:len(p.causes)-2] {
			p.causes[i].at = 10*sec + p.causes[i].at%(10*sec)
		}
		p.spaced = false
	}
	p.without = without
	w := newWorld(seed, p, rng)
	w.trace = trace
	if err := w.run(); err != nil {
		w.check.err = fmt.Errorf("seed %d, %d nodes: %w", seed, nodes, err)
	}
	return w
}

// inParallel calls work for 0 to n-1 on all processors, until it returns false.
func inParallel(n int, work func(i int) bool) {
	var next atomic.Int64
	var ended atomic.Bool
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for !ended.Load() {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if !work(i) {
					ended.Store(true)
				}
			}
		})
	}
	all.Wait()
}

// simulatedLANs is how many are asked for.
func simulatedLANs(t *testing.T) int {
	t.Helper()
	switch text := os.Getenv("KINOPIO_SIM"); {
	case text != "":
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			t.Fatalf("KINOPIO_SIM=%q: not a number of LANs: give 1 or more", text)
		}
		return n
	case testing.Short():
		return defaultLANs / 20
	}
	return defaultLANs
}

func TestSimulatedLANsKeepThePromises(t *testing.T) {
	if text := os.Getenv("KINOPIO_SIM_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("KINOPIO_SIM_SEED=%q: not a seed: give the number that a failure has printed", text)
		}
		nodes := 0
		if seed >= crowdSeed {
			nodes = crowd
		}
		var trace []string
		w := simulate(seed, nodes, 0, &trace)
		t.Logf("%+v\n%s", w.plan, strings.Join(trace, "\n"))
		if w.check.err != nil {
			t.Error(w.check.err)
		}
		return
	}
	lans := simulatedLANs(t)
	many := max(1, lans/(defaultLANs/crowds))
	var worst struct {
		sync.Mutex
		two, none time.Duration
		changes   int
	}
	began := time.Now()
	failures := atomic.Int64{}
	play := func(seed uint64, nodes int) bool {
		w := simulate(seed, nodes, 0, nil)
		if err := w.check.err; err != nil {
			t.Errorf("%v\nKINOPIO_SIM_SEED=%d go test -run TestSimulatedLANs -v ./election plays it again", err, seed)
			return failures.Add(1) < 5
		}
		worst.Lock()
		defer worst.Unlock()
		worst.two, worst.none = max(worst.two, w.check.longestTwo), max(worst.none, w.check.longestNone)
		worst.changes += w.check.begunAll
		return true
	}
	inParallel(lans, func(i int) bool { return play(uint64(i), 0) })
	small := time.Since(began)
	inParallel(many, func(i int) bool { return play(crowdSeed+uint64(i), crowd) })
	if worst.changes < lans {
		t.Errorf("only %d changes of leader in %d LANs: the simulation simulates nothing", worst.changes, lans)
	}
	t.Logf("%d LANs in %v, %d of %d nodes in %v; %d changes of leader, longest time with two leaders %v, with none %v",
		lans, small.Round(time.Millisecond), many, crowd, (time.Since(began) - small).Round(time.Millisecond), worst.changes, worst.two, worst.none)
}

// crowdSeed is the first seed of LANs with 50 nodes.
const crowdSeed = 1 << 40

func TestSimulationIsRepeatable(t *testing.T) {
	for seed := range uint64(50) {
		var a, b []string
		simulate(seed, 0, 0, &a)
		simulate(seed, 0, 0, &b)
		if strings.Join(a, "\n") != strings.Join(b, "\n") {
			t.Fatalf("seed %d plays differently each time", seed)
		}
		if len(a) == 0 {
			t.Fatalf("seed %d: nothing happens", seed)
		}
	}
}

// A check that cannot fail proves nothing: each rule is switched off in turn, and the
// simulation must notice.
func TestSimulationNoticesABrokenRule(t *testing.T) {
	for name, without := range map[string]rule{
		"a leader never yields":                 withoutYield,
		"a silent leader is followed for ever":  withoutLease,
		"candidates do not wait for better":     withoutPriority,
		"a start may take for ever":             withoutStartDeadline,
		"better candidates are waited for ever": withoutPatienceEnd,
		"one machine's leader is as any other":  withoutPlace,
	} {
		t.Run(name, func(t *testing.T) {
			var caught atomic.Pointer[error]
			inParallel(10_000, func(i int) bool {
				if err := simulate(uint64(i), 0, without, nil).check.err; err != nil {
					caught.Store(&err)
					return false
				}
				return true
			})
			if caught.Load() == nil {
				t.Error("no promise was broken in 10000 LANs")
			} else {
				t.Log(*caught.Load())
			}
		})
	}
}
