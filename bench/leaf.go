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

// What 2.1.0 was measured at once: it is not run here, so ratios to it
// say less than those of sides that take turns.
const recorded = "2.1.0, recorded"

// runLeaf measures the built program.
func runLeaf(ctx context.Context, e *env) error {
	return errors.Join(runStarts(ctx, e), runAuto(ctx, e), runCrowd(ctx, e))
}

// runStarts measures the start to the first line of JSON, and the memory then.
func runStarts(ctx context.Context, e *env) error {
	warm := &result{Suite: "leaf", Work: "start to first JSON, CA there", Unit: "ms", PeerIs: recorded, Must: 100.0 / 653}
	fresh := &result{Suite: "leaf", Work: "start to first JSON, new CA", Unit: "ms", PeerIs: recorded, Must: 150.0 / 921}
	memory := &result{Suite: "leaf", Work: "resident memory, 3 s after its start", Unit: "MB", PeerIs: recorded, Must: 35.0 / 66}
	if !e.wanted(warm.Work) && !e.wanted(fresh.Work) && !e.wanted(memory.Work) {
		return nil
	}
	for i := range e.rounds {
		cache := filepath.Join(e.tmp, fmt.Sprintf("leaf-%d", i))
		took, _, err := startOnce(ctx, e, cache, 0)
		if err != nil {
			return err
		}
		fresh.Ours, fresh.Peer = append(fresh.Ours, took), append(fresh.Peer, 921)
		took, resident, err := startOnce(ctx, e, cache, 3*time.Second)
		if err != nil {
			return err
		}
		warm.Ours, warm.Peer = append(warm.Ours, took), append(warm.Peer, 653)
		memory.Ours, memory.Peer = append(memory.Ours, resident), append(memory.Peer, 66)
	}
	for _, r := range []*result{warm, fresh, memory} {
		if e.wanted(r.Work) {
			e.report.add(r)
		}
	}
	return nil
}

// startOnce starts a leaf and ends it; settle 0 leaves its memory unread.
func startOnce(ctx context.Context, e *env, cache string, settle time.Duration) (took, resident float64, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	cmd, out, err := leafCommand(ctx, e, cache, "--json-lines")
	if err != nil {
		return 0, 0, err
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, 0, err
	}
	lines := bufio.NewReader(out)
	line, err := lines.ReadString('\n')
	took = ms(time.Since(began))
	if err == nil && !strings.Contains(line, `"phase":"running"`) {
		err = fmt.Errorf("first line of the leaf: %s", line)
	}
	if err == nil && settle > 0 {
		time.Sleep(settle)
		resident, err = residentMB(cmd.Process.Pid)
	}
	return took, resident, errors.Join(err, end(cmd, lines))
}

func leafCommand(ctx context.Context, e *env, cache string, more ...string) (*exec.Cmd, io.Reader, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(e.root, "bin/kinopio-hub"), append([]string{"leaf", "start",
		"--discovery-namespace", "bench", "--lan-bind-address", "127.0.0.1", "--cache-dir", cache}, more...)...)
	cmd.Env = append(os.Environ(), "KINOPIO_SKIP_CA_TRUST_INSTALL=1")
	cmd.Stderr = e.log
	out, err := cmd.StdoutPipe()
	return cmd, out, err
}

func end(cmd *exec.Cmd, lines *bufio.Reader) error {
	signalErr := cmd.Process.Signal(os.Interrupt)
	_, readErr := lines.WriteTo(io.Discard)
	return errors.Join(signalErr, readErr, cmd.Wait())
}

func residentMB(pid int) (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(text), "VmRSS:")
	var kB float64
	if _, err := fmt.Sscan(after, &kB); err != nil {
		return 0, fmt.Errorf("VmRSS of %d: %w", pid, err)
	}
	return kB / 1024, nil
}
