//go:build !js

package hub_test

import (
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// Members of one scope, each a hub with a connection of its own: what their server carries at rest, and what one more
// costs. BenchmarkThousandMembers of internal/presence counts the same without a server.
func BenchmarkMembers(b *testing.B) {
	const members = 100
	s := startServer(b, nil)
	open := func() *hub.Hub { return openHub(b, hub.Config{Servers: []string{s.ClientURL()}}) }
	var all []*hub.Presence
	start := time.Now()
	for range members {
		p := open().Scope("room").Presence()
		if err := p.Join("somebody with a name"); err != nil {
			b.Fatal(err)
		}
		all = append(all, p)
	}
	know := func(n int) {
		for _, p := range all {
			for len(p.Members()) != n {
				if time.Since(start) > 5*time.Minute {
					b.Fatalf("%d of %d members are known", len(p.Members()), n)
				}
				time.Sleep(10 * time.Millisecond)
			}
		}
	}
	know(members)
	b.Logf("%d members know each other after %v", members, time.Since(start).Round(time.Millisecond))
	varz := func() *server.Varz {
		v, err := s.Varz(nil)
		if err != nil {
			b.Fatal(err)
		}
		return v
	}
	time.Sleep(15 * time.Second) // what was said of the beginning
	for b.Loop() {
		const rest = 40 * time.Second
		before := varz()
		time.Sleep(rest)
		after := varz()
		per := func(n int64) float64 { return float64(n) / rest.Seconds() }
		b.ReportMetric(per(after.InMsgs-before.InMsgs), "msgs-in/s")
		b.ReportMetric(per(after.OutMsgs-before.OutMsgs), "msgs-out/s")
		b.ReportMetric(per(after.InBytes-before.InBytes), "B-in/s")
		b.ReportMetric(per(after.OutBytes-before.OutBytes), "B-out/s")
	}
	before := varz()
	start = time.Now()
	late := open().Scope("room").Presence()
	if err := late.Ready(b.Context()); err != nil {
		b.Fatal(err)
	}
	took := time.Since(start)
	if n := len(late.Members()); n != members {
		b.Fatalf("who comes later sees %d members", n)
	}
	after := varz()
	b.Logf("who looks later knows all %d after %v, by %d bytes", members, took.Round(time.Millisecond), after.OutBytes-before.OutBytes)
}
