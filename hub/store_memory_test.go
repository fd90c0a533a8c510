package hub

import (
	"fmt"
	"runtime"
	"testing"
	"time"
)

// What the memory of a full store is beside its limit.
func BenchmarkStoreMemory(b *testing.B) {
	for _, size := range []int{55, 1 << 10, 64 << 10} {
		b.Run(fmt.Sprintf("%d B", size), func(b *testing.B) {
			const limit = 8 << 20
			data := make([]byte, size)
			heap := func() int64 {
				runtime.GC()
				runtime.GC()
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				return int64(m.HeapAlloc)
			}
			var used int64
			for b.Loop() {
				before := heap()
				t := &store{limit: limit, age: time.Hour}
				s := &outStream{id: 1, subject: "robot.battery"}
				for sent := 0; sent < 2*limit; sent += size + keptCost {
					s.count++
					t.keep(s, &OutMsg{Subject: s.subject, Data: data, number: number{Stream: 1, Count: s.count}})
				}
				used = heap() - before
				if t.bytes > limit+2*chunkSize+size {
					b.Fatalf("%d bytes are kept, of %d", t.bytes, limit)
				}
				runtime.KeepAlive(t)
			}
			b.ReportMetric(float64(used)/limit, "heap/limit")
		})
	}
}
