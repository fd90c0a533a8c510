package main

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// mostAnswers bounds the answers of --many that wait for the reader, in bytes.
const mostAnswers = 64 << 20

// reqCommand is «kinopio-hub req».
type reqCommand struct {
	terminal terminalFlags
	value    valueFlags
	show     showFlags
	timeout  time.Duration
	many     bool
	count    int
}

func newReqCommand(getenv env) *cobra.Command {
	var c reqCommand
	cmd := &cobra.Command{
		Use:   "req SUBJECT [VALUE]",
		Short: "Ask a function and print its answer",
		Long: `Ask a function and print its answer.

The value is as for pub. Exit code 1 if nobody serves the subject, if no answer comes in time, or if
the service says that it failed.`,
		Example: `  kinopio-hub req robot.status
  kinopio-hub req math.add '[1, 2]' --timeout 10s --json
  kinopio-hub req robot.who --many --timeout 1s`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			header, err := c.value.header()
			if err != nil {
				return err
			}
			if err := c.check(args); err != nil {
				return err
			}
			return c.terminal.session(cmd, getenv, func(s *session) error {
				data, err := c.value.read(s.ctx, args[1:], cmd.InOrStdin())
				if err != nil {
					return err
				}
				return c.run(s, hub.OutMsg{Subject: args[0], Header: header, Data: data}, styleOf(cmd.OutOrStdout(), getenv))
			})
		},
	}
	c.show.addHeaders(cmd)
	c.value.addHeaders(cmd)
	f := cmd.Flags()
	f.DurationVar(&c.timeout, "timeout", 3*time.Second, "time for the answer; with --many, for all answers")
	f.BoolVar(&c.many, "many", false, "print the answers of everybody who answers in time")
	f.IntVar(&c.count, "count", 0, "with --many: so many answers are enough (default: no end)")
	c.terminal.add(cmd)
	return cmd
}

func (c *reqCommand) check(args []string) error {
	if err := c.value.check(args[1:]); err != nil {
		return err
	}
	if err := c.show.check(); err != nil {
		return err
	}
	if err := atLeast("--count", c.count, 0); err != nil {
		return err
	}
	if c.count > 0 && !c.many {
		return &usageError{err: errors.New("--count without --many"), hint: "give both"}
	}
	return positive("--timeout", c.timeout, false)
}

// An inbox has the answers that are still to be printed.
type inbox struct {
	mu       sync.Mutex
	answers  []*hub.Message
	bytes    int
	left     int // that did not fit
	over     bool
	err      error
	nonEmpty chan struct{}
}

// put takes an answer, which is good during the call only. It does not wait.
func (b *inbox) put(m *hub.Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.bytes += len(m.Data); b.bytes > mostAnswers {
		b.left++
		return
	}
	b.answers = append(b.answers, &hub.Message{Subject: m.Subject, Reply: m.Reply, Header: m.Header, Data: bytes.Clone(m.Data)})
	b.wake()
}

func (b *inbox) end(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.over, b.err = true, err
	b.wake()
}

func (b *inbox) wake() {
	select {
	case b.nonEmpty <- struct{}{}:
	default:
	}
}

func (b *inbox) take() (answers []*hub.Message, over bool, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	answers, b.answers, b.bytes = b.answers, nil, 0
	if b.over && b.err == nil && b.left > 0 {
		b.err = fmt.Errorf("%d answers were left out, as nobody took those before them", b.left)
	}
	return answers, b.over, b.err
}

func (c *reqCommand) run(s *session, out hub.OutMsg, style style) error {
	box := &inbox{nonEmpty: make(chan struct{}, 1)}
	var cancel func()
	if c.many {
		cancel = s.hub.RequestMany(out, c.timeout, c.count, box.put, box.end)
	} else {
		cancel = s.hub.Request(out, c.timeout, func(m *hub.Message, err error) {
			if m != nil {
				box.put(m)
			}
			box.end(err)
		})
	}
	defer cancel()
	for {
		select {
		case <-box.nonEmpty:
		case <-s.ctx.Done():
			return s.interrupted()
		}
		answers, over, err := box.take()
		for _, m := range answers {
			m.Subject = out.Subject // Theirs is an inbox.
			if _, err := s.out.Write(c.show.show(m, time.Now(), style)); err != nil {
				return s.interrupted()
			}
		}
		if over {
			return c.explain(out.Subject, err)
		}
	}
}

// explain puts what came of a request in words.
func (c *reqCommand) explain(subject string, err error) error {
	var failed *hub.ServiceError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, hub.ErrNoResponders):
		return &hinted{fmt.Errorf("nobody serves %s", subject), "start it, see that it is on the same system, and look at the subject: kinopio-hub ls"}
	case errors.Is(err, hub.ErrTimeout):
		return &hinted{fmt.Errorf("no answer to %s within %v", subject, c.timeout), "somebody listens, and may be slow: --timeout"}
	case errors.As(err, &failed):
		return fmt.Errorf("%s answers with the error %s: %s", subject, oneLine(failed.Code), oneLine(failed.Message))
	}
	return fmt.Errorf("ask %s: %w", subject, err)
}
