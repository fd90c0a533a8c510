package main

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/kinopio-hub/kinopio-hub/v3/election/lab"
)

// named starts leaf auto on a host that looks the names of all hosts up in a file of its own.
func named(t *testing.T, h *lab.Host, node, hosts string, more ...string) *lab.Process {
	args := append([]string{"-m", "sh", "-c", `mount --bind "$0" /etc/hosts && exec kinopio-hub leaf auto --discovery-namespace test --json-lines --parent-pipe "$@"`,
		hosts, "--node-id", node, "--cache-dir", t.TempDir()}, more...)
	return h.Start("leaf auto", h.Command(context.Background(), "unshare", args...))
}

// On a LAN behind a carrier's NAT agents need no flags.
func TestLeafAutoOnALANWithSharedAddresses(t *testing.T) {
	l := newLAN(t, 3)
	for i, h := range l.hosts {
		h.Readdress("eth0", netip.MustParsePrefix(fmt.Sprintf("100.72.0.%d/16", i+1)))
	}
	l.gather()
	leads, _ := l.agree()
	l.agents[(leads+1)%3].Await(following, "100.72.0.")
	l.drop((*lab.Process).Stop)
}

// On a LAN with public addresses they are told where to listen, and are found by their names.
func TestLeafAutoOnALANWithPublicAddresses(t *testing.T) {
	network := lab.New(t)
	hosts := filepath.Join(t.TempDir(), "hosts")
	text := "127.0.0.1 localhost\n"
	var all []*lab.Host
	for i, name := range []string{"a", "b"} {
		h := network.Host(name)
		h.Readdress("eth0", netip.MustParsePrefix(fmt.Sprintf("203.0.113.%d/24", i+1)))
		text += fmt.Sprintf("%s node-%s.local\n", h.Address, name)
		all = append(all, h)
	}
	if err := os.WriteFile(hosts, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	start := func(i int) *lab.Process {
		node := "node-" + all[i].Name
		return named(t, all[i], node, hosts, "--lan-bind-address", all[i].Address.String(), "--advertised-hostname", node+".local")
	}
	first := start(0)
	first.Await(leading, "wss://node-a.local:")
	second := start(1)
	second.Await(following, `"nodeId":"node-a"`, "wss://node-a.local:")
	// Who only follows needs no flags.
	third := named(t, all[1], "node-c", hosts)
	third.Await(following, `"nodeId":"node-a"`)
	first.Kill()
	second.Await(leading)
}

// Nobody is there but agents whose LAN has public addresses: it is said which flag helps.
func TestLeafAutoSaysWhyItIsReachableHereOnly(t *testing.T) {
	host := lab.New(t).Host("a")
	host.IP("-6", "addr", "flush", "dev", "eth0")
	host.Readdress("eth0", netip.MustParsePrefix("203.0.113.1/24"))
	p := auto(t, host, "node-a")
	p.Await(leading, "wss://127.0.0.1:", "reachable on this machine only", "203.0.113.1", "--lan-bind-address")
}
