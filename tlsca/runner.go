package tlsca

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

// Runner runs the programs that edit trust stores.
type Runner interface {
	// Find returns the path of a program, or an error that wraps [ErrNoTool].
	Find(name string) (string, error)
	// Run runs c until it ends or ctx does, and returns its standard output. A
	// program that fails is a *[CommandError].
	Run(ctx context.Context, c Command) ([]byte, error)
}

// Command is one call of a program.
type Command struct {
	Path string
	Args []string
	// Terminal gives it this process's terminal, so that it may ask for a password.
	Terminal bool
}

func (c Command) String() string { return strings.Join(append([]string{c.Path}, c.Args...), " ") }

// CommandError shows what ran and what it said.
type CommandError struct {
	Command Command
	Said    string // The last lines of its standard error.
	Err     error
}

func (e *CommandError) Error() string {
	text := fmt.Sprintf("run %s: %v", e.Command, e.Err)
	if e.Said != "" {
		text += ": " + e.Said
	}
	return text
}

func (e *CommandError) Unwrap() error { return e.Err }

// afterKill is for how long the output of a killed program is waited for: a child of
// its own may hold it open.
const afterKill = 200 * time.Millisecond

// system runs programs of this machine.
type system struct{}

func (system) Find(name string) (string, error) {
	if path := findSystemTool(name); path != "" {
		return path, nil
	}
	path, err := exec.LookPath(name)
	if err == nil {
		return path, nil
	}
	// Where programs for administrators are, which a user's PATH often lacks.
	for _, dir := range []string{"/usr/sbin/", "/sbin/", "/usr/local/sbin/"} {
		if path, err := exec.LookPath(dir + name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s: %w", name, ErrNoTool)
}

func (system) Run(ctx context.Context, c Command) ([]byte, error) {
	cmd := exec.CommandContext(ctx, c.Path, c.Args...)
	cmd.WaitDelay = afterKill
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if c.Terminal {
		cmd.Stdin, cmd.Stderr = os.Stdin, os.Stderr
	}
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("took too long: %w", err)
		}
		return stdout.Bytes(), &CommandError{Command: c, Said: lastLines(stderr.String()), Err: err}
	}
	return stdout.Bytes(), nil
}

// lastLines is the end of what a program said, in one line.
func lastLines(said string) string {
	const most = 300
	said = strings.Join(strings.Fields(said), " ")
	if len(said) > most {
		said = "…" + strings.ToValidUTF8(said[len(said)-most:], "")
	}
	return said
}
