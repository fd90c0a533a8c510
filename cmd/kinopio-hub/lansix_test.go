package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kinopio-hub/kinopio-hub/v3/election/lab"
)

// linkLocalOf is the address that each interface of IPv6 has, without its zone.
func linkLocalOf(t *testing.T, h *lab.Host, netif string) string {
	t.Helper()
	fields := strings.Fields(h.IP("-6", "-o", "addr", "show", "dev", netif, "scope", "link"))
	for i, f := range fields {
		if f == "inet6" {
			address, _, _ := strings.Cut(fields[i+1], "/")
			return address
		}
	}
	t.Fatalf("%s of %s has no link-local address: %v", netif, h.Name, fields)
	return ""
}

// On a network without IPv4 and without a router agents elect a leader, and a program on a follower's
// machine reaches that leader's leaf by TLS, at an address with a zone of its own machine.
func TestHubFollowsTheLeaderByLinkLocalIPv6(t *testing.T) {
	l := newLAN(t, 2)
	base := l.network.Host("backbone")
	sixOnly(l)
	base.IP("-4", "addr", "flush", "dev", "eth0")
	// The same link has another name on the second machine.
	l.hosts[1].IP("link", "set", "eth0", "down")
	l.hosts[1].IP("link", "set", "eth0", "name", "lan7")
	l.hosts[1].IP("link", "set", "lan7", "up")
	server := base.Play("backbone")
	server.Await("ready")
	backbone := linkLocalOf(t, base, "eth0")
	caches := []string{t.TempDir(), t.TempDir()}
	for i, netif := range []string{"eth0", "lan7"} {
		l.flags = []string{"--cache-dir", caches[i], "--discovery-port", "4321", "--backbone-server", fmt.Sprintf("nats://[%s%%25%s]:7422", backbone, netif)}
		l.start(i)
		if i == 0 {
			l.leads([]int{0})
		}
	}
	leader := linkLocalOf(t, l.hosts[0], "eth0")
	l.agents[1].Await(following, `"nodeId":"node-a"`, fmt.Sprintf(`"wssUrl":"wss://[%s%%25lan7]:`, leader))
	root := filepath.Join(caches[0], "kinopio-hub", "leaf-ca", "root-ca.pem")
	if _, err := os.Stat(root); err != nil {
		t.Fatal(err)
	}
	program := l.hosts[1].Play("hub", fmt.Sprintf("nats://[%s%%25lan7]:4222", backbone), "http://127.0.0.1:4321/.well-known/kinopio-leader.json", root)
	program.Await("moved via=leaf planned=true", leader)
	// And where the manifest itself is at such an address.
	u := fmt.Sprintf("https://[%s%%25lan7]:", leader)
	_, rest, ok := strings.Cut(l.agents[1].Said(), u)
	if !ok {
		t.Fatalf("no discoveryUrl at %s:\n%s", u, l.agents[1].Said())
	}
	at, _, _ := strings.Cut(rest, `"`)
	second := l.hosts[1].Play("hub", fmt.Sprintf("nats://[%s%%25lan7]:4222", backbone), u+at, root)
	second.Await("moved via=leaf planned=true", leader)
}
