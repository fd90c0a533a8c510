package main

import (
	"context"

	"github.com/kinopio-hub/kinopio-hub/v3/continuity/ledger"
)

// listeners hear what a publisher publishes.
type listeners struct {
	setup setup
	at    map[string]*listener
	gone  tally
}

type listener struct {
	peer peer
	book ledger.Book
}

// streamsOf are all streams of one publisher.
func streamsOf(who string) string { return "c.*." + who }

func (c *listeners) arrive(ctx context.Context, at place) error {
	p, err := c.setup.dial(ctx, at.addresses...)
	if err != nil {
		return err
	}
	l := &listener{peer: p}
	l.book.Midway = at.name != lasting
	c.at[at.name] = l
	if err := p.listen(streamsOf(moving), l.book.Take); err != nil || !l.book.Midway {
		return err
	}
	return until("the publisher to be heard at "+at.name, c.setup.patience, func() bool { return l.book.Heard() == c.setup.subjects })
}

// rest waits for what was published so far. A plain client cannot get what was on its way by a leaf that has gone.
func (c *listeners) rest(ctx context.Context, name string, sent map[string]int) (map[string]int, error) {
	if l := c.at[name]; l != nil {
		l.book.End(ctx, sent, c.setup.quiet)
	}
	return nil, ctx.Err()
}

func (c *listeners) depart(name string) {
	if l := c.at[name]; l != nil && name != lasting {
		c.gone = c.gone.plus(l)
		l.peer.close()
		delete(c.at, name)
	}
}

func (t tally) plus(l *listener) tally {
	t.Counts = t.Counts.Plus(l.book.Total())
	t.Missing += l.peer.missing()
	return t
}

func (c *listeners) tally(r report) tally {
	t := c.gone
	t.Failed = r.Failed
	for _, l := range c.at {
		t = t.plus(l)
	}
	if l := c.at[lasting]; l != nil {
		t.GapMs = ms(l.book.Gap())
	}
	return t
}

func (c *listeners) defects() (lines []string) {
	for name, l := range c.at {
		for _, line := range l.book.Defects() {
			lines = append(lines, name+" hears "+line)
		}
	}
	return lines
}

func (c *listeners) settle(context.Context) error { return nil }

func (c *listeners) mark() { c.at[lasting].book.Mark() }

func (c *listeners) close() {
	for _, l := range c.at {
		l.peer.close()
	}
}
