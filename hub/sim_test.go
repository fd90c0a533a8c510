//go:build !js

package hub

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// How many scenarios are played: KINOPIO_SIM=n asks for n of each kind, however long it takes; KINOPIO_SEED=seed for the one of
// that seed, with all that happens in it. The net depends on the seed alone; which of several goroutines
// of hubs is first at an instant does not, so that a seed that has failed may have to be played several times.
const (
	defaultScenarios = 10_000
	defaultTime      = 28 * time.Second // then a busy machine has played enough
	replays          = 50
	crowdSeed        = 1 << 40 // the first seed of scenarios with 20 hubs
	crowdShare       = 200     // one in so many has them
)

// playSeed plays what a seed stands for. change, if any, makes something wrong.
func playSeed(t *testing.T, seed uint64, abrupt, tracing bool, change func(*simWorld)) (w *simWorld) {
	hubs := 0
	if seed >= crowdSeed {
		hubs = 20
	}
	defer func() {
		if p := recover(); p != nil { // such as synctest's, of goroutines that wait for ever
			if w == nil {
				w = &simWorld{}
			}
			w.failed = append(w.failed, fmt.Errorf("panic: %v\n%s", p, debug.Stack()))
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		w = newSimWorld(newSimPlan(seed, abrupt, hubs), tracing)
		if change != nil {
			change(w)
		}
		w.play()
	})
	return w
}

func simulateSeeds(t *testing.T, abrupt bool) {
	name := t.Name()
	if text := os.Getenv("KINOPIO_SEED"); text != "" {
		seed, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			t.Fatalf("KINOPIO_SEED=%q: not a seed: give the number that a failure has printed", text)
		}
		for range replays {
			w := playSeed(t, seed, abrupt, true, nil)
			if len(w.failed) > 0 {
				t.Fatalf("%v\n%s\n%s", w.p, strings.Join(w.log, "\n"), w.firstFailures())
			}
		}
		t.Logf("nothing is wrong with seed %d in %d plays", seed, replays)
		return
	}
	scenarios, limit := defaultScenarios/simShare, defaultTime
	if text := os.Getenv("KINOPIO_SIM"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			t.Fatalf("KINOPIO_SIM=%q: not a number of scenarios: give 1 or more", text)
		}
		scenarios, limit = n, 24*time.Hour
	} else if testing.Short() {
		scenarios /= 20
	}
	began := time.Now()
	var sum simFigures
	var mu sync.Mutex
	failures, played := 0, 0
	defer debug.SetGCPercent(debug.SetGCPercent(400))
	playAll(t, scenarios, func(seed uint64) bool {
		if seed%crowdShare == crowdShare-1 {
			seed += crowdSeed
		}
		w := playSeed(t, seed, abrupt, false, nil)
		mu.Lock()
		defer mu.Unlock()
		played++
		f := w.figures
		sum.moves += f.moves
		sum.reconnects += f.reconnects
		sum.messages += f.messages
		sum.hops += f.hops
		sum.missing += f.missing
		sum.returned += f.returned
		sum.unrouted += f.unrouted
		sum.longest = max(sum.longest, f.longest)
		sum.late += f.late
		sum.held += f.held
		sum.begun += f.begun
		if len(w.failed) == 0 {
			return time.Since(began) < limit
		}
		t.Errorf("seed %d: %s\nKINOPIO_SEED=%d go test -run '^%s$' -v ./hub plays it again", seed, w.firstFailures(), seed, name)
		failures++
		return failures < 10
	})
	t.Logf("%d of %d scenarios in %v: %+v", played, scenarios, time.Since(began).Round(time.Millisecond), sum)
	if failures == 0 && sum.moves < played/2 || failures == 0 && abrupt && sum.reconnects < played/4 {
		t.Error("hardly anything happens: the simulation simulates nothing")
	}
}

// hangs is after how long of real time a scenario is hopeless.
const hangs = time.Minute

// playAll calls play with 0 to n-1 on all processors, until it returns false.
func playAll(t *testing.T, n int, play func(seed uint64) bool) {
	var next atomic.Int64
	var over atomic.Bool
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for !over.Load() {
				seed := uint64(next.Add(1)) - 1
				if seed >= uint64(n) {
					return
				}
				hung := time.AfterFunc(hangs, func() { panic(fmt.Sprintf("%s: seed %d hangs", t.Name(), seed)) })
				if !play(seed) {
					over.Store(true)
				}
				hung.Stop()
			}
		})
	}
	all.Wait()
}

// Whatever hubs do while all links live, nobody notices that they move.
func TestSimulatedMoves(t *testing.T) { simulateSeeds(t, false) }

// Between hubs that live, nothing is lost with links and servers but what is told to be.
func TestSimulatedLosses(t *testing.T) { simulateSeeds(t, true) }

// A check that cannot fail proves nothing: something is made wrong, and the simulation must notice.
func TestSimulationNotices(t *testing.T) {
	dropOne := func(w *simWorld) {
		rng := rand.New(rand.NewPCG(w.p.seed, 9))
		left := rng.IntN(20)
		w.n.sabotage = func(m *simMsg) bool {
			if !strings.HasPrefix(m.Subject, simMoving) {
				return false
			}
			left--
			return left == 0
		}
	}
	for name, c := range map[string]struct {
		abrupt bool
		change func(*simWorld)
	}{
		"a server drops a message of a plain client": {false, func(w *simWorld) {
			dropOne(w)
			drop := w.n.sabotage
			w.n.sabotage = func(m *simMsg) bool { return m.number.Stream == 0 && drop(m) }
		}},
		"a server sends a message of a plain client twice": {false, func(w *simWorld) {
			w.n.twice = func(m *simMsg) bool {
				return m.number.Stream == 0 && strings.HasPrefix(m.Subject, simMoving) && w.n.hops%50 == 0
			}
		}},
		"a server gives a member of a queue group nothing": {false, func(w *simWorld) {
			w.n.sabotage = func(m *simMsg) bool { return m.Subject == simQueued && w.n.hops%10 == 0 }
		}},
		"what moves tell each server of is lost": {false, func(w *simWorld) {
			w.n.sabotage = func(m *simMsg) bool { return strings.HasPrefix(m.Subject, "_INBOX.") && len(m.Data) == 0 }
		}},
		"nobody is told of what is missing": {true, func(w *simWorld) {
			w.untold = true
			w.n.sabotage = func(m *simMsg) bool { return strings.HasPrefix(m.Subject, ownPrefix+"again") }
		}},
		"hubs have no numbers after all": {true, func(w *simWorld) {
			w.without = true
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var caught atomic.Pointer[string]
			playAll(t, 500, func(seed uint64) bool {
				if w := playSeed(t, seed, c.abrupt, false, c.change); len(w.failed) > 0 {
					text := fmt.Sprintf("seed %d: %s", seed, w.firstFailures())
					caught.Store(&text)
					return false
				}
				return true
			})
			if caught.Load() == nil {
				t.Error("nothing was noticed in 500 scenarios")
			} else {
				t.Log(*caught.Load())
			}
		})
	}
}
