package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// AwaitTimeout is how long Await waits: generous, for loaded machines.
const AwaitTimeout = 30 * time.Second

// roleVariable tells a test binary that it is to play a role.
const roleVariable = "KINOPIO_LAB_ROLE"

// A Role is what a test binary does in a host. Lines that the test says arrive on in, which is
// closed at the end; what the role prints on out the test awaits, line by line. ctx ends when
// the test is over, also when it was killed. An error is printed and fails the process.
type Role func(ctx context.Context, args []string, in <-chan string, out io.Writer) error

// Main plays the role that the process was started for, and does not return then. In the
// process of the tests themselves it returns at once.
func Main(roles map[string]Role) {
	name, ok := os.LookupEnv(roleVariable)
	if !ok {
		return
	}
	role := roles[name]
	if role == nil {
		fmt.Fprintf(os.Stderr, "error: this test binary has no role %q\n", name)
		os.Exit(2)
	}
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	in := make(chan string)
	go func() { // ends with the process
		defer cancel()
		defer close(in)
		for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
			select {
			case in <- lines.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	if err := role(ctx, os.Args[1:], in, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "error: role %s: %v\n", name, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// A Process runs in a host. Its methods belong to the test's goroutine.
type Process struct {
	name  string
	t     testing.TB
	cmd   *exec.Cmd
	stdin io.WriteCloser
	ended chan struct{} // closed when the process has ended, and all that it said is known
	err   error         // after ended

	mu    sync.Mutex
	lines []string
	news  chan struct{} // closed and replaced with each line
	read  int           // lines that Await has passed
}

// Play starts the test binary in a role, see Main.
func (h *Host) Play(role string, args ...string) *Process {
	h.t.Helper()
	self, err := os.Executable()
	if err != nil {
		h.t.Fatal(err)
	}
	cmd := h.Command(context.Background(), self, args...)
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	return h.Start(role, cmd)
}

// Start starts a command of Host.Command. It is ended with the test.
func (h *Host) Start(name string, cmd *exec.Cmd) *Process {
	h.t.Helper()
	p := &Process{name: name + " on " + h.Name, t: h.t, cmd: cmd, ended: make(chan struct{}), news: make(chan struct{})}
	out, err := cmd.StdoutPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	if p.stdin, err = cmd.StdinPipe(); err != nil {
		h.t.Fatal(err)
	}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		h.t.Fatalf("start %s: %v", p.name, err)
	}
	go func() {
		defer close(p.ended)
		for r := bufio.NewReader(out); ; {
			line, err := r.ReadString('\n')
			if line != "" {
				p.heard(strings.TrimRight(line, "\n"))
			}
			if err != nil {
				break
			}
		}
		if p.err = cmd.Wait(); p.err != nil || stderr.Len() > 0 {
			p.heard("(" + strings.TrimSpace(fmt.Sprintln("ended:", p.err, stderr.String())) + ")")
		}
	}()
	h.t.Cleanup(func() { p.end(h.namespace) })
	return p
}

func (p *Process) heard(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lines = append(p.lines, line)
	close(p.news)
	p.news = make(chan struct{})
}

// Say writes a line to the standard input.
func (p *Process) Say(line string) {
	p.t.Helper()
	if _, err := io.WriteString(p.stdin, line+"\n"); err != nil {
		p.t.Fatalf("say %q to %s: %v\n%s", line, p.name, err, p.Said())
	}
}

// Await returns the next line, after those that earlier Awaits passed, that contains all the
// parts. It fails the test when the process ends before, or after AwaitTimeout.
func (p *Process) Await(parts ...string) string {
	p.t.Helper()
	line, err := p.next(AwaitTimeout, parts...)
	if err != nil {
		p.t.Fatalf("%s: %v\n%s", p.name, err, p.Said())
	}
	return line
}

// Within is Await with a bound, after which ok is false and the test goes on.
func (p *Process) Within(d time.Duration, parts ...string) (line string, ok bool) {
	line, err := p.next(d, parts...)
	return line, err == nil
}

// Silent fails the test if a line with all the parts comes within d.
func (p *Process) Silent(d time.Duration, parts ...string) {
	p.t.Helper()
	if line, err := p.next(d, parts...); err == nil {
		p.t.Fatalf("%s said %q, want nothing with %q\n%s", p.name, line, parts, p.Said())
	}
}

// Forget passes all lines that were said until now.
func (p *Process) Forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.read = len(p.lines)
}

func (p *Process) next(limit time.Duration, parts ...string) (string, error) {
	timeout := time.NewTimer(limit)
	defer timeout.Stop()
	for over := false; ; {
		p.mu.Lock()
		for p.read < len(p.lines) {
			line := p.lines[p.read]
			p.read++
			if containsAll(line, parts) {
				p.mu.Unlock()
				return line, nil
			}
		}
		news := p.news
		p.mu.Unlock()
		if over {
			return "", fmt.Errorf("ended without a line with %q", parts)
		}
		select {
		case <-news:
		case <-p.ended:
			over = true // and look once more
		case <-timeout.C:
			return "", fmt.Errorf("no line with %q within %v", parts, limit)
		}
	}
}

func containsAll(line string, parts []string) bool {
	for _, part := range parts {
		if !strings.Contains(line, part) {
			return false
		}
	}
	return true
}

// Said returns everything that the process has printed, for a message of failure.
func (p *Process) Said() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.lines, "\n")
}

// Pid is the process's number. (ip netns exec becomes the program that it runs.)
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Kill ends the process without a word, as a power cut does.
func (p *Process) Kill() {
	p.t.Helper()
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatalf("kill %s: %v", p.name, err)
	}
	<-p.ended
}

// Stop closes the standard input and waits for the end, of which it fails the test if it is
// none or bad.
func (p *Process) Stop() {
	p.t.Helper()
	if err := p.stdin.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		p.t.Fatalf("stop %s: %v", p.name, err)
	}
	select {
	case <-p.ended:
		if p.err != nil {
			p.t.Fatalf("%s: %v\n%s", p.name, p.err, p.Said())
		}
	case <-time.After(AwaitTimeout):
		p.t.Fatalf("%s does not end\n%s", p.name, p.Said())
	}
}

// end is for the end of the test. What the process itself has started ends too, as everything
// on the host.
func (p *Process) end(namespace string) {
	err := p.cmd.Process.Kill()
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	if err := errors.Join(err, endAll(namespace)); err != nil {
		p.t.Errorf("end %s: %v", p.name, err)
	}
	select {
	case <-p.ended:
	case <-time.After(AwaitTimeout):
		p.t.Errorf("%s was killed, but something holds its output", p.name)
	}
	if p.t.Failed() {
		p.t.Logf("%s said:\n%s", p.name, p.Said())
	}
}
