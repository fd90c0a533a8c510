package hub

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"
)

// What 10,000 variables that were used and left have left behind: nothing.
func TestVariablesThatWereLeftAreForgotten(t *testing.T) {
	h, _ := openNull(t)
	h.cfg.Linger, h.cfg.ReadLinger = time.Millisecond, 2*time.Millisecond
	use := func(round int) {
		for i := range 10_000 {
			v := h.Scope("s").Variable(fmt.Sprintf("round %d.%d", round, i)[6:])
			switch i % 4 {
			case 0:
				sub, err := v.Sub(context.Background(), func(*Message) {})
				if err != nil || sub.Unsubscribe() != nil {
					t.Fatal(err)
				}
			case 1:
				stop, err := v.Watch(func(any) {})
				if err != nil {
					t.Fatal(err)
				}
				stop()
			case 2:
				if err := v.Pub(context.Background(), i); err != nil {
					t.Fatal(err)
				}
			case 3:
				if v.Value() != nil {
					t.Fatal("a value from nowhere")
				}
			}
		}
	}
	left := func() (names, entries, cells, streams int) {
		runtime.GC()
		vs := h.all()
		vs.mu.Lock()
		names = len(vs.bySubject)
		vs.mu.Unlock()
		k := h.keeping()
		k.mu.Lock()
		cells = len(k.followers)
		k.mu.Unlock()
		h.outbox.mu.Lock()
		streams = len(h.outbox.streams)
		h.outbox.mu.Unlock()
		return names, h.registry.size(), cells, streams
	}
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	own := func() int { _, _, _, streams := left(); return streams }()
	var first uint64
	for round := range 4 {
		use(round)
		deadline := time.Now().Add(time.Minute)
		for {
			names, entries, cells, streams := left()
			if names+entries+cells+streams == own {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("round %d: %d variables, %d subscriptions, %d values and %d streams are left", round, names, entries, cells, streams)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if round == 0 {
			first = heap() // what was published lately is kept, and bounded
		}
	}
	// Three times as many would be 30 MB and more; other tests run beside this one.
	if last := heap(); last > first+10<<20 {
		t.Errorf("%d bytes after the first round, %d after the last", first, last)
	}
}

// Many handles of one variable cost as much each as few do.
func TestHandlesCostTheSameHoweverManyThereAre(t *testing.T) {
	h, _ := openNull(t)
	v := h.Scope("s").Variable("x")
	each := func(n int, begin func() func()) float64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		ends := make([]func(), n)
		for i := range ends {
			ends[i] = begin()
		}
		for i := range ends { // from both sides
			if i%2 == 0 {
				ends[i/2]()
			} else {
				ends[n-1-i/2]()
			}
		}
		runtime.ReadMemStats(&after)
		return float64(after.TotalAlloc-before.TotalAlloc) / float64(n)
	}
	for what, begin := range map[string]func() func(){
		"callback": func() func() {
			s, err := v.Sub(context.Background(), func(*Message) {})
			if err != nil {
				t.Fatal(err)
			}
			return func() { s.Unsubscribe() }
		},
		"watcher": func() func() {
			stop, err := v.Watch(func(any) {})
			if err != nil {
				t.Fatal(err)
			}
			return stop
		},
	} {
		few, many := each(500, begin), each(20_000, begin)
		t.Logf("%s: %.0f bytes each of 500, %.0f of 20,000", what, few, many)
		if many > 3*few+1000 {
			t.Errorf("each %s of 20,000 costs %.0f bytes, of 500 %.0f", what, many, few)
		}
	}
}
