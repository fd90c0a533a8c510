package e2e

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience is how long a test waits for something that must happen.
const patience = 20 * time.Second

// process is a child of the test, with its output line by line.
type process struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.WriteCloser
	lines chan string // standard output; closed at its end
	ended chan struct{}
	err   error // of Wait; read after ended is closed

	mu     sync.Mutex
	stderr bytes.Buffer
}

// run starts a program with extra environment variables, and ends it with the test.
func run(t *testing.T, env []string, program string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(program, args...), lines: make(chan string, 4096), ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stderr = p
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if p.stdin, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", program, err)
	}
	go func() {
		defer close(p.ended)
		scan := bufio.NewScanner(stdout)
		scan.Buffer(nil, 1<<20)
		for scan.Scan() {
			p.lines <- scan.Text()
		}
		close(p.lines)
		p.err = p.cmd.Wait()
	}()
	t.Cleanup(func() { p.end() })
	return p
}

// Write takes standard error.
func (p *process) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stderr.Write(b)
}

func (p *process) complaints() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stderr.String()
}

// end asks the process to end as Ctrl-C does, returns how long that took, and fails the test
// when it has to be killed.
func (p *process) end() time.Duration {
	p.t.Helper()
	begin := time.Now()
	select {
	case <-p.ended:
		return 0
	default:
	}
	_ = p.cmd.Process.Signal(os.Interrupt) // it may have ended just now
	p.drain()
	select {
	case <-p.ended:
	case <-time.After(10 * time.Second):
		p.t.Errorf("%s did not end within 10 s of an interrupt; killed", p.cmd.Path)
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
	return time.Since(begin)
}

// drain throws the rest of the output away, so that the process is never held up by it.
func (p *process) drain() {
	go func() {
		for range p.lines {
		}
	}()
}

// exitCode waits for the end of the process and returns its exit code.
func (p *process) exitCode() int {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	p.drain()
	select {
	case <-p.ended:
	case <-ctx.Done():
		p.t.Fatalf("%s %s is still running after %v; it said: %s", p.cmd.Path, strings.Join(p.cmd.Args[1:], " "), patience, p.complaints())
	}
	return p.cmd.ProcessState.ExitCode()
}

// alive says whether a process with this id runs. One that has ended and only waits for its
// parent to notice does not.
func alive(pid int) bool {
	if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil {
		_, state, _ := strings.Cut(string(stat), ") ")
		return !strings.HasPrefix(state, "Z")
	}
	p, err := os.FindProcess(pid)
	return err == nil && p.Signal(syscall.Signal(0)) == nil
}
