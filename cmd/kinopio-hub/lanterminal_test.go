package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kinopio-hub/kinopio-hub/v3/election/lab"
	"github.com/kinopio-hub/kinopio-hub/v3/tlsca"
)

// toolOn runs the program on a host that trusts the root of a cache directory.
func toolOn(t *testing.T, h *lab.Host, cache string, args ...string) *tool {
	t.Helper()
	program, err := exec.LookPath("kinopio-hub")
	if err != nil {
		t.Fatal(err)
	}
	cmd := h.Command(t.Context(), program, args...)
	cmd.Env = append(cleanEnvironment(), "KINOPIO_LEAF_CACHE_DIR="+cache)
	return startToolAs(t, cmd)
}

// With a namespace alone the leaf on the LAN is found, believed by its certificate, and when its machine dies the command goes
// on at the next one.
func TestTerminalFindsTheLeafOnTheLAN(t *testing.T) {
	cache := t.TempDir()
	l := newLAN(t, 3, "--cache-dir", cache)
	l.start(0)
	l.leads([]int{0})
	l.start(1)
	l.agree()
	at := func(i int) string { return "wss://" + l.hosts[i].Address.String() + ":" }
	program := l.hosts[2]
	sub := toolOn(t, program, cache, "sub", "robot.>", "--discovery-namespace", "test", "--count", "2")
	sub.await("listening to robot.> at " + at(0))
	pub := func(cache string, args ...string) (said string, code int) {
		t.Helper()
		_, said, code = toolOn(t, program, cache, append([]string{"pub", "robot.v", "1", "--discovery-namespace", "test"}, args...)...).end()
		return said, code
	}
	if said, code := pub(cache); code != 0 {
		t.Fatalf("exit code %d\n%s", code, said)
	}
	if got := sub.line(); got != "robot.v  1" {
		t.Errorf("%q", got)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "cannot be trusted"},
		{[]string{"--discovery-namespace", "other"}, `no leaf of "other" was heard on the LAN within 5s`},
	} {
		if said, code := pub(t.TempDir(), c.args...); code != exitError || !strings.Contains(said, c.want) || !strings.Contains(said, "hint: ") {
			t.Errorf("%q: exit code %d, want %q\n%s", c.args, code, c.want, said)
		}
	}
	l.agents[0].Kill()
	sub.await("connected again, to " + at(1))
	root := filepath.Join(tlsca.Dir(cache), "root-ca.pem")
	if said, code := pub(t.TempDir(), "--ca-file", root); code != 0 {
		t.Errorf("exit code %d\n%s", code, said)
	}
	out, said, code := sub.end()
	t.Logf("sub said:\n%s", said)
	if code != 0 || out != "robot.v  1\n" {
		t.Errorf("exit code %d, %q\n%s", code, out, said)
	}
}

// What the environment has for other servers is not shown to whoever is on the LAN, and what was given for it is.
func TestTerminalShowsALeafOnTheLANOnlyWhatWasGivenForIt(t *testing.T) {
	cache, secret := t.TempDir(), filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(secret, []byte("a token of this test"), 0o600); err != nil {
		t.Fatal(err)
	}
	l := newLAN(t, 2, "--cache-dir", cache, "--access-token-file", secret)
	l.start(0)
	l.leads([]int{0})
	run := func(args ...string) (said string, code int) {
		t.Helper()
		program, err := exec.LookPath("kinopio-hub")
		if err != nil {
			t.Fatal(err)
		}
		cmd := l.hosts[1].Command(t.Context(), program, append([]string{"pub", "robot.v", "1", "--discovery-namespace", "test"}, args...)...)
		cmd.Env = append(cleanEnvironment(), "KINOPIO_LEAF_CACHE_DIR="+cache, "NATS_TOKEN=a token of this test")
		_, said, code = startToolAs(t, cmd).end()
		return said, code
	}
	if said, code := run(); code != exitError || !strings.Contains(said, "uthoriz") {
		t.Errorf("with the environment's token: exit code %d\n%s", code, said)
	}
	if said, code := run("--token-file", secret); code != 0 {
		t.Errorf("with a token that was given: exit code %d\n%s", code, said)
	}
}

func TestTerminalTrustsNoLeafWithoutTLS(t *testing.T) {
	l := newLAN(t, 2, "--no-websocket-tls")
	l.start(0)
	l.leads([]int{0})
	_, said, code := toolOn(t, l.hosts[1], t.TempDir(), "sub", "robot.>", "--discovery-namespace", "test").end()
	if code != exitError || !strings.Contains(said, "it has no TLS") || !strings.Contains(said, "hint: name a server: --server") {
		t.Errorf("exit code %d\n%s", code, said)
	}
}

// With a server and a namespace the command moves to the leaf as a page does, and back when it goes, and nothing is lost or repeated.
func TestTerminalMovesToTheLeafThroughItsSession(t *testing.T) {
	cache := t.TempDir()
	l := newLAN(t, 2, "--cache-dir", cache)
	base := l.network.Host("backbone")
	base.Play("backbone").Await("ready")
	server := "nats://" + base.Address.String() + ":4222"
	l.flags = append(l.flags, "--backbone-server", "nats://"+base.Address.String()+":7422")
	l.start(0)
	l.leads([]int{0})
	sub := toolOn(t, l.hosts[1], cache, "sub", "robot.v", "--server", server, "--discovery-namespace", "test", "--count", "3")
	sub.await("moved to wss://" + l.hosts[0].Address.String())
	pub := func(value string) {
		t.Helper()
		if _, said, code := toolOn(t, base, cache, "pub", "robot.v", value, "--server", "nats://127.0.0.1:4222").end(); code != 0 {
			t.Fatalf("exit code %d\n%s", code, said)
		}
	}
	pub("1")
	if got := sub.line(); got != "robot.v  1" {
		t.Errorf("%q", got)
	}
	p := l.agents[0]
	l.agents[0] = nil
	p.Stop()
	sub.await("moved to " + server)
	pub("2")
	pub("3")
	if out, said, code := sub.end(); code != 0 || out != "robot.v  2\nrobot.v  3\n" {
		t.Errorf("exit code %d, %q\n%s", code, out, said)
	}
}
