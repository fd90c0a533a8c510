package main

import (
	"syscall"
	"testing"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/election/lab"
)

// freeze stops a process as a debugger does, or as the machine does that sleeps: then nothing reaches it either, and what was on
// its way is lost. thaw lets it go on.
func freeze(t *testing.T, h *lab.Host, p *lab.Process, asleep bool) (thaw func()) {
	t.Helper()
	signal := func(s syscall.Signal) {
		if err := syscall.Kill(p.Pid(), s); err != nil {
			t.Fatal(err)
		}
	}
	signal(syscall.SIGSTOP)
	if asleep {
		h.Cut()
	}
	t.Cleanup(func() { _ = syscall.Kill(p.Pid(), syscall.SIGCONT) }) // Else it cannot end.
	return func() {
		if asleep {
			h.Heal()
		}
		signal(syscall.SIGCONT)
	}
}

// frozenLeader freezes the leader until another leads and longer, lets it go on, and returns how long it takes until all agree:
// it yields, and the other one stays.
func frozenLeader(asleep bool) func(*lan) time.Duration {
	return func(l *lan) time.Duration {
		l.gather()
		was, _ := l.agree()
		frozen := l.agents[was]
		thaw := freeze(l.t, l.hosts[was], frozen, asleep)
		l.agents[was] = nil
		second, _ := l.agree()
		time.Sleep(6 * time.Second) // A lease and more, in which nobody hears of it.
		if state, _, _ := view(frozen); state != "leader" {
			l.t.Fatalf("it was %s when it was stopped", state)
		}
		l.agents[was] = frozen
		thaw()
		began := time.Now()
		now, at := l.agree()
		if now != second {
			l.t.Errorf("node-%s leads, and node-%s did before node-%s went on", l.hosts[now].Name, l.hosts[second].Name, l.hosts[was].Name)
		}
		for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
			if again := l.agreed(l.all()); again != now {
				l.t.Fatalf("there is another leader, or none, after all had agreed")
			}
		}
		return at.Sub(began)
	}
}

// frozenFollower freezes one that follows while the leader is killed: it follows the next one.
func frozenFollower(l *lan) time.Duration {
	l.gather()
	leads, _ := l.agree()
	sleeper := (leads + 1) % len(l.hosts)
	frozen := l.agents[sleeper]
	thaw := freeze(l.t, l.hosts[sleeper], frozen, false)
	l.agents[sleeper] = nil
	killed := l.agents[leads]
	l.agents[leads] = nil
	killed.Kill()
	second, _ := l.agree()
	time.Sleep(2 * time.Second)
	l.agents[sleeper] = frozen
	thaw()
	began := time.Now()
	now, at := l.agree()
	if now != second {
		l.t.Errorf("node-%s leads, and node-%s did before the follower went on", l.hosts[now].Name, l.hosts[second].Name)
	}
	return at.Sub(began)
}

func init() {
	grace := []string{"--leader-missing-grace-ms", "1000"}
	lanCases = append(lanCases,
		lanCase{"stopped-by-signal", "SIGSTOP of the leader until another leads, then SIGCONT: until all agree", grace, 3, frozenLeader(false)},
		lanCase{"asleep", "the leader's machine sleeps until another leads, then wakes: until all agree", grace, 3, frozenLeader(true)},
		lanCase{"follower-stopped", "SIGSTOP of a follower while the leader changes, then SIGCONT: until all agree", grace, 3, frozenFollower},
	)
}
