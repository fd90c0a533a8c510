package main

import (
	"fmt"
	"regexp"
	"slices"
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
	delay    time.Duration // of each link, one way
	subjects int
	standby  bool
	plain    bool // the crew are plain NATS clients
	moves    int
	rate     int
}

func (p plan) String() string {
	s := fmt.Sprintf("%s/%s/%s/%v/%d", p.platform, p.kind, p.role, p.delay, p.subjects)
	if p.standby {
		s += "/standby"
	}
	if p.plain {
		s += "/plain"
	}
	return s
}

func abrupt(kind string) bool { return kind == plugPulled || kind == leafKilled }

// special rows are those that are not made at each distance.
func (p plan) special() bool { return p.standby || p.plain || p.subjects != fewSubjects }

const (
	fewSubjects  = 8
	manySubjects = 200
)

// special distances are where the special rows are made, unless others are asked for.
var specialDelays = []time.Duration{10 * time.Millisecond, 100 * time.Millisecond}

// A choice says which runs are wanted.
type choice struct {
	platforms []string
	rows      *regexp.Regexp // of plan.String; nil: all, the special ones at specialDelays only
	moves     int
	abrupt    int // moves in each abrupt row
	rate      int
	delays    []time.Duration
}

// plans are the runs of a choice.
func (c choice) plans() (all []plan) {
	add := func(p plan) {
		p.moves, p.rate = c.moves, c.rate
		if abrupt(p.kind) {
			p.moves = c.abrupt
		}
		if p.role == service || p.role == requester {
			p.rate /= 2 // a request and its answer are two messages
		}
		if c.rows == nil && (!p.special() || slices.Contains(specialDelays, p.delay)) || c.rows != nil && c.rows.MatchString(p.String()) {
			all = append(all, p)
		}
	}
	for _, platform := range c.platforms {
		for _, delay := range c.delays {
			for _, r := range roles {
				streams := r == subscriber || r == publisher
				for _, kind := range []string{toLeaf, latencyMove, leaderChange, plugPulled, leafKilled} {
					p := plan{kind: kind, platform: platform, role: r, delay: delay, subjects: fewSubjects}
					add(p)
					if streams {
						q := p
						q.plain = true
						add(q)
					}
					if abrupt(kind) {
						p.standby = true
						add(p)
					} else if streams {
						p.subjects = manySubjects
						add(p)
					}
				}
			}
		}
	}
	return all
}

// share gives each of the plans its part of so many moves, of all plans together.
func share(plans []plan, moves int) {
	for i := range plans {
		plans[i].moves = (moves + i) / len(plans)
		plans[i].moves = max(plans[i].moves, 1)
	}
}
