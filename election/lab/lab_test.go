package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	Main(map[string]Role{"peer": PeerRole, "echo": echo, "fails": fails, "listener": listen, "dialer": dial})
	goleak.VerifyTestMain(m)
}

func echo(ctx context.Context, args []string, in <-chan string, out io.Writer) error {
	fmt.Fprintln(out, "arguments", args)
	for line := range in {
		fmt.Fprintln(out, "echo", line)
	}
	return nil
}

func fails(context.Context, []string, <-chan string, io.Writer) error { return io.ErrUnexpectedEOF }

const echoPort = "4777"

func listen(ctx context.Context, _ []string, _ <-chan string, out io.Writer) error {
	l, err := net.Listen("tcp4", ":"+echoPort)
	if err != nil {
		return err
	}
	fmt.Fprintln(out, "ready")
	<-ctx.Done()
	return l.Close()
}

// dial tells of each address whether the listener there can be reached.
func dial(_ context.Context, _ []string, in <-chan string, out io.Writer) error {
	for address := range in {
		conn, err := net.DialTimeout("tcp4", net.JoinHostPort(address, echoPort), 1500*time.Millisecond)
		if err != nil {
			fmt.Fprintln(out, "cut from", address, err)
			continue
		}
		fmt.Fprintln(out, "reached", address)
		if err := conn.Close(); err != nil {
			return err
		}
	}
	return nil
}

func TestRolesRunInTheirHosts(t *testing.T) {
	t.Parallel()
	h := New(t).Host("a")
	p := h.Play("echo", "one", "two")
	p.Await("arguments [one two]")
	p.Say("hello")
	p.Await("echo hello")
	p.Silent(10*time.Millisecond, "echo")
	p.Stop()
	bad := h.Play("fails")
	bad.Await("ended", io.ErrUnexpectedEOF.Error())
	p = h.Play("echo")
	p.Await("arguments")
	p.Kill()
	if out := h.IP("-o", "link", "show"); strings.Count(out, "\n") != 2 {
		t.Errorf("the host has other interfaces than lo and eth0:\n%s", out)
	}
}

func TestPartitionsAndCutsAreSuch(t *testing.T) {
	t.Parallel()
	n := New(t)
	a, b, c := n.Host("a"), n.Host("b"), n.Host("c")
	dialers := map[*Host]*Process{}
	for _, h := range []*Host{a, b, c} {
		h.Play("listener").Await("ready")
		dialers[h] = h.Play("dialer")
	}
	reaches := func(from, to *Host, want bool) {
		t.Helper()
		dialers[from].Say(to.Address.String())
		if line := dialers[from].Await(to.Address.String()); strings.HasPrefix(line, "reached") != want {
			t.Errorf("%s and %s: %s", from.Name, to.Name, line)
		}
	}
	both := func(x, y *Host, want bool) { t.Helper(); reaches(x, y, want); reaches(y, x, want) }
	both(a, b, true)
	a.Move("island")
	both(a, b, false)
	c.Move("island")
	both(a, c, true)
	a.Move("lan")
	both(a, b, true)
	both(a, c, false)
	b.Cut()
	both(a, b, false)
	b.Heal()
	both(a, b, true)
	b.Down()
	reaches(a, b, false)
	b.Up()
	both(a, b, true)
	b.Flap(2, 10*time.Millisecond)
	both(a, b, true)
}

func TestImpairmentDelaysOrSaysThatItCannot(t *testing.T) {
	t.Parallel()
	h := New(t).Host("a")
	if err := h.Impair(30*time.Millisecond, 5); err != nil {
		if !strings.Contains(err.Error(), "netem") {
			t.Errorf("the error is %v, want it to name netem", err)
		}
		return
	}
	out, err := run("tc", "-n", h.namespace, "qdisc", "show", "dev", "eth0")
	if err != nil || !strings.Contains(out, "delay 30ms loss 5%") {
		t.Errorf("the qdisc is %q, %v", out, err)
	}
}

func TestNothingIsLeftBehind(t *testing.T) {
	Need(t)
	// A process that has ended made these, as far as the names tell.
	ended := exec.Command("true")
	if err := ended.Run(); err != nil {
		t.Fatal(err)
	}
	leftover := fmt.Sprintf("%s%d-1-lost", prefix, ended.Process.Pid)
	if _, err := ip("netns", "add", leftover); err != nil {
		t.Fatal(err)
	}
	var name string
	t.Run("network", func(t *testing.T) {
		n := New(t)
		name = n.name
		h := n.Host("a")
		h.Play("echo").Await("arguments")
		if out, err := ip("netns", "list"); err != nil || !strings.Contains(out, name) || strings.Contains(out, leftover) {
			t.Errorf("there are %q, %v; want %s, not %s", out, err, name, leftover)
		}
	})
	if out, err := ip("netns", "list"); err != nil || strings.Contains(out, name+"-") {
		t.Errorf("there are %q, %v", out, err)
	}
}

func TestPeersOf210HearEachOther(t *testing.T) {
	t.Parallel()
	n := New(t)
	a := n.Host("a").Play("peer", "-node", "a")
	b := n.Host("b").Play("peer", "-node", "b")
	c := n.Host("c").Play("peer", "-node", "c", "-namespace", "another")
	for _, p := range []*Process{a, b, c} {
		p.Await("ready")
	}
	a.Say("lead 3 wss://10.77.0.1:8443 12")
	b.Await("heard node=a role=leader leader=true epoch=3 wss=wss://10.77.0.1:8443 rtt=12")
	b.Await("heard node=a") // and again
	b.Say("follow 3")
	a.Await("heard node=b role=follower leader=false epoch=3 wss= rtt=null")
	a.Say("silence")
	time.Sleep(100 * time.Millisecond)
	b.Forget()
	b.Silent(1500*time.Millisecond, "node=a")
	c.Silent(time.Millisecond, "heard")
}

func TestAHeartbeatHasTheBytesOf210(t *testing.T) {
	rtt := 12
	at := time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.UTC)
	leader := Heartbeat{
		LeaderEpoch: 7, AdvertisedHostname: "mac.local", WebSocketURL: "wss://mac.local:8443", WSSURL: "wss://mac.local:8443",
		DiscoveryURL: "https://mac.local:8444/.well-known/kinopio-leader.json", BridgeState: "connected", BackboneRTTms: &rtt,
		FallbackServers: []string{"nats://b:7422"}, NodeID: "n1", DiscoveryNamespace: "studio", IsLeader: true, CandidateRole: "leader",
	}
	got, err := leader.encode(at)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"kind":"kinopio-auto-leaf-heartbeat","protocolVersion":1,"sentAt":"2026-01-02T03:04:05.678Z","version":"1","expiresAt":"2026-01-02T03:04:09.678Z","leaderEpoch":7,"advertisedHostname":"mac.local","websocketUrl":"wss://mac.local:8443","wssUrl":"wss://mac.local:8443","discoveryUrl":"https://mac.local:8444/.well-known/kinopio-leader.json","fallbackServers":["nats://b:7422"],"bridgeState":"connected","backboneRttMs":12,"leaseExpiresAt":"2026-01-02T03:04:09.678Z","nodeId":"n1","discoveryNamespace":"studio","isLeader":true,"candidateRole":"leader"}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	follower := Heartbeat{NodeID: "n2", DiscoveryNamespace: "studio", CandidateRole: "follower"}
	got, err = follower.encode(at)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(got, &fields); err != nil {
		t.Fatal(err)
	}
	if _, has := fields["leaseExpiresAt"]; has || fields["backboneRttMs"] != nil || fields["expiresAt"] != "2026-01-02T03:04:10.678Z" {
		t.Errorf("a follower says %s", got)
	}
	for _, tt := range []struct{ from, to, wrong string }{
		{"kinopio-auto-leaf-heartbeat", "other", "kind"}, {`"protocolVersion":1`, `"protocolVersion":2`, "protocolVersion"},
		{`"studio"`, `"stage"`, "discoveryNamespace"}, {`"n1"`, `""`, "nodeId"}, {"{", "[", "heartbeat"}, {`"version"`, `"later":1,"version"`, ""},
	} {
		_, err := decode([]byte(strings.Replace(want, tt.from, tt.to, 1)), "studio")
		if (err == nil) != (tt.wrong == "") || err != nil && !strings.Contains(err.Error(), tt.wrong) {
			t.Errorf("%s: %v, want something about %q", tt.to, err, tt.wrong)
		}
	}
}

func TestALineThatIsNoneIsRefused(t *testing.T) {
	for _, line := range []string{"", "lead", "lead 1", "lead x wss://h:1", "lead 1 wss://h:1 fast", "follow", "follow x", "dance"} {
		if h, err := scripted(line, "n"); err == nil {
			t.Errorf("%q is %+v", line, h)
		}
	}
}
