package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// watchCommand is «kinopio-hub watch».
type watchCommand struct {
	terminal terminalFlags
	show     showFlags
	count    int
	timeout  time.Duration
}

func newWatchCommand(getenv env) *cobra.Command {
	var c watchCommand
	cmd := &cobra.Command{
		Use:   "watch SUBJECT…",
		Short: "Print the present values of variables, and then each change",
		Long: `Print the present values of variables, and then each change, until Ctrl-C: the first line of each
says what it is, or that there is none. Each has one subject, without wildcards: what is published
on many is printed by kinopio-hub sub.`,
		Example: `  kinopio-hub watch light.state light.name
  kinopio-hub watch light.state --json`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, subjects []string) error {
			if err := c.show.check(); err != nil {
				return err
			}
			if err := atLeast("--count", c.count, 0); err != nil {
				return err
			}
			if err := positive("--timeout", c.timeout, true); err != nil {
				return err
			}
			return c.terminal.session(cmd, getenv, func(s *session) error {
				return c.run(s, subjects, styleOf(cmd.OutOrStdout(), getenv))
			})
		},
	}
	c.show.add(cmd)
	f := cmd.Flags()
	f.IntVar(&c.count, "count", 0, "end after so many lines (default: no end)")
	f.DurationVar(&c.timeout, "timeout", 0, "end after this time; with --count it is an error if fewer have come (default: no end)")
	c.terminal.add(cmd)
	return cmd
}

func (c *watchCommand) run(s *session, subjects []string, style style) error {
	var mu sync.Mutex
	seen := 0
	defer s.stopAfter(c.timeout, errEnough)()
	subjects = slices.Compact(slices.Sorted(slices.Values(subjects)))
	for _, subject := range subjects {
		v, err := s.variable(subject)
		if err != nil {
			return err
		}
		_, err = v.OnChange(func(change hub.Change) {
			mu.Lock()
			defer mu.Unlock()
			if c.count > 0 && seen == c.count {
				return
			}
			data, _ := change.Value.([]byte) // nil: the empty value
			if _, err := s.out.Write(c.line(subject, data, change.Exists, style)); err != nil {
				return // The command ends.
			}
			if seen++; seen == c.count {
				s.end(errEnough)
			}
		})
		if err != nil {
			return fmt.Errorf("watch %s: %w", subject, err)
		}
	}
	s.note("watching %s at %s. Ctrl-C ends it.", strings.Join(subjects, ", "), s.server())
	s.wait()
	mu.Lock()
	defer mu.Unlock()
	if c.count > 0 && seen < c.count && s.interrupted() == nil {
		return fmt.Errorf("%d of %d lines came within %v", seen, c.count, c.timeout)
	}
	return nil
}

func (c *watchCommand) line(subject string, data []byte, exists bool, style style) []byte {
	now := time.Now()
	if c.show.raw || c.show.json {
		return c.show.value(subject, data, exists, now, style)
	}
	var b bytes.Buffer
	style.begin(&b, subject, now)
	if exists {
		b.WriteString(valueText(data, style.terminal))
	} else {
		b.WriteString("(no value)")
	}
	b.WriteByte('\n')
	return b.Bytes()
}
