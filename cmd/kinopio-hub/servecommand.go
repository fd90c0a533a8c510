package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

const (
	serveDrain = 5 * time.Second        // For what has come before the end.
	serveWait  = 500 * time.Millisecond // For the output of what a command has left behind.
)

// serveCommand is «kinopio-hub serve».
type serveCommand struct {
	terminal    terminalFlags
	exec        string
	shell       bool
	value       string
	concurrency int
	timeout     time.Duration
	rawOutput   bool
	queue       string
	command     []string
}

func newServeCommand(getenv env) *cobra.Command {
	var c serveCommand
	cmd := &cobra.Command{
		Use:   "serve SUBJECT (--exec COMMAND | --value VALUE) [-- ARGUMENT…]",
		Short: "Answer requests with a command's output, or with a value",
		Long: `Answer requests with a command's output, or with a value, until Ctrl-C.

The command has the request on its standard input, and in its environment KINOPIO_SUBJECT and each
header as KINOPIO_HEADER_NAME, in upper case with _ for what is no letter or digit. Its output,
without the end of the last line, is the answer; a command that fails or takes longer than --timeout
is an error for who asks. What it prints on standard error goes to that of serve, and not to who asks.

COMMAND is a program and arguments without quotes; arguments that need them go after --. No shell is
asked unless --shell is given: then COMMAND is a line of it.
Anybody who may publish on SUBJECT runs the command: mind what it does with its input.`,
		Example: `  kinopio-hub serve host.time --exec 'date -u'
  kinopio-hub serve text.sorted --exec sort -- -k 2
  kinopio-hub serve host.load --shell --exec 'cut -d " " -f 1 /proc/loadavg'
  kinopio-hub serve robot.version --value '"1.4"'`,
		Args: func(cmd *cobra.Command, args []string) error {
			if n := cmd.ArgsLenAtDash(); n != 1 && (n >= 0 || len(args) != 1) {
				return errors.New("want one subject; arguments of the command go after --")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.check(args[1:], cmd.Flags().Changed("exec"), cmd.Flags().Changed("value")); err != nil {
				return err
			}
			return c.terminal.session(cmd, getenv, func(s *session) error { return c.run(s, args[0]) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&c.exec, "exec", "", "command whose output is the answer")
	f.BoolVar(&c.shell, "shell", false, "the command is a line of the shell")
	f.StringVar(&c.value, "value", "", "answer with this value, JSON or a string")
	f.IntVar(&c.concurrency, "concurrency", 4, "commands that run side by side; more requests wait")
	f.DurationVar(&c.timeout, "timeout", 30*time.Second, "time that a command has")
	f.BoolVar(&c.rawOutput, "raw-output", false, "answer with the output byte by byte; otherwise the end of its last line is left out")
	f.StringVar(&c.queue, "queue", "", "share the requests with services of this queue group (default: all of the subject)")
	c.terminal.add(cmd)
	return cmd
}

func (c *serveCommand) check(arguments []string, executes, answers bool) error {
	fail := func(hint, format string, args ...any) error {
		return &usageError{err: fmt.Errorf(format, args...), hint: hint}
	}
	switch {
	case executes == answers:
		return fail("give --exec COMMAND or --value VALUE", "want one of --exec and --value")
	case answers && (c.shell || len(arguments) > 0):
		return fail("they are for --exec", "--value with --shell or arguments")
	}
	if err := atLeast("--concurrency", c.concurrency, 1); err != nil {
		return err
	}
	if err := positive("--timeout", c.timeout, false); err != nil || answers {
		return err
	}
	switch {
	case strings.TrimSpace(c.exec) == "":
		return fail("name a program", "--exec %q: want a command", c.exec)
	case c.shell && len(arguments) > 0:
		return fail("write them into the line", "--shell with arguments")
	case c.shell:
		c.command = shellCommand(c.exec)
		return nil
	case strings.ContainsAny(c.exec, "\"'`\\$|&;<>*?()"):
		return fail("give arguments that need quotes after --, or ask the shell with --shell", "--exec %q: it has characters of a shell, and no shell is asked", c.exec)
	}
	c.command = append(strings.Fields(c.exec), arguments...)
	program, err := exec.LookPath(c.command[0])
	if err != nil {
		return fail("name a program that is on the PATH, or its file", "--exec %q: %w", c.exec, err)
	}
	c.command[0] = program
	return nil
}

func (c *serveCommand) run(s *session, subject string) error {
	v, err := s.variable(subject)
	if err != nil {
		return err
	}
	sub, err := v.Serve(s.ctx, func(ctx context.Context, m *hub.Message) (any, error) {
		if c.command == nil {
			return []byte(c.value), nil
		}
		return c.answer(ctx, s, m)
	}, hub.ServeOptions{Concurrency: c.concurrency, Queue: c.queue})
	if err != nil {
		return fmt.Errorf("serve %s: %w", subject, err)
	}
	s.note("serving %s at %s. Ctrl-C ends it.", subject, s.server())
	s.wait()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(s.ctx), serveDrain)
	defer cancel()
	if err := sub.Drain(ctx); err != nil {
		s.warn("not all requests were answered: %v", err)
	}
	return nil
}

// answer runs the command for one request. ctx ends with the hub.
func (c *serveCommand) answer(ctx context.Context, s *session, m *hub.Message) (any, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	most := s.hub.Status().MaxPayload
	if most == 0 {
		most = 1 << 20 // There is no connection at the moment: what servers take.
	}
	out := &bounded{most: most}
	cmd := exec.CommandContext(ctx, c.command[0], c.command[1:]...)
	ownGroup(cmd)
	said := &noted{s: s}
	cmd.Stdin, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = bytes.NewReader(m.Data), out, said, serveWait
	cmd.Env = append(os.Environ(), requestEnvironment(m)...)
	err := cmd.Run()
	if cmd.Process != nil {
		endGroup(cmd)
	}
	said.end()
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, fmt.Errorf("the command took longer than %v", c.timeout)
	case out.over:
		return nil, fmt.Errorf("the command's output has more than %d bytes", most)
	case ctx.Err() != nil:
		return nil, errors.New("the service has ended")
	case errors.Is(err, exec.ErrWaitDelay): // Something that it has started in the background had its output, and has ended now.
	case err != nil && cmd.ProcessState == nil:
		s.warn("serve %s: %v", m.Subject, err) // With paths, which are nobody else's.
		return nil, errors.New("the command could not be started")
	case err != nil:
		return nil, fmt.Errorf("the command failed: %v", cmd.ProcessState)
	}
	data := out.b.Bytes()
	if !c.rawOutput {
		data = bytes.TrimSuffix(bytes.TrimSuffix(data, []byte("\n")), []byte("\r"))
	}
	return slices.Clip(data), nil
}

// bounded takes what fits into a message.
type bounded struct {
	b    bytes.Buffer
	most int
	over bool
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.b.Len()+len(p) > b.most {
		b.over = true
		return 0, io.ErrShortWrite // The command hears of it as of a pipe that is closed.
	}
	return b.b.Write(p)
}

// noted says what a command prints on standard error, line by line.
type noted struct {
	s    *session
	line []byte
}

const longestNote = 4 << 10

func (n *noted) Write(p []byte) (int, error) {
	for _, c := range p {
		if c == '\n' || len(n.line) == longestNote {
			n.end()
		}
		if c != '\n' {
			n.line = append(n.line, c)
		}
	}
	return len(p), nil
}

func (n *noted) end() {
	if len(n.line) > 0 {
		n.s.say("%s", n.line)
		n.line = n.line[:0]
	}
}

// requestEnvironment is what a command learns of its request beside the payload.
func requestEnvironment(m *hub.Message) []string {
	environment := []string{"KINOPIO_SUBJECT=" + noNUL(m.Subject)}
	names := make([]string, 0, len(m.Header))
	for name := range m.Header {
		names = append(names, name)
	}
	slices.Sort(names) // Of two that become the same one, always the same counts.
	for _, name := range names {
		variable := strings.Map(func(r rune) rune {
			switch {
			case r >= 'a' && r <= 'z':
				return r - 'a' + 'A'
			case r >= 'A' && r <= 'Z' || r >= '0' && r <= '9':
				return r
			}
			return '_'
		}, name)
		environment = append(environment, "KINOPIO_HEADER_"+variable+"="+noNUL(strings.Join(m.Header[name], ", ")))
	}
	return environment
}

// noNUL: no variable can have one.
func noNUL(text string) string { return strings.ReplaceAll(text, "\x00", "\uFFFD") }
