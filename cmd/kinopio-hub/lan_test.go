package main

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/election/lab"
)

// A lan is hosts that each run leaf auto.
type lan struct {
	t       *testing.T
	network *lab.Network
	flags   []string
	hosts   []*lab.Host
	agents  []*lab.Process // nil where none runs
}

func newLAN(t *testing.T, hosts int, flags ...string) *lan {
	l := &lan{t: t, network: lab.New(t), flags: flags}
	for i := range hosts {
		l.hosts = append(l.hosts, l.network.Host(string(rune('a'+i))))
		l.agents = append(l.agents, nil)
	}
	return l
}

func (l *lan) start(i int) {
	l.agents[i] = auto(l.t, l.hosts[i], "node-"+l.hosts[i].Name, l.flags...)
}

// view is what an agent said last.
func view(p *lab.Process) (state, leader, wss string) {
	said := strings.TrimSpace(p.Said())
	var s struct {
		State  string
		Leader *struct{ NodeID, WSSURL string }
	}
	if json.Unmarshal([]byte(said[strings.LastIndexByte(said, '\n')+1:]), &s) != nil || s.Leader == nil {
		return s.State, "", ""
	}
	return s.State, s.Leader.NodeID, s.Leader.WSSURL
}

// agreed returns which of the agents leads when exactly one does and the others follow it;
// -1 otherwise.
func (l *lan) agreed(among []int) int {
	leads := -1
	for _, i := range among {
		if state, _, _ := view(l.agents[i]); state == "leader" {
			if leads >= 0 {
				return -1
			}
			leads = i
		}
	}
	if leads < 0 {
		return -1
	}
	for _, i := range among {
		state, leader, _ := view(l.agents[i])
		if leader != "node-"+l.hosts[leads].Name || i != leads && state != "following-leader" {
			return -1
		}
	}
	return leads
}

// all are the agents that run.
func (l *lan) all() (running []int) {
	for i, p := range l.agents {
		if p != nil {
			running = append(running, i)
		}
	}
	return running
}

// agree waits until the agents agree on a leader, of which the WebSocket port is then tried
// from another host, and returns who it is and when.
func (l *lan) agree(among ...int) (leads int, at time.Time) {
	l.t.Helper()
	if len(among) == 0 {
		among = l.all()
	}
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(2 * time.Millisecond) {
		if leads, at = l.agreed(among), time.Now(); leads >= 0 {
			break
		}
		if at.After(deadline) {
			l.t.Fatal("the agents do not agree on a leader within a minute")
		}
	}
	_, _, wss := view(l.agents[leads])
	u, err := url.Parse(wss)
	if err != nil || u.Host == "" {
		l.t.Fatalf("the leader's leaf is at %q", wss)
	}
	from := among[len(among)-1]
	if out, err := l.hosts[from].Command(l.t.Context(), "curl", "-sk", "--max-time", "10", "-o", "/dev/null", "-w", "%{http_code}", "-g", strings.Replace(wss, "ws", "http", 1)+"/").CombinedOutput(); string(out) == "000" {
		l.t.Fatalf("%s of node-%s does not answer on %s: %v", u.Host, l.hosts[leads].Name, l.hosts[from].Name, err)
	}
	return leads, at
}

// leads waits until one of the agents says that it leads.
func (l *lan) leads(among []int) time.Time {
	l.t.Helper()
	for deadline := time.Now().Add(60 * time.Second); ; time.Sleep(time.Millisecond) {
		for _, i := range among {
			if state, _, _ := view(l.agents[i]); state == "leader" {
				return time.Now()
			}
		}
		if time.Now().After(deadline) {
			l.t.Fatal("nobody leads within a minute")
		}
	}
}

// drop ends the leader's agent, by end, and returns how long nobody else led.
func (l *lan) drop(end func(*lab.Process)) time.Duration {
	l.t.Helper()
	leads, _ := l.agree()
	p := l.agents[leads]
	l.agents[leads] = nil
	began := time.Now()
	done := make(chan struct{})
	go func() { defer close(done); end(p) }()
	led := l.leads(l.all())
	<-done
	l.agree()
	return led.Sub(began)
}

// A lanCase is what happens to a LAN; play returns how long that took.
type lanCase struct {
	name, what string
	flags      []string
	hosts      int
	play       func(*lan) time.Duration
}

var lanCases = []lanCase{
	{"together", "first leader, all started together", nil, 4, func(l *lan) time.Duration {
		began := time.Now()
		for i := range l.hosts {
			l.start(i)
		}
		_, at := l.agree()
		return at.Sub(began)
	}},
	{"staggered", "first leader, started one after the other (0.4 s)", nil, 4, func(l *lan) time.Duration {
		began := time.Now()
		for i := range l.hosts {
			l.start(i)
			time.Sleep(400 * time.Millisecond)
		}
		_, at := l.agree()
		return at.Sub(began)
	}},
	{"stopped", "clean stop to the next leader", nil, 3, func(l *lan) time.Duration {
		l.gather()
		return l.drop((*lab.Process).Stop)
	}},
	{"killed", "kill -9 to the next leader, grace 10 s", nil, 3, func(l *lan) time.Duration {
		l.gather()
		return l.drop((*lab.Process).Kill)
	}},
	{"fast", "kill -9, `--fast-failover`", []string{"--fast-failover"}, 3, func(l *lan) time.Duration {
		l.gather()
		time.Sleep(time.Second) // The connections to the leader are being made; nothing tells when they are.
		return l.drop((*lab.Process).Kill)
	}},
	{"warm", "kill -9, `--fast-failover --warm-standby`", []string{"--fast-failover", "--warm-standby"}, 3, func(l *lan) time.Duration {
		l.gather()
		time.Sleep(2 * time.Second)
		return l.drop((*lab.Process).Kill)
	}},
	{"healed", "two leaders after a partition, healed to one", []string{"--leader-missing-grace-ms", "1000"}, 4, func(l *lan) time.Duration {
		l.gather()
		leads, _ := l.agree()
		var here, there []int
		for i := range l.hosts {
			if i == leads || len(here) == 1 && i != leads && len(there) == 2 {
				here = append(here, i)
			} else {
				there = append(there, i)
				l.hosts[i].Move("elsewhere")
			}
		}
		second, _ := l.agree(there...)
		if now := l.agreed(here); now < 0 {
			l.t.Errorf("the part of the old leader has none any more")
		}
		for _, i := range there {
			if i != second {
				l.hosts[i].Move("lan")
			}
		}
		l.hosts[second].Move("lan") // returns some milliseconds after packets pass
		began := time.Now()
		_, at := l.agree()
		return at.Sub(began)
	}},
	{"crowd", "first leader of 6 hosts with 25 bridges each, half of them with two interfaces", nil, 6, first(crowd)},
	{"unique-local", "first leader of 6 hosts with IPv6 only (fd00::/8)", nil, 6, first(uniqueLocal)},
	{"link-local", "first leader of 6 hosts with link-local IPv6 only", nil, 6, first(sixOnly)},
	{"six-killed", "kill -9 to the next leader, IPv6 only, grace 10 s", nil, 3, func(l *lan) time.Duration {
		uniqueLocal(l)
		l.gather()
		return l.drop((*lab.Process).Kill)
	}},
	{"flapping", "the leader's interface down and up three times (0.2 s each): until all agree", nil, 3, func(l *lan) time.Duration {
		l.gather()
		leads, _ := l.agree()
		l.hosts[leads].Flap(3, 200*time.Millisecond)
		began := time.Now()
		_, at := l.agree()
		// Shorter than a lease, so nothing must come of it.
		for end := began.Add(5 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			if now, _, _ := view(l.agents[leads]); now != "leader" {
				l.t.Fatalf("the leader is %s after its interface flapped", now)
			}
		}
		return at.Sub(began)
	}},
}

// first is how long it takes until hosts that are as prepare makes them have a leader, all started
// together.
func first(prepare func(*lan)) func(*lan) time.Duration {
	return func(l *lan) time.Duration {
		prepare(l)
		began := time.Now()
		for i := range l.hosts {
			l.start(i)
		}
		_, at := l.agree()
		return at.Sub(began)
	}
}

// crowd gives each host the bridges that containers bring, and a second interface on the LAN; the one
// that leads there comes last.
func crowd(l *lan) {
	for i, h := range l.hosts {
		h.Unplug("eth0")
		for b := range 25 {
			name := fmt.Sprintf("br-%02d", b)
			h.IP("link", "add", name, "type", "bridge")
			h.IP("addr", "add", fmt.Sprintf("172.%d.0.1/16", 17+b%15), "dev", name)
			h.IP("addr", "add", fmt.Sprintf("192.168.%d.1/24", 100+b), "dev", name)
			h.IP("link", "set", name, "up")
		}
		h.IP("route", "add", "default", "via", "172.17.0.254") // As a VPN takes everything.
		h.Address = h.Plug("eth0", "lan")
		if i%2 == 0 {
			h.Plug("eth1", "second")
		}
	}
}

// sixOnly takes IPv4 from each host, and leaves it the addresses of a network without a router.
func sixOnly(l *lan) {
	for _, h := range l.hosts {
		h.IP("-4", "addr", "flush", "dev", "eth0")
	}
}

// uniqueLocal takes IPv4 from each host, and gives it an address of fd77::/64.
func uniqueLocal(l *lan) {
	sixOnly(l)
	for i, h := range l.hosts {
		h.IP("-6", "addr", "add", fmt.Sprintf("fd77::%d/64", i+1), "dev", "eth0", "nodad")
	}
}

// gather starts the agents and waits for a leader.
func (l *lan) gather() {
	l.t.Helper()
	for i := range l.hosts {
		l.start(i)
	}
	l.agree()
}

// TestLAN runs leaf auto on hosts of their own. KINOPIO_LAN is how often each case is played,
// with and without a secret; then a table of the times is printed.
func TestLAN(t *testing.T) {
	rounds := 1
	if text := os.Getenv("KINOPIO_LAN"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			t.Fatalf("KINOPIO_LAN = %q: want a whole number from 1", text)
		}
		rounds = n
	}
	var mu sync.Mutex
	times := map[string][]time.Duration{}
	t.Run("cases", func(t *testing.T) {
		for i, c := range lanCases {
			for round := range rounds {
				secret := (i+round)%2 == 0
				t.Run(fmt.Sprintf("%s/%d", c.name, round), func(t *testing.T) {
					if os.Getenv("KINOPIO_LAN") == "" {
						t.Parallel() // Times are for make lan.
					}
					flags := c.flags
					if secret {
						flags = append(slices.Clone(flags), "--namespace-secret", "a secret of this test")
					}
					took := c.play(newLAN(t, c.hosts, flags...))
					t.Logf("%s: %v", c.what, took.Round(time.Millisecond))
					mu.Lock()
					defer mu.Unlock()
					times[c.name] = append(times[c.name], took)
				})
			}
		}
	})
	var table strings.Builder
	for _, c := range lanCases {
		all := times[c.name]
		if len(all) == 0 {
			continue
		}
		slices.Sort(all)
		fmt.Fprintf(&table, "| %s | %d | %d | %d–%d |\n", c.what, len(all), all[len(all)/2].Milliseconds(), all[0].Milliseconds(), all[len(all)-1].Milliseconds())
	}
	t.Logf("\n| what | times | median, ms | min–max, ms |\n| --- | --- | --- | --- |\n%s", &table)
}
