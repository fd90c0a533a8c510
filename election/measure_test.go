package election

import (
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// looks is a day of them.
const looks = int(24 * time.Hour / probeEvery)

func TestABackboneIsAskedSeldom(t *testing.T) {
	day := func(hurry func(look int) bool, rtt func(look int) RTT) (asked int) {
		p := newPace()
		for look := range looks {
			if p.due(hurry(look)) {
				asked++
				p.connected(rtt(look))
			}
		}
		return asked
	}
	calm := func(int) bool { return false }
	steady := func(look int) RTT { return RTT(10 + look%7) }
	if n := day(calm, steady); n < 280 || n > 320 {
		t.Errorf("a follower connects %d times a day, want about 290", n)
	}
	if n := day(func(look int) bool { return look < 100 }, steady); n < 380 || n > 420 {
		t.Errorf("%d times in a day that began with 100 looks of searching", n)
	}
	// What is far is looked for: nothing else would tell that it is back.
	if n := day(calm, func(int) RTT { return Unmeasured }); n != looks {
		t.Errorf("a backbone that is away is tried %d times a day, want at each of %d looks", n, looks)
	}
	if n := day(calm, func(look int) RTT { return RTT(look / 100 % 2 * 100) }); n < looks/100 {
		t.Errorf("%d times while it changes every 500 s", n)
	}
}

func TestThreeFailuresRunningAreToldAndOneIsNot(t *testing.T) {
	p := newPace()
	if rtt, say := p.connected(Unmeasured); !say || rtt != Unmeasured {
		t.Error("the first result is not told")
	}
	p.connected(7)
	for i := 1; i <= probeFailures; i++ {
		if _, say := p.connected(Unmeasured); say != (i == probeFailures) {
			t.Errorf("failure %d: told %v", i, say)
		}
	}
}

func TestABusyBridgeIsAsNearAsItsBestAnswer(t *testing.T) {
	p := newPace()
	for i, want := range []RTT{8, 8, 8} {
		if got := p.bridged([]RTT{8, 90, 300}[i]); got != want {
			t.Errorf("look %d: %d, want %d", i, got, want)
		}
	}
	for range bridgeLooks {
		p.bridged(120)
	}
	if got := p.bridged(120); got != 120 {
		t.Errorf("%d a minute after the way has become longer, want 120", got)
	}
}

// An agent whose leaf is bridged makes no connections of its own.
func TestALeaderIsMeasuredAtItsBridge(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	var accepted atomic.Int32
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			accepted.Add(1)
			conn.Close()
		}
	}()
	var lan air
	s := enable(t, &lan, func(c *Config) { c.BackboneServers = []string{ln.Addr().String()} })
	rtt := 77.0
	s.mu.Lock()
	s.bridge = &rtt
	s.mu.Unlock()
	s.await("its bridge's time", func(now AgentStatus) bool { return leads(now) && now.BackboneRTTMs != nil && *now.BackboneRTTMs == rtt })
	before := accepted.Load()
	time.Sleep(2*probeEvery + time.Second)
	if n := accepted.Load(); n != before {
		t.Errorf("%d connections while it had a bridge", n-before)
	}
}
