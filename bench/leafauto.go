package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// runAuto measures two agents of leaf auto that have nothing to do: what the leader takes of
// the processor, and the memory of the follower. They are in a network of their own.
func runAuto(ctx context.Context, e *env) (err error) {
	busy := &result{Suite: "leaf", Work: "processor of leaf auto, leading, 30 s", Unit: "%", PeerIs: recorded, Must: 0.3 / 0.5}
	idle := &result{Suite: "leaf", Work: "processor of leaf auto, following, 30 s", Unit: "%", PeerIs: recorded, Must: 0.3 / 0.5}
	memory := &result{Suite: "leaf", Work: "resident memory of a follower", Unit: "MB", PeerIs: recorded, Must: 25.0 / 53}
	if !e.wanted(busy.Work) && !e.wanted(idle.Work) && !e.wanted(memory.Work) {
		return nil
	}
	fmt.Fprintln(e.log, "leaf:", idle.Work)
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	network := exec.CommandContext(ctx, "unshare", "-n", "sh", "-c", "ip link set lo up && echo up && exec cat")
	in, err := network.StdinPipe()
	if err != nil {
		return err
	}
	up, err := network.StdoutPipe()
	if err != nil {
		return err
	}
	if err := network.Start(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close(), network.Wait()) }()
	if _, err := bufio.NewReader(up).ReadString('\n'); err != nil {
		return fmt.Errorf("make a network (as root, with util-linux and iproute2): %w", err)
	}
	leader, err := startAgent(ctx, e, network.Process.Pid, "leader")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, leader.end()) }()
	if err := leader.await(`"state":"leader"`); err != nil {
		return err
	}
	follower, err := startAgent(ctx, e, network.Process.Pid, "follower")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, follower.end()) }()
	if err := follower.await(`"state":"following-leader"`); err != nil {
		return err
	}
	agents := []*agent{leader, follower}
	for _, a := range agents {
		go func() { _, _ = io.Copy(io.Discard, a.lines) }()
	}
	if err := wait(ctx, 3*time.Second); err != nil {
		return err
	}
	before := make([]time.Duration, len(agents))
	for i, a := range agents {
		if before[i], err = processorTime(a.cmd.Process.Pid); err != nil {
			return err
		}
	}
	began := time.Now()
	if err := wait(ctx, 30*time.Second); err != nil {
		return err
	}
	for i, a := range agents {
		after, err := processorTime(a.cmd.Process.Pid)
		if err != nil {
			return err
		}
		r := []*result{busy, idle}[i]
		r.Ours, r.Peer = []float64{100 * float64(after-before[i]) / float64(time.Since(began))}, []float64{0.5}
	}
	resident, err := residentMB(follower.cmd.Process.Pid)
	if err != nil {
		return err
	}
	memory.Ours, memory.Peer = []float64{resident}, []float64{53}
	for _, r := range []*result{busy, idle, memory} {
		e.report.add(r)
	}
	return nil
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

type agent struct {
	cmd   *exec.Cmd
	lines *bufio.Reader
}

func startAgent(ctx context.Context, e *env, network int, node string) (*agent, error) {
	cmd := exec.CommandContext(ctx, "nsenter", "-t", fmt.Sprint(network), "-n", filepath.Join(e.root, "bin/kinopio-hub"), "leaf", "auto",
		"--discovery-namespace", "bench", "--node-id", node, "--cache-dir", filepath.Join(e.tmp, node), "--json-lines")
	cmd.Env = append(os.Environ(), "KINOPIO_SKIP_CA_TRUST_INSTALL=1")
	cmd.Stderr = e.log
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	return &agent{cmd, bufio.NewReader(out)}, cmd.Start()
}

// await reads until a line has the text.
func (a *agent) await(text string) error {
	for {
		line, err := a.lines.ReadString('\n')
		if err != nil {
			return fmt.Errorf("%s has not come: %w", text, err)
		}
		if strings.Contains(line, text) {
			return nil
		}
	}
}

func (a *agent) end() error {
	return errors.Join(a.cmd.Process.Signal(os.Interrupt), a.cmd.Wait())
}

// processorTime sums what all threads ran, in nanoseconds: /proc/PID/stat counts in hundredths
// of a second, too coarse for three thousandths of thirty.
func processorTime(pid int) (time.Duration, error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err != nil {
		return 0, err
	}
	if len(tasks) == 0 {
		return 0, fmt.Errorf("process %d has no threads", pid)
	}
	var sum time.Duration
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if err != nil {
			return 0, err
		}
		var ran int64
		if _, err := fmt.Sscan(string(text), &ran); err != nil {
			return 0, fmt.Errorf("%s: %w", task, err)
		}
		sum += time.Duration(ran)
	}
	return sum, nil
}
