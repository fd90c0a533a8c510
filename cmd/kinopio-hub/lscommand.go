package main

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

const (
	lsRedraw    = 500 * time.Millisecond
	lsLiveRows  = 20 // Of the table while it is live: all of it has to fit on the screen.
	lsLiveWidth = 44 // Characters of a subject there.
)

// lsCommand is «kinopio-hub ls».
type lsCommand struct {
	terminal terminalFlags
	period   time.Duration
	most     int
	json     bool
	all      bool
}

func newLsCommand(getenv env) *cobra.Command {
	var c lsCommand
	cmd := &cobra.Command{
		Use:   "ls [PATTERN…]",
		Short: "List the subjects on which something is published, with rates",
		Long: `List the subjects on which something is published in a while, with messages and bytes a second.

NATS keeps no list of subjects: what is silent meanwhile is not listed. At a terminal the table is
live, the busiest subjects first; the whole of it is printed at the end, by name.`,
		Example: `  kinopio-hub ls
  kinopio-hub ls 'robot.>' --for 10s
  kinopio-hub ls --json | jq -r .subject`,
		RunE: func(cmd *cobra.Command, patterns []string) error {
			if err := positive("--for", c.period, true); err != nil {
				return err
			}
			if err := atLeast("--max-subjects", c.most, 1); err != nil {
				return err
			}
			if len(patterns) == 0 {
				patterns = []string{">"}
			}
			return c.terminal.session(cmd, getenv, func(s *session) error {
				return c.run(s, patterns, styleOf(cmd.OutOrStdout(), getenv))
			})
		},
	}
	f := cmd.Flags()
	f.DurationVar(&c.period, "for", 3*time.Second, "how long to listen; 0: until Ctrl-C")
	f.IntVar(&c.most, "max-subjects", 10_000, "subjects that are listed; of more only the number of messages is told")
	f.BoolVar(&c.json, "json", false, "print one JSON document a line for each subject, at the end")
	f.BoolVar(&c.all, "all", false, "list what hubs tell each other, too")
	c.terminal.add(cmd)
	return cmd
}

// A census counts messages by subject.
type census struct {
	most int

	mu       sync.Mutex
	start    time.Time
	subjects map[string]*tally
	others   tally // of subjects beyond most
}

// A tally is of one subject. Its JSON is what ls prints.
type tally struct {
	Subject           string  `json:"subject"`
	Messages          uint64  `json:"messages"`
	Bytes             uint64  `json:"bytes"` // of payloads
	MessagesPerSecond float64 `json:"messagesPerSecond"`
	BytesPerSecond    float64 `json:"bytesPerSecond"`
}

func (c *census) count(m *hub.Message) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.subjects[m.Subject]
	switch {
	case t != nil:
	case len(c.subjects) >= c.most:
		t = &c.others
	default:
		t = &tally{Subject: strings.Clone(m.Subject)} // Without what it came in.
		c.subjects[t.Subject] = t
	}
	t.Messages++
	t.Bytes += uint64(len(m.Data))
}

// tallies are those of now, with rates since the start.
func (c *census) tallies() (all []tally, others tally) {
	c.mu.Lock()
	defer c.mu.Unlock()
	seconds := max(time.Since(c.start).Seconds(), 0.001)
	for _, t := range c.subjects {
		t := *t
		t.MessagesPerSecond, t.BytesPerSecond = float64(t.Messages)/seconds, float64(t.Bytes)/seconds
		all = append(all, t)
	}
	return all, c.others
}

func (c *lsCommand) run(s *session, patterns []string, style style) error {
	heard := &census{most: c.most, subjects: map[string]*tally{}, start: time.Now()}
	patterns, err := apart(patterns)
	if err != nil {
		return err
	}
	s.mine(patterns...)
	for _, pattern := range patterns {
		sub, err := s.hub.Subscribe(pattern, hub.SubOptions{Arrival: true}, func(m *hub.Message) {
			if c.all || !internal(pattern, m.Subject) {
				heard.count(m)
			}
		})
		if err == nil {
			err = sub.Ready(s.ctx)
		}
		if err != nil && s.ctx.Err() == nil {
			return fmt.Errorf("listen to %s: %w", pattern, err)
		}
	}
	defer s.stopAfter(c.period, errEnough)()
	if style.colour && !c.json {
		c.live(s, heard)
	} else {
		s.note("listening to %s at %s", strings.Join(patterns, ", "), s.server())
		s.wait()
	}
	if s.failed() {
		return nil // Why is said by the session.
	}
	return c.print(s, heard)
}

// live draws the table again and again, in one place, and takes it away.
func (c *lsCommand) live(s *session, heard *census) {
	tick := time.NewTicker(lsRedraw)
	defer tick.Stop()
	lines := 0
	for {
		select {
		case <-s.ctx.Done():
			_ = s.out.last([]byte(above(lines)))
			return
		case <-tick.C:
		}
		all, others := heard.tallies()
		slices.SortFunc(all, func(a, b tally) int {
			return cmp.Or(cmp.Compare(b.Messages, a.Messages), cmp.Compare(a.Subject, b.Subject))
		})
		left := len(all) - lsLiveRows
		var b bytes.Buffer
		b.WriteString(above(lines))
		table(&b, all[:min(len(all), lsLiveRows)], lsLiveWidth)
		if left > 0 {
			fmt.Fprintf(&b, "and %d more\n", left)
		}
		beyond(&b, others)
		if _, err := s.out.Write(b.Bytes()); err == nil {
			lines = bytes.Count(b.Bytes(), []byte("\n"))
		}
	}
}

// above goes back over so many lines, and clears what is below.
func above(lines int) string {
	if lines == 0 {
		return ""
	}
	return fmt.Sprintf("\x1b[%dA\x1b[J", lines)
}

func (c *lsCommand) print(s *session, heard *census) error {
	all, others := heard.tallies()
	slices.SortFunc(all, func(a, b tally) int { return cmp.Compare(a.Subject, b.Subject) })
	var b bytes.Buffer
	switch {
	case c.json:
		for _, t := range all {
			b.Write(jsonLine(t))
		}
	case len(all) > 0:
		table(&b, all, 0)
	}
	if others.Messages > 0 {
		s.warn("%d messages were on more subjects than --max-subjects %d", others.Messages, c.most)
	}
	if len(all) == 0 {
		s.note("nothing was published meanwhile; --for 30s listens for longer")
	}
	return s.out.last(b.Bytes())
}

func beyond(w io.Writer, others tally) {
	if others.Messages > 0 {
		fmt.Fprintf(w, "and %d messages on others\n", others.Messages)
	}
}

// table writes rows, with subjects cut to width characters, 0: not.
func table(w io.Writer, rows []tally, width int) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "messages\t/s\tbytes/s\t  subject\n")
	for _, r := range rows {
		subject := strings.ReplaceAll(oneLine(r.Subject), "\t", "\uFFFD")
		if width > 0 && utf8.RuneCountInString(subject) > width {
			subject = string([]rune(subject)[:width-1]) + "…"
		}
		fmt.Fprintf(t, "%d\t%s\t%s\t  %s\n", r.Messages, rate(r.MessagesPerSecond), rate(r.BytesPerSecond), subject)
	}
	_ = t.Flush() // Into memory.
}

// rate is a number with three digits or so.
func rate(n float64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if n >= unit.size {
			return fmt.Sprintf("%.1f%s", n/unit.size, unit.name)
		}
	}
	return fmt.Sprintf("%.1f", n)
}
