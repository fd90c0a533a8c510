package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// prefix begins the names of our namespaces; the process and a number follow.
const prefix = "kinopio-lab-"

// commandTimeout ends an ip or tc that hangs.
const commandTimeout = 20 * time.Second

// networks counts the networks of this process.
var networks atomic.Int64

// A Network is some hosts and the switches between them. Its methods fail the test when the
// system refuses, and belong to the test's goroutine.
type Network struct {
	t        testing.TB
	name     string
	switches string          // the namespace of the bridges
	segments map[string]bool // the bridges that there are
	made     []string        // namespaces, in the order they were made

	cables int // made so far
	sites  int
}

// New returns a network without hosts. It calls Need, and removes everything when the test ends.
func New(t testing.TB) *Network {
	t.Helper()
	Need(t)
	leftovers(t)
	n := &Network{t: t, name: fmt.Sprintf("%s%d-%d", prefix, os.Getpid(), networks.Add(1)), segments: map[string]bool{}}
	t.Cleanup(n.remove)
	n.switches = n.namespace("switch")
	n.Segment("lan")
	return n
}

// Segment makes a switch to which cables can be moved. A network begins with "lan". Hosts on
// different segments do not hear each other.
func (n *Network) Segment(name string) {
	n.t.Helper()
	if n.segments[name] {
		return
	}
	// A switch that watches who has joined needs a router that asks; this one passes on all.
	n.ip("-n", n.switches, "link", "add", bridge(name), "type", "bridge", "mcast_snooping", "0", "stp_state", "0")
	n.ip("-n", n.switches, "link", "set", bridge(name), "up")
	n.segments[name] = true
}

func bridge(segment string) string { return "br-" + segment }

func (n *Network) namespace(name string) string {
	n.t.Helper()
	name = n.name + "-" + name
	n.ip("netns", "add", name)
	n.made = append(n.made, name)
	return name
}

func (n *Network) remove() {
	for _, name := range n.made {
		if err := removeNamespace(name); err != nil {
			n.t.Errorf("remove a host of the lab: %v", err)
		}
	}
}

// removeNamespace ends what runs in a namespace, and removes it with its cables.
func removeNamespace(name string) error {
	err := endAll(name)
	_, gone := ip("netns", "del", name)
	return errors.Join(err, gone)
}

// endAll ends what runs in a namespace.
func endAll(name string) error {
	out, err := ip("netns", "pids", name)
	if err != nil {
		return err
	}
	var errs []error
	for _, field := range strings.Fields(out) {
		pid, err := strconv.Atoi(field)
		if err == nil {
			err = kill(pid)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// kill ends a process of ours; that it has just ended is well.
func kill(pid int) error {
	p, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	if err := p.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("end process %d: %w", pid, err)
	}
	return nil
}

// sweeping is held while a process looks for leftovers.
var sweeping sync.Mutex

// leftovers removes the namespaces of test processes that were killed.
func leftovers(t testing.TB) {
	t.Helper()
	sweeping.Lock()
	defer sweeping.Unlock()
	out, err := ip("netns", "list")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out) {
		name, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		if pid, ok := ownerOf(name); ok && !alive(pid) {
			if err := removeNamespace(name); err != nil {
				t.Logf("a leftover of an earlier test, which somebody else may be removing: %v", err)
			}
		}
	}
}

// ownerOf returns the process that made a namespace of ours.
func ownerOf(namespace string) (pid int, ours bool) {
	rest, ours := strings.CutPrefix(namespace, prefix)
	number, _, _ := strings.Cut(rest, "-")
	pid, err := strconv.Atoi(number)
	return pid, ours && err == nil
}

func alive(pid int) bool {
	p, err := os.FindProcess(pid)
	if err != nil {
		return false
	}
	err = p.Signal(syscall.Signal(0))
	return err == nil || errors.Is(err, os.ErrPermission)
}

func (n *Network) ip(args ...string) string {
	n.t.Helper()
	out, err := ip(args...)
	if err != nil {
		n.t.Fatal(err)
	}
	return out
}

func ip(args ...string) (string, error) { return run("ip", args...) }

func run(program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", program, strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}
