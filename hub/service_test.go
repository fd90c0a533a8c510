package hub

import (
	"context"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// As many handlers as allowed run side by side, not one more; all requests are handled, also
// when handlers end their goroutines; and nobody is left at the end.
func TestServiceWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := openFake(t, threeServers(), Config{Servers: []string{near}})
		const limit, requests = 8, 100
		var running, most, handled atomic.Int64
		s := newService(h, limit, func(_ context.Context, m *Message) (any, error) {
			defer handled.Add(1)
			defer running.Add(-1)
			most.Store(max(most.Load(), running.Add(1)))
			if len(m.Data)%7 == 0 {
				runtime.Goexit()
			}
			time.Sleep(time.Second)
			return nil, nil
		})
		start := time.Now()
		for i := range requests {
			s.put(&Message{Subject: "a.f", Reply: "r." + strconv.Itoa(i), Data: make([]byte, i), hub: h, link: &link{hub: h, wire: &nullWire{}, limit: 1 << 20}})
		}
		synctest.Wait()
		time.Sleep(time.Minute)
		synctest.Wait()
		if handled.Load() != requests || most.Load() != limit {
			t.Errorf("%d requests handled, %d side by side: want %d and %d", handled.Load(), most.Load(), requests, limit)
		}
		if took := time.Since(start) - time.Minute; took > requests/limit*time.Second+time.Second {
			t.Errorf("requests were put in %v: %d side by side should take less", took, limit)
		}
		if s.workers != s.idle || s.workers > spareWorkers {
			t.Errorf("%d workers, %d idle: want at most %d, all idle", s.workers, s.idle, spareWorkers)
		}
		s.end()
		synctest.Wait()
		if s.workers != 0 {
			t.Errorf("%d workers after the end", s.workers)
		}
		s.put(&Message{Subject: "a.f", Reply: "r.late", Data: []byte("x"), hub: h, link: &link{hub: h, wire: &nullWire{}, limit: 1 << 20}})
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if handled.Load() != requests+1 || s.workers != 0 {
			t.Errorf("%d handled and %d workers: want what was taken before the end handled, and no worker", handled.Load(), s.workers)
		}
	})
}

// A request that waits for a handler does not keep the hub from its end.
func TestServiceEndsWithTheHub(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := openFake(t, threeServers(), Config{Servers: []string{near}})
		s := newService(h, 1, func(ctx context.Context, _ *Message) (any, error) {
			<-ctx.Done()
			return nil, nil
		})
		context.AfterFunc(h.ctx, s.close)
		var putting sync.WaitGroup
		putting.Go(func() {
			for range 3 {
				s.put(&Message{Subject: "a.f", Reply: "r", hub: h, link: &link{hub: h, wire: &nullWire{}, limit: 1 << 20}})
			}
		})
		synctest.Wait()
		h.Close()
		putting.Wait()
	})
}
