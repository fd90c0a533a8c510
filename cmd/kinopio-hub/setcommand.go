package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// variable is the one of subject, which has a scope and a name.
func (s *session) variable(subject string) (*hub.Variable, error) {
	i := strings.LastIndexByte(subject, '.')
	if i < 0 {
		return nil, &usageError{err: fmt.Errorf("subject %q: want a scope and a name with a dot between them", subject), hint: "give one such as robot.battery"}
	}
	s.mine(subject)
	return s.hub.Scope(subject[:i]).Variable(subject[i+1:]), nil
}

// known waits until it is known what v's value is, or that it has none.
func (s *session) known(v *hub.Variable, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(s.ctx, timeout)
	defer cancel()
	err := v.Ready(ctx)
	if err == nil || s.ctx.Err() == nil {
		return err
	}
	return s.interrupted()
}

// setCommand is «kinopio-hub set».
type setCommand struct {
	terminal terminalFlags
	value    valueFlags
	remove   bool
	hold     bool
	timeout  time.Duration
}

func newSetCommand(getenv env) *cobra.Command {
	var c setCommand
	cmd := &cobra.Command{
		Use:   "set SUBJECT VALUE",
		Short: "Set the value of a variable, for those who come later, too",
		Long: `Set the value of a variable: whoever follows it has it, and so has who comes later.

The value lives as long as somebody knows it: a page or a program that follows the variable, or a
keeper (kinopio-hub keep, or a leaf that keeps). With --hold this command stays, and is one who knows
it, until Ctrl-C. The value is JSON if it can be read as JSON, else a string; - reads it from
standard input.`,
		Example: `  kinopio-hub set light.state '{"on": true}'
  kinopio-hub set light.name Desk --hold
  kinopio-hub set light.state --delete`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.check(args); err != nil {
				return err
			}
			return c.terminal.session(cmd, getenv, func(s *session) error {
				data, err := c.value.read(s.ctx, args[1:], cmd.InOrStdin())
				if err != nil {
					return err
				}
				return c.run(s, args[0], data)
			})
		},
	}
	c.value.add(cmd)
	f := cmd.Flags()
	f.BoolVar(&c.remove, "delete", false, "take the value away instead")
	f.BoolVar(&c.hold, "hold", false, "stay until Ctrl-C, so that the value is known as long")
	f.DurationVar(&c.timeout, "timeout", 10*time.Second, "time for the server to have it")
	c.terminal.add(cmd)
	return cmd
}

func (c *setCommand) check(args []string) error {
	switch {
	case c.remove && (len(args) > 1 || c.value.raw || c.value.text):
		return &usageError{err: errors.New("--delete with a value"), hint: "give one or the other"}
	case c.remove && c.hold:
		return &usageError{err: errors.New("--delete with --hold"), hint: "give one of them"}
	case !c.remove && len(args) < 2 && !c.value.raw:
		return &usageError{err: errors.New("no value is given"), hint: "give one, - for standard input, or --delete"}
	}
	if err := c.value.check(args[1:]); err != nil {
		return err
	}
	return positive("--timeout", c.timeout, false)
}

func (c *setCommand) run(s *session, subject string, data []byte) error {
	v, err := s.variable(subject)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(s.ctx, c.timeout)
	defer cancel()
	if c.remove {
		err = v.Delete(ctx)
	} else {
		err = v.Set(ctx, data)
	}
	if err == nil {
		err = s.hub.Flush(ctx)
	}
	if err != nil {
		return fmt.Errorf("set %s: %w", subject, err)
	}
	switch {
	case c.hold:
		s.note("%s is set, and known here until Ctrl-C", subject)
		s.wait()
	case !c.remove && s.forgotten(ctx, subject):
		s.warn("nobody else knows %s, so its value ends with this command: set it with --hold, or run kinopio-hub keep", subject)
	}
	return nil
}

// forgotten closes the hub, and looks with another one whether anybody knows a value then.
func (s *session) forgotten(ctx context.Context, subject string) bool {
	s.hub.Close()
	h, err := hub.Open(ctx, s.conf)
	if err != nil {
		return false // Nothing is known of it.
	}
	defer h.Close()
	i := strings.LastIndexByte(subject, '.')
	v := h.Scope(subject[:i]).Variable(subject[i+1:])
	if v.Ready(ctx) != nil {
		return false
	}
	m := v.Meta()
	return m.Known && !m.Exists
}

// getCommand is «kinopio-hub get».
type getCommand struct {
	terminal terminalFlags
	show     showFlags
	timeout  time.Duration
}

func newGetCommand(getenv env) *cobra.Command {
	var c getCommand
	cmd := &cobra.Command{
		Use:   "get SUBJECT",
		Short: "Print the present value of a variable",
		Long: `Print the present value of a variable, as it was set. Exit code 1 if it has none: nobody who is
connected knows one. What was published, and not set, is no value for those who come later.`,
		Example: `  kinopio-hub get light.state
  kinopio-hub get light.state --raw | jq .on`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := c.show.check(); err != nil {
				return err
			}
			if err := positive("--timeout", c.timeout, false); err != nil {
				return err
			}
			return c.terminal.session(cmd, getenv, func(s *session) error {
				return c.run(s, args[0], styleOf(cmd.OutOrStdout(), getenv))
			})
		},
	}
	c.show.add(cmd)
	cmd.Flags().DurationVar(&c.timeout, "timeout", 5*time.Second, "time to learn the value")
	c.terminal.add(cmd)
	return cmd
}

func (c *getCommand) run(s *session, subject string, style style) error {
	v, err := s.variable(subject)
	if err != nil {
		return err
	}
	if err := s.known(v, c.timeout); err != nil {
		return fmt.Errorf("get %s: %w", subject, err)
	}
	if !v.Meta().Exists {
		return &hinted{fmt.Errorf("%s has no value", subject),
			"a value is known as long as a program that follows it lives, or a keeper: kinopio-hub keep, or set --hold"}
	}
	data, _ := v.Value().([]byte) // nil: the empty value
	_, err = s.out.Write(c.show.value(subject, data, true, time.Now(), style))
	return err
}

// value is a value for f; of one that does not exist, that it does not. Alone it needs no subject before it.
func (f *showFlags) value(subject string, data []byte, exists bool, now time.Time, style style) []byte {
	switch {
	case f.raw && exists:
		return rawFor(data, style)
	case f.raw:
		return nil
	case f.json:
		d := messageDocument{Subject: subject, Exists: &exists, Time: now.UTC()}
		if exists {
			d.Value, d.Base64 = jsonValue(data)
		}
		return jsonLine(d)
	}
	return []byte(valueText(data, style.terminal) + "\n")
}
