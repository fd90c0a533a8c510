package presence

import (
	"math/rand/v2"
	"testing"
	"time"
)

// What a thousand members of one scope cost, in messages and bytes of payloads: at rest, while all come at the same time,
// and for one who comes later. A network without real ones counts them.
func BenchmarkThousandMembers(b *testing.B) {
	const members = 1000
	for b.Loop() {
		w := &world{now: time.Second, rng: rand.New(rand.NewPCG(1, 1)), fifo: map[[2]int]time.Duration{}, rough: -time.Hour}
		for range members {
			h := w.join()
			h.m.Join(w.now, []byte(`{"name":"somebody","at":[1,2]}`))
			h.do()
			w.run(w.now + time.Millisecond)
		}
		w.run(w.now + 20*time.Second)
		b.ReportMetric(float64(w.came)/members/members, "deliveries-a-pair-while-all-come")
		for _, h := range w.hubs {
			if len(h.sees) != members {
				b.Fatalf("%s sees %d of %d", h.m.id, len(h.sees), members)
			}
		}
		const rest = 40
		before := w.counts
		w.run(w.now + rest*time.Second)
		at := w.counts.minus(before)
		b.ReportMetric(float64(at.sent)/rest, "msgs-in/s")
		b.ReportMetric(float64(at.came)/rest, "msgs-out/s")
		b.ReportMetric(float64(at.sentBytes)/rest, "B-in/s")
		b.ReportMetric(float64(at.cameBytes)/rest, "B-out/s")
		before = w.counts
		late := w.join()
		late.m.Watch(w.now)
		late.do()
		for end := w.now + time.Second; !late.m.Knows() && w.now < end; {
			w.run(w.now + time.Millisecond)
		}
		if n := len(late.m.members); n != members {
			b.Fatalf("who comes later knows %d of %d", n, members)
		}
		at = w.counts.minus(before)
		b.ReportMetric(float64(at.cameBytes), "B-for-who-comes-later")
	}
}
