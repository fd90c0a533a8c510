package e2e

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"
)

func freePort(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return fmt.Sprint(ln.Addr().(*net.TCPAddr).Port)
}

// A leaf is killed at random moments of its start, every fifth time while the CA is being
// made; each time the next start works, in the same directories and on the same ports.
// KINOPIO_KILLS is how often, if not 50 times.
func TestKillAtAnyMomentDoesNotHinderTheNextStart(t *testing.T) {
	program, kills := artefacts(t).program, 50
	if text := os.Getenv("KINOPIO_KILLS"); text != "" {
		var err error
		if kills, err = strconv.Atoi(text); err != nil {
			t.Fatalf("KINOPIO_KILLS: %v", err)
		}
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	args := []string{"leaf", "start", "--discovery-namespace", "e2e", "--lan-bind-address", "127.0.0.1", "--json-lines", "--runtime-dir", t.TempDir()}
	for _, role := range []string{"client", "websocket", "discovery", "monitor"} {
		args = append(args, "--"+role+"-port", freePort(t))
	}
	cache := t.TempDir()
	for i := range kills {
		if i%5 == 0 {
			cache = t.TempDir()
		}
		all := append(args, "--cache-dir", cache)
		killed := exec.Command(program, all...)
		if err := killed.Start(); err != nil {
			t.Fatal(err)
		}
		until := 80_000
		if i%2 == 0 {
			until = 25_000 // What a start takes.
		}
		after := time.Duration(random.IntN(until)) * time.Microsecond
		time.AfterFunc(after, func() { _ = killed.Process.Kill() })
		_ = killed.Wait()

		next := run(t, nil, program, all...)
		awaitLeaf(t, next, fmt.Sprintf("start %d, after a kill at %v", i, after), running)
		_ = next.cmd.Process.Kill()
		next.drain()
		<-next.ended
	}
}

// A leaf in a network of its own, whose interface gets another address.
func TestLeafFollowsItsInterfaceToAnotherAddress(t *testing.T) {
	tool(t, "unshare", "util-linux")
	ip := tool(t, "ip", "iproute2")
	const setup = `ip link set lo up && ip link add lan0 type veth peer name lan1 && ip addr add 192.168.77.2/24 dev lan0 && ip link set lan1 up && ip link set lan0 up && exec "$@"`
	leaf := run(t, nil, "unshare", "-n", "sh", "-c", setup, "sh", artefacts(t).program, "leaf", "start",
		"--discovery-namespace", "e2e", "--cache-dir", t.TempDir(), "--json-lines")
	before := awaitLeaf(t, leaf, "start", running)
	if before.LANBindAddress != "192.168.77.2" {
		t.Fatalf("the leaf is at %s", before.LANBindAddress)
	}
	inside := func(args ...string) {
		t.Helper()
		all := append([]string{"-t", fmt.Sprint(leaf.cmd.Process.Pid), "-n"}, args...)
		if out, err := exec.Command("nsenter", all...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, out)
		}
	}
	begin := time.Now()
	inside(ip, "addr", "add", "192.168.78.9/24", "dev", "lan0")
	inside(ip, "addr", "del", "192.168.77.2/24", "dev", "lan0")
	after := awaitLeaf(t, leaf, "the new address", func(s leafStatus) bool { return s.Phase == "running" && s.LANBindAddress == "192.168.78.9" })
	t.Logf("moved after %v", time.Since(begin).Round(time.Millisecond))
	if after.Ports["websocket"] != before.Ports["websocket"] || !strings.HasPrefix(after.WSSURL, "wss://192.168.78.9:") {
		t.Errorf("before %+v, after %+v", before, after)
	}
	inside("curl", "--silent", "--fail", "--cacert", after.TLS.CACertFile, after.DiscoveryURL) // The certificate names the new address.
}
