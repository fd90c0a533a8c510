package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
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

// siteLeaf starts one at a fixed port, so that leaves of two sites have one URL, and waits until it knows its public address.
func siteLeaf(t *testing.T, backbone *lab.Host, h *lab.Host, node string, flags ...string) *lab.Process {
	t.Helper()
	program, err := exec.LookPath("kinopio-hub")
	if err != nil {
		t.Fatal(err)
	}
	args := append([]string{"leaf", "start", "--discovery-namespace", "studio", "--node-id", node, "--json-lines", "--parent-pipe", "--websocket-port", "4443",
		"--backbone-server", "nats-leaf://" + backbone.Address.String() + ":7422", "--cache-dir", t.TempDir(), "--runtime-dir", t.TempDir()}, flags...)
	p := h.Start("leaf "+node, h.Command(context.Background(), program, args...))
	line := p.Await(`"phase":"running"`, `"bridgeState":"connected"`)
	var status struct{ DiscoveryURL string }
	if err := json.Unmarshal([]byte(line), &status); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(lab.AwaitTimeout); ; time.Sleep(50 * time.Millisecond) {
		manifest, err := h.Command(t.Context(), "curl", "-ksf", "--max-time", "10", status.DiscoveryURL).Output()
		if err == nil && strings.Contains(string(manifest), `"publicAddresses":["203.0.113.`) {
			return p
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s does not know its public address: %v: %s", node, err, manifest)
		}
	}
}

// Two sites with the same namespace and the same private addresses: who comes goes to a leaf of its own site, with nothing
// configured and nothing trusted before, and back when it stops.
func TestGuestsOfSitesBehindNATFindTheirOwnLeaf(t *testing.T) {
	const secret = "a secret of this test"
	network := lab.New(t)
	backbone := network.Public("backbone", 1)
	backbone.Play("backbone").Await("ready")
	north, south := network.Site("north"), network.Site("south")
	flags := []string{"--tickets", "--namespace-secret", secret}
	leaves := map[string][]*lab.Process{
		"north": {siteLeaf(t, backbone, north.Host(10), "north-a", flags...), siteLeaf(t, backbone, north.Host(11), "north-b", flags...)},
		"south": {siteLeaf(t, backbone, south.Host(10), "south-a", flags...)},
	}
	out, err := exec.Command("kinopio-hub", "leaf", "key", "--discovery-namespace", "studio", "--namespace-secret", secret).Output()
	if err != nil {
		t.Fatal(err)
	}
	key := strings.TrimSpace(string(out))
	for _, site := range []*lab.Site{north, south} {
		var guests []*lab.Process
		for i := range 3 {
			args := []string{"nats://" + backbone.Address.String() + ":4222", "studio", key}
			if i == 2 {
				args = args[:2] // It believes who answers.
			}
			g := site.Host(100+i).Play("guest", args...)
			line := g.Await("moved via=leaf planned=true", "to=wss://192.168.1.1", "err=<nil>")
			t.Logf("%s: %s", site.Name, strings.TrimSpace(line))
			guests = append(guests, g)
		}
		for _, l := range leaves[site.Name] {
			l.Stop()
		}
		for _, g := range guests {
			g.Await("moved via=configured planned=true", "err=<nil>")
		}
	}
}
