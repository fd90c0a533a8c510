package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/election/lab"
	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// playGuest is a program that knows a server and a namespace, and trusts no CA: args are these, and the namespace's key if
// it has one. It says where it goes, and how long after it was connected.
func playGuest(ctx context.Context, args []string, in <-chan string, out io.Writer) error {
	discovery := hub.Discovery{Enabled: true, Namespace: args[1]}
	if len(args) > 2 {
		discovery.NamespaceKey = args[2]
	}
	h, err := hub.Open(ctx, hub.Config{Servers: []string{args[0]}, Discovery: discovery})
	if err != nil {
		return err
	}
	defer h.Close()
	h.OnDiscovery(func(d hub.DiscoveryStatus) { fmt.Fprintf(out, "discovery %s %s\n", d.State, d.Detail) })
	if err := h.Connected(ctx); err != nil {
		return err
	}
	began := time.Now()
	h.OnMove(func(m hub.Move) {
		fmt.Fprintf(out, "moved via=%s planned=%v to=%s after=%v err=%v\n", m.Via, m.Planned, m.To, time.Since(began).Round(time.Millisecond), m.Err)
	})
	if s := h.Status(); s.Via == "leaf" { // Before anybody looked.
		fmt.Fprintf(out, "moved via=%s planned=true to=%s after=%v err=<nil>\n", s.Via, s.Server, time.Since(began).Round(time.Millisecond))
	}
	for range in {
	}
	return nil
}

// A sites is places behind NAT of their own, and an internet between them with a backbone.
type sites struct {
	t        *testing.T
	network  *lab.Network
	backbone *lab.Host
	routers  int
}

const (
	internetOfSites = "203.0.113." // A documentation network (RFC 5737), which no program takes for private.
	backboneOfSites = internetOfSites + "1"
)

func newSites(t *testing.T) *sites {
	t.Helper()
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skipf("this test makes NAT; the Debian package nftables brings nft: %v", err)
	}
	s := &sites{t: t, network: lab.New(t)}
	s.backbone = s.network.Lonely("backbone")
	s.plug(s.backbone, "eth0", "internet", backboneOfSites)
	return s
}

func (s *sites) plug(h *lab.Host, netif, segment, address string) {
	s.t.Helper()
	h.Plug(netif, segment)
	h.Readdress(netif, netip.MustParsePrefix(address+"/24"))
}

// site makes a LAN behind NAT, and returns how to make a host with a last number there. All sites have the same addresses inside.
func (s *sites) site(name string) (host func(last int) *lab.Host) {
	s.t.Helper()
	s.routers++
	router := s.network.Lonely("router-" + name)
	s.plug(router, "wan", "internet", fmt.Sprint(internetOfSites, 10+s.routers))
	s.plug(router, "inside", name, "192.168.1.1")
	s.in(router, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
	s.in(router, "nft", "add table ip nat; add chain ip nat out { type nat hook postrouting priority 100; }; add rule ip nat out oifname wan masquerade")
	return func(last int) *lab.Host {
		h := s.network.Lonely(fmt.Sprint(name, last))
		s.plug(h, "eth0", name, fmt.Sprint("192.168.1.", last))
		h.IP("route", "add", "default", "via", "192.168.1.1")
		return h
	}
}

func (s *sites) in(h *lab.Host, program string, args ...string) {
	s.t.Helper()
	if out, err := h.Command(s.t.Context(), program, args...).CombinedOutput(); err != nil {
		s.t.Fatalf("%s %q: %v: %s", program, args, err, out)
	}
}

// leaf starts one at a fixed port, so that leaves of two sites have one URL, and waits until it knows its public address.
func (s *sites) leaf(h *lab.Host, node string, flags ...string) *lab.Process {
	s.t.Helper()
	program, err := exec.LookPath("kinopio-hub")
	if err != nil {
		s.t.Fatal(err)
	}
	args := append([]string{"leaf", "start", "--discovery-namespace", "studio", "--node-id", node, "--json-lines", "--parent-pipe", "--websocket-port", "4443",
		"--backbone-server", "nats-leaf://" + backboneOfSites + ":7422", "--cache-dir", s.t.TempDir(), "--runtime-dir", s.t.TempDir()}, flags...)
	p := h.Start("leaf "+node, h.Command(context.Background(), program, args...))
	line := p.Await(`"phase":"running"`, `"bridgeState":"connected"`)
	var status struct{ DiscoveryURL string }
	if err := json.Unmarshal([]byte(line), &status); err != nil {
		s.t.Fatal(err)
	}
	for deadline := time.Now().Add(lab.AwaitTimeout); ; time.Sleep(50 * time.Millisecond) {
		manifest, err := h.Command(s.t.Context(), "curl", "-ksf", "--max-time", "10", status.DiscoveryURL).Output()
		if err == nil && strings.Contains(string(manifest), `"publicAddresses":["`+internetOfSites) {
			return p
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("%s does not know its public address: %v: %s", node, err, manifest)
		}
	}
}

// Two sites with the same namespace and the same private addresses: who comes goes to a leaf of its own site, with nothing
// configured and nothing trusted before, and back when it stops.
func TestGuestsOfSitesBehindNATFindTheirOwnLeaf(t *testing.T) {
	const secret = "a secret of this test"
	s := newSites(t)
	s.backbone.Play("backbone").Await("ready")
	north, south := s.site("north"), s.site("south")
	flags := []string{"--tickets", "--namespace-secret", secret}
	leaves := map[string][]*lab.Process{
		"north": {s.leaf(north(10), "north-a", flags...), s.leaf(north(11), "north-b", flags...)},
		"south": {s.leaf(south(10), "south-a", flags...)},
	}
	out, err := exec.Command("kinopio-hub", "leaf", "key", "--discovery-namespace", "studio", "--namespace-secret", secret).Output()
	if err != nil {
		t.Fatal(err)
	}
	key := strings.TrimSpace(string(out))
	for name, host := range map[string]func(int) *lab.Host{"north": north, "south": south} {
		var guests []*lab.Process
		for i := range 3 {
			args := []string{"nats://" + backboneOfSites + ":4222", "studio", key}
			if i == 2 {
				args = args[:2] // It believes who answers.
			}
			g := host(100+i).Play("guest", args...)
			line := g.Await("moved via=leaf planned=true", "to=wss://192.168.1.1", "err=<nil>")
			t.Logf("%s: %s", name, strings.TrimSpace(line))
			guests = append(guests, g)
		}
		for _, l := range leaves[name] {
			l.Stop()
		}
		for _, g := range guests {
			g.Await("moved via=configured planned=true", "err=<nil>")
		}
	}
}
