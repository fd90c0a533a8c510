package lab

import (
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// A Host is a namespace with a loopback interface and its interfaces on the LAN, of which the
// first is eth0. Its methods fail the test when the system refuses, and belong to the test's
// goroutine.
type Host struct {
	Name string
	// Address is that of eth0; invalid for a host that has only lo.
	Address netip.Addr

	t         testing.TB
	network   *Network
	namespace string
	cables    map[string]cable // by the interface's name
}

// A cable leads from an interface to a port of the switches.
type cable struct {
	port      string
	address   netip.Prefix
	cut, down bool
}

// Host makes a host on the segment "lan", with the next address of 10.77.0.0/24 and no default
// route.
func (n *Network) Host(name string) *Host {
	n.t.Helper()
	h := n.Lonely(name)
	h.Address = h.Plug("eth0", "lan")
	return h
}

// Lonely makes a host that has only lo.
func (n *Network) Lonely(name string) *Host {
	n.t.Helper()
	h := &Host{Name: name, t: n.t, network: n, namespace: n.namespace(name), cables: map[string]cable{}}
	h.ip("link", "set", "lo", "up")
	return h
}

// Plug adds an interface with a cable to a segment, and returns its address: the next one of
// 10.77.0.0/24 on "lan", of 10.78.0.0/24 elsewhere.
func (h *Host) Plug(netif, segment string) netip.Addr {
	h.t.Helper()
	n := h.network
	n.Segment(segment)
	n.cables++
	if n.cables > 254 {
		n.t.Fatal("the lab has addresses for 254 cables a network")
	}
	third := 77
	if segment != "lan" {
		third = 78
	}
	c := cable{
		port:    fmt.Sprintf("port%d", n.cables),
		address: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(third), 0, byte(n.cables)}), 24),
	}
	n.ip("-n", n.switches, "link", "add", c.port, "type", "veth", "peer", "name", netif, "netns", h.namespace)
	n.ip("-n", n.switches, "link", "set", c.port, "master", bridge(segment), "up")
	h.ip("addr", "add", c.address.String(), "dev", netif)
	h.ip("link", "set", netif, "up")
	h.cables[netif] = c
	h.settle(netif)
	return c.address.Addr()
}

// Unplug removes an interface, as when a USB adapter is drawn.
func (h *Host) Unplug(netif string) {
	h.t.Helper()
	h.cable(netif)
	h.ip("link", "del", netif)
	delete(h.cables, netif)
}

// Move puts the cable of eth0 into another segment: a partition of the LAN, and with "lan" its
// end. The host notices nothing of it by itself.
func (h *Host) Move(segment string) {
	h.t.Helper()
	h.network.Segment(segment)
	h.network.ip("-n", h.network.switches, "link", "set", h.cable("eth0").port, "master", bridge(segment))
	h.settle("eth0")
}

// Cut draws the cable of eth0 at the switch: the host sees an interface without carrier.
func (h *Host) Cut() {
	h.t.Helper()
	c := h.cable("eth0")
	c.cut = true
	h.network.ip("-n", h.network.switches, "link", "set", c.port, "down")
	h.cables["eth0"] = c
}

// Heal puts the cable in again.
func (h *Host) Heal() {
	h.t.Helper()
	c := h.cable("eth0")
	c.cut = false
	h.network.ip("-n", h.network.switches, "link", "set", c.port, "up")
	h.cables["eth0"] = c
	h.settle("eth0")
}

// Down turns eth0 off in the host itself.
func (h *Host) Down() {
	h.t.Helper()
	c := h.cable("eth0")
	c.down = true
	h.ip("link", "set", "eth0", "down")
	h.cables["eth0"] = c
}

// Up turns eth0 on again.
func (h *Host) Up() {
	h.t.Helper()
	c := h.cable("eth0")
	c.down = false
	h.ip("link", "set", "eth0", "up")
	h.cables["eth0"] = c
	h.settle("eth0")
}

// Flap turns eth0 off and on, as often as said, each state lasting as long as said.
func (h *Host) Flap(times int, each time.Duration) {
	h.t.Helper()
	for range times {
		h.Down()
		time.Sleep(each)
		h.Up()
		time.Sleep(each)
	}
}

// Readdress gives an interface another address, with its length of prefix, and takes the
// old one away.
func (h *Host) Readdress(netif string, to netip.Prefix) {
	h.t.Helper()
	c := h.cable(netif)
	h.ip("addr", "flush", "dev", netif)
	h.ip("addr", "add", to.String(), "dev", netif)
	c.address = to
	h.cables[netif] = c
	if netif == "eth0" {
		h.Address = to.Addr()
	}
}

// Impair delays each packet that eth0 sends, and loses some, in per cent. It returns an error
// where the kernel has no netem.
func (h *Host) Impair(delay time.Duration, loss float64) error {
	h.t.Helper()
	h.cable("eth0")
	_, err := run("tc", "-n", h.namespace, "qdisc", "replace", "dev", "eth0", "root", "netem",
		"delay", fmt.Sprintf("%dus", delay.Microseconds()), "loss", fmt.Sprintf("%g%%", loss))
	return err
}

// Command returns a command that runs in the host. It is not started, and ends with ctx.
func (h *Host) Command(ctx context.Context, program string, args ...string) *exec.Cmd {
	return exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", h.namespace, program}, args...)...)
}

// IP runs ip in the host and returns what it prints.
func (h *Host) IP(args ...string) string {
	h.t.Helper()
	return h.ip(args...)
}

func (h *Host) ip(args ...string) string {
	h.t.Helper()
	return h.network.ip(append([]string{"-n", h.namespace}, args...)...)
}

// settle waits until the kernel has noticed that a cable is in, which takes it up to a second
// in which the switch passes on nothing.
func (h *Host) settle(netif string) {
	h.t.Helper()
	c := h.cable(netif)
	if c.cut || c.down {
		return
	}
	var port, near string
	for start := time.Now(); time.Since(start) < commandTimeout; time.Sleep(10 * time.Millisecond) {
		port = h.network.ip("-n", h.network.switches, "-o", "-d", "link", "show", "dev", c.port)
		near = h.ip("-o", "link", "show", "dev", netif)
		if strings.Contains(port, " state forwarding ") && strings.Contains(port, " state UP ") && strings.Contains(near, " state UP ") {
			return
		}
	}
	h.t.Fatalf("the cable of %s does not come up:\n%s\n%s", h.Name, port, near)
}

func (h *Host) cable(netif string) cable {
	h.t.Helper()
	c, ok := h.cables[netif]
	if !ok {
		h.t.Fatalf("the host %s has no interface %s", h.Name, netif)
	}
	return c
}
