package main

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// subCommand is «kinopio-hub sub».
type subCommand struct {
	terminal terminalFlags
	show     showFlags
	count    int
	timeout  time.Duration
	queue    string
	all      bool
}

func newSubCommand(getenv env) *cobra.Command {
	var c subCommand
	cmd := &cobra.Command{
		Use:   "sub SUBJECT…",
		Short: "Print what is published on subjects",
		Long: `Print what is published on subjects, until Ctrl-C.

A subject may have the wildcards * for one part and > for all that follow. What hubs tell each
other (below _KH and _INBOX) is left out for patterns that begin with a wildcard, unless --all is given.`,
		Example: `  kinopio-hub sub 'robot.>' --server nats://localhost:4222
  kinopio-hub sub robot.battery --count 1 --timeout 5s --raw
  kinopio-hub sub 'robot.>' --json | jq .value`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, subjects []string) error {
			if err := c.check(); err != nil {
				return err
			}
			return c.terminal.session(cmd, getenv, func(s *session) error {
				return c.run(s, subjects, styleOf(cmd.OutOrStdout(), getenv))
			})
		},
	}
	c.show.addHeaders(cmd)
	f := cmd.Flags()
	f.IntVar(&c.count, "count", 0, "end after so many messages (default: no end)")
	f.DurationVar(&c.timeout, "timeout", 0, "end after this time; with --count it is an error if fewer have come (default: no end)")
	f.StringVar(&c.queue, "queue", "", "share the messages with others of this queue group")
	f.BoolVar(&c.all, "all", false, "print what hubs tell each other, too")
	c.terminal.add(cmd)
	return cmd
}

func (c *subCommand) check() error {
	if err := c.show.check(); err != nil {
		return err
	}
	if err := atLeast("--count", c.count, 0); err != nil {
		return err
	}
	return positive("--timeout", c.timeout, true)
}

func (c *subCommand) run(s *session, subjects []string, style style) error {
	var mu sync.Mutex // Each subject is called back by a goroutine of its own.
	seen := 0
	take := func(pattern string) func(*hub.Message) {
		return func(m *hub.Message) {
			if !c.all && internal(pattern, m.Subject) {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if c.count > 0 && seen == c.count {
				return
			}
			if _, err := s.out.Write(c.show.show(m, time.Now(), style)); err != nil {
				return // The command ends.
			}
			if seen++; seen == c.count {
				s.end(errEnough)
			}
		}
	}
	defer s.stopAfter(c.timeout, errEnough)()
	subjects, err := apart(subjects)
	if err != nil {
		return err
	}
	s.mine(subjects...)
	for _, pattern := range subjects {
		sub, err := s.hub.Subscribe(pattern, hub.SubOptions{Queue: c.queue}, take(pattern))
		if err == nil {
			err = sub.Ready(s.ctx)
		}
		if err != nil && s.ctx.Err() == nil {
			return fmt.Errorf("listen to %s: %w", pattern, err)
		}
	}
	s.note("listening to %s at %s. Ctrl-C ends it.", strings.Join(subjects, ", "), s.server())
	s.wait()
	mu.Lock()
	defer mu.Unlock()
	if c.count > 0 && seen < c.count && s.interrupted() == nil {
		return fmt.Errorf("%d of %d messages came within %v", seen, c.count, c.timeout)
	}
	return nil
}

// internal reports whether subject is what hubs tell each other, and not asked for by pattern.
func internal(pattern, subject string) bool {
	return !strings.HasPrefix(pattern, "_") && (strings.HasPrefix(subject, "_KH.") || strings.HasPrefix(subject, "_INBOX"))
}

// apart is patterns in their order, each once. One that contains another would bring messages twice.
func apart(patterns []string) ([]string, error) {
	patterns = slices.Compact(slices.Sorted(slices.Values(patterns)))
	for i, pattern := range patterns {
		for _, other := range patterns[:i] {
			if covers(other, pattern) || covers(pattern, other) {
				return nil, &usageError{err: fmt.Errorf("subjects %q and %q: one contains the other, so that messages would come twice", other, pattern), hint: "give the wider one"}
			}
		}
	}
	return patterns, nil
}

// covers reports whether all that matches narrow matches wide, too.
func covers(wide, narrow string) bool {
	w, n := strings.Split(wide, "."), strings.Split(narrow, ".")
	for i, part := range w {
		switch {
		case part == ">":
			return len(n) > i
		case i >= len(n) || n[i] == ">" || part != "*" && part != n[i]:
			return false
		}
	}
	return len(w) == len(n)
}
