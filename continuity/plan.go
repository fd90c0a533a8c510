package main

import (
	"fmt"
	"regexp"
	"time"
)

// Kinds of moves, as the table names them.
const (
	toLeaf       = "remote->leaf"
	fromLeaf     = "leaf->remote"
	latencyMove  = "latency"
	leaderChange = "leader change"
	plugPulled   = "plug pulled"
	leafKilled   = "leaf killed"
	backAgain    = "…and back" // to the leaf after an abrupt move; planned
)

// A plan is one run: a world, a subject in it, and what happens to them.
type plan struct {
	kind     string // toLeaf stands for both ways
	platform string // "native" or "chromium"
	role     role
	delay    time.Duration // one way, of what is far
	subjects int
	standby  bool
	moves    int
	rate     int
}

func (p plan) String() string {
	s := fmt.Sprintf("%s/%s/%s/%v/%d", p.platform, p.kind, p.role, p.delay, p.subjects)
	if p.standby {
		s += "/standby"
	}
	return s
}

func (p plan) abrupt() bool { return p.kind == plugPulled || p.kind == leafKilled }

// A choice says which runs are wanted.
type choice struct {
	platforms []string
	rows      *regexp.Regexp // of plan.String
	moves     int
	abrupt    int // moves in each abrupt row
	rate      int
	delays    []time.Duration
}

// plans are the runs of a choice.
func (c choice) plans() (all []plan) {
	add := func(p plan) {
		p.moves, p.rate = c.moves, c.rate
		if p.abrupt() {
			p.moves = c.abrupt
		}
		if p.role == service || p.role == requester {
			p.rate /= 2 // a request and its answer are two messages
		}
		if c.rows == nil || c.rows.MatchString(p.String()) {
			all = append(all, p)
		}
	}
	for _, platform := range c.platforms {
		for _, delay := range c.delays {
			for _, r := range roles {
				for _, kind := range []string{toLeaf, latencyMove, leaderChange} {
					add(plan{kind: kind, platform: platform, role: r, delay: delay, subjects: 8})
					if r == subscriber || r == publisher {
						add(plan{kind: kind, platform: platform, role: r, delay: delay, subjects: 200})
					}
				}
				for _, kind := range []string{plugPulled, leafKilled} {
					for _, standby := range []bool{false, true} {
						add(plan{kind: kind, platform: platform, role: r, delay: delay, subjects: 8, standby: standby})
					}
				}
			}
		}
	}
	return all
}
