package engine

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// program is a child process with all that it starts.
type program struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has ended and its output is read

	mu   sync.Mutex
	last []string // lines of its output, the newest ones
}

// said are the last lines kept of a program's output.
const said = 40

// start starts a program with further environment variables. Each line of its output goes to hear.
func start(env []string, hear func(line string), path string, args ...string) (*program, error) {
	p := &program{cmd: exec.Command(path, args...), ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	together(p.cmd)
	reader, writer, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	p.cmd.Stdout, p.cmd.Stderr = writer, writer
	err = p.cmd.Start()
	writer.Close()
	if err != nil {
		reader.Close()
		return nil, fmt.Errorf("start %s: %w", path, err)
	}
	go func() {
		defer close(p.ended)
		defer reader.Close()
		scan := bufio.NewScanner(reader)
		scan.Buffer(nil, 1<<20)
		for scan.Scan() {
			p.mu.Lock()
			p.last = append(p.last[max(0, len(p.last)-said+1):], scan.Text())
			p.mu.Unlock()
			if hear != nil {
				hear(scan.Text())
			}
		}
		_, _ = io.Copy(io.Discard, reader) // after a line that is too long
		_ = p.cmd.Wait()                   // that it has ended is all that matters
	}()
	return p, nil
}

// words is the end of what the program has said.
func (p *program) words() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.last, "\n")
}

// end ends the program and all that it has started. It asks, and after 5 s it forces.
func (p *program) end() error {
	ask(p.cmd)
	select {
	case <-p.ended:
		return nil
	case <-time.After(5 * time.Second):
	}
	force(p.cmd)
	select {
	case <-p.ended:
		return nil
	case <-time.After(5 * time.Second):
		return fmt.Errorf("end %s: it still runs 5 s after it was killed", p.cmd.Path)
	}
}

// told waits for the first line for which find gives something, of a program that hands its lines to lines.
func told(ctx context.Context, p *program, what string, found <-chan string) (string, error) {
	select {
	case line := <-found:
		return line, nil
	case <-p.ended:
		return "", fmt.Errorf("%s has ended before it told %s; it said:\n%s", p.cmd.Path, what, p.words())
	case <-ctx.Done():
		return "", fmt.Errorf("%s did not tell %s: %w; it said:\n%s", p.cmd.Path, what, context.Cause(ctx), p.words())
	}
}

// once is a hear that sends the first non-empty result of find.
func once(find func(line string) string) (hear func(string), found chan string) {
	found = make(chan string, 1)
	return func(line string) {
		if result := find(line); result != "" {
			select {
			case found <- result:
			default: // only the first counts
			}
		}
	}, found
}
