package main

import (
	"sync"

	"github.com/kinopio-hub/kinopio-hub/hub"
)

// answersKept bounds the messages of ordinary subscriptions that can still be answered.
const answersKept = 4096

// answers keeps the way back of messages that want an answer, until it is given. What a
// service got is kept as long as it takes; of what ordinary subscriptions got, which mostly
// nobody answers, the last answersKept. Its zero value is empty. Safe for concurrent use.
type answers struct {
	mu     sync.Mutex
	serial uint32
	kept   map[uint32]hub.Responder
	recent []uint32 // ring of ids that are not of services
	next   int
}

// keep returns the id for take, never 0.
func (a *answers) keep(r hub.Responder, service bool) uint32 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.kept == nil {
		a.kept = map[uint32]hub.Responder{}
	}
	a.serial++
	if a.serial == 0 {
		a.serial = 1
	}
	a.kept[a.serial] = r
	if !service {
		if len(a.recent) < answersKept {
			a.recent = append(a.recent, a.serial)
		} else {
			delete(a.kept, a.recent[a.next])
			a.recent[a.next] = a.serial
			a.next = (a.next + 1) % answersKept
		}
	}
	return a.serial
}

// take returns what keep was given, once.
func (a *answers) take(id uint32) (hub.Responder, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r, ok := a.kept[id]
	delete(a.kept, id)
	return r, ok
}

func (a *answers) len() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.kept)
}
