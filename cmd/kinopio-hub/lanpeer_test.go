package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/ipv4"

	"github.com/kinopio-hub/kinopio-hub/v3/election/lab"
)

// An agent of 2.1.0 leads, then is gone, then follows: ours follows it, succeeds it, and stays.
func TestLeafAutoTakesTurnsWithAgentsOf210(t *testing.T) {
	l := newLAN(t, 1, "--leader-missing-grace-ms", "1000")
	host := l.network.Host("older")
	program, err := exec.LookPath("kinopio-hub")
	if err != nil {
		t.Fatal(err)
	}
	// What is at the older leader's address, where its manifest is read.
	leaf := host.Start("leaf", host.Command(t.Context(), program, "leaf", "start", "--discovery-namespace", "test", "--node-id", "older",
		"--discovery-port", "8443", "--json-lines", "--cache-dir", t.TempDir(), "--runtime-dir", t.TempDir()))
	leaf.Await(`"phase":"running"`)
	older := host.Play("peer", "-namespace", "test", "-node", "older")
	older.Await("ready")
	older.Say(fmt.Sprintf("lead 3 wss://%s:8443 7", host.Address))

	l.start(0)
	l.agents[0].Await(following, `"nodeId":"older"`, `"leaderEpoch":3`)
	older.Await("heard node=node-a role=follower leader=false")

	older.Say("silence")
	leaf.Kill()
	l.agents[0].Await(leading, `"leaderEpoch":4`)
	older.Await("heard node=node-a role=leader leader=true epoch=4 wss=wss://" + l.hosts[0].Address.String())

	for _, role := range []string{"candidate 4", "follow 4"} {
		l.agents[0].Forget()
		older.Say(role)
		l.agents[0].Silent(2*time.Second, following)
	}
	if state, leader, _ := view(l.agents[0]); state != "leader" || leader != "node-a" {
		t.Errorf("%s of %q beside an older follower", state, leader)
	}
}

// playFlood sends packets to the group as fast as said: garbage, what is too large, and
// heartbeats of leaders and candidates that do not exist. Its arguments are packets a second,
// how long, and whose goodbyes it forges, if any.
func playFlood(ctx context.Context, args []string, _ <-chan string, out io.Writer) error {
	rate, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	lasts, err := time.ParseDuration(args[1])
	if err != nil {
		return err
	}
	conn, err := net.ListenPacket("udp4", "0.0.0.0:0")
	if err != nil {
		return err
	}
	defer conn.Close()
	card, err := net.InterfaceByName("eth0")
	if err == nil {
		err = ipv4.NewPacketConn(conn).SetMulticastInterface(card) // there is no default route
	}
	if err != nil {
		return err
	}
	group := &net.UDPAddr{IP: net.IPv4(239, 255, 42, 99), Port: 45217}
	large := make([]byte, 20_000)
	sent, refused := 0, 0
	for began := time.Now(); time.Since(began) < lasts && ctx.Err() == nil; time.Sleep(time.Millisecond) {
		for due := int(time.Since(began).Seconds() * float64(rate)); sent < due; sent++ {
			now, node, role := time.Now().UTC(), fmt.Sprintf("evil-%d", sent), []string{"leader", "candidate"}[sent/4%2]
			if sent%4 == 3 && len(args) > 2 {
				node, role = args[2], "stopped"
			}
			packet := fmt.Appendf(nil, `{"kind":"kinopio-auto-leaf-heartbeat","protocolVersion":1,"sentAt":%q,"version":"1","expiresAt":%q,"leaderEpoch":%d,`+
				`"advertisedHostname":"x","websocketUrl":"wss://10.77.0.%d:1","wssUrl":"wss://10.77.0.%d:1","discoveryUrl":"https://10.77.0.%d:1/","fallbackServers":[],`+
				`"bridgeState":"connected","backboneRttMs":0,"leaseExpiresAt":%q,"nodeId":%q,"discoveryNamespace":"test","isLeader":%v,"candidateRole":%q}`,
				now.Format(time.RFC3339Nano), now.Add(time.Hour).Format(time.RFC3339Nano), sent%2000, sent%200+1, sent%200+1, sent%200+1, now.Add(time.Hour).Format(time.RFC3339Nano), node, role == "leader", role)
			switch sent % 4 {
			case 0:
				packet = packet[:len(packet)*(sent%97)/97] // malformed
			case 1:
				packet = large
			}
			if _, err := conn.WriteTo(packet, group); err != nil {
				refused++
			}
		}
	}
	fmt.Fprintln(out, "sent", sent, "refused", refused)
	return nil
}

// Whatever is shouted on the LAN, the leader stays, its follower stays with it, and neither
// grows.
func TestLeafAutoWithstandsForgeries(t *testing.T) {
	t.Run("without a secret", func(t *testing.T) { withstand(t, newLAN(t, 2, "--leader-missing-grace-ms", "1000")) })
	// With one, not even the leader's goodbye can be forged.
	t.Run("with a secret", func(t *testing.T) {
		withstand(t, newLAN(t, 2, "--leader-missing-grace-ms", "1000", "--namespace-secret", "a secret of this test"), "node-a")
	})
}

func withstand(t *testing.T, l *lan, goodbyesOf ...string) {
	l.start(0)
	l.agents[0].Await(leading)
	l.start(1)
	l.agree()
	attacker := l.network.Host("attacker")
	const lasts = 5 * time.Second
	before := []time.Duration{cpuOf(t, l.agents[0]), cpuOf(t, l.agents[1])}
	began := time.Now()
	flood := attacker.Play("flood", append([]string{"8000", lasts.String()}, goodbyesOf...)...)
	flood.Await("sent")
	sent, err := strconv.Atoi(strings.Fields(flood.Said())[1])
	if err != nil || sent < 4*8000 { // in 5 s, by a machine that has more to do
		t.Fatalf("the flood is none: %s", flood.Said())
	}
	took := time.Since(began)
	time.Sleep(5 * time.Second) // a lease and more, in which a leader that was believed would show
	for i, p := range l.agents {
		if state, leader, _ := view(p); leader != "node-a" || (state == "leader") != (i == 0) {
			t.Errorf("node-%s is %s of %q after the flood", l.hosts[i].Name, state, leader)
		}
		if i == 0 && strings.Count(p.Said(), `"state":"electing"`) > 1 {
			t.Errorf("the leader was drawn into an election:\n%s", p.Said())
		}
		cpu := cpuOf(t, p) - before[i]
		if kB := memoryOf(t, p); kB > 150_000 {
			t.Errorf("node-%s has %d kB resident", l.hosts[i].Name, kB)
		} else {
			t.Logf("node-%s: %d kB resident, %v of CPU for %d packets", l.hosts[i].Name, kB, cpu, sent)
		}
		if cpu > took {
			t.Errorf("node-%s took %v of CPU time in %v", l.hosts[i].Name, cpu, took)
		}
	}
}

// memoryOf is what is resident of a process, in kB.
func memoryOf(t *testing.T, p *lab.Process) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Pid()))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		t.Fatal(errors.New("no VmRSS in /proc"))
	}
	kB, err := strconv.Atoi(fields[0])
	if err != nil {
		t.Fatal(err)
	}
	return kB
}

// cpuOf is the CPU time of a process so far.
func cpuOf(t *testing.T, p *lab.Process) time.Duration {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Pid()))
	if err != nil {
		t.Fatal(err)
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, err1 := strconv.Atoi(fields[11])
	system, err2 := strconv.Atoi(fields[12])
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	return time.Duration(user+system) * 10 * time.Millisecond // in ticks of USER_HZ, which is 100 everywhere
}
