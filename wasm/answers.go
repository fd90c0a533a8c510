package main

import (
	"sync"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// answersKept bounds the messages of ordinary subscriptions that can still be answered.
const answersKept = 4096

// answers keeps the way back of messages that want an answer, until it is given. What a
// service got is kept as long as it takes; of what ordinary subscriptions got, which mostly
// nobody answers, the last answersKept. Its zero value is empty. Safe for concurrent use.
type answers struct {
	mu     sync.Mutex
	serial uint32
	kept   map[uint32]answer
	recent []uint32 // ring of ids that are not of services
	next   int
}

// answer is the way back of one message.
type answer struct {
	hub.Responder
	slot int // of recent; -1: of a service
}

// keep returns the id for take, never 0.
func (a *answers) keep(r hub.Responder, service bool) uint32 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.kept == nil {
		a.kept = map[uint32]answer{}
	}
	a.serial = freeID(a.serial, a.kept)
	slot := -1
	switch {
	case service:
	case len(a.recent) < answersKept:
		slot = len(a.recent)
		a.recent = append(a.recent, a.serial)
	default:
		slot = a.next
		if old := a.recent[slot]; a.kept[old].slot == slot { // otherwise somebody else has that id by now
			delete(a.kept, old)
		}
		a.recent[slot] = a.serial
		a.next = (slot + 1) % answersKept
	}
	a.kept[a.serial] = answer{r, slot}
	return a.serial
}

// freeID is the next id after last that is not in use, never 0: ids go round.
func freeID[T any](last uint32, used map[uint32]T) uint32 {
	for {
		last++
		if _, taken := used[last]; last != 0 && !taken {
			return last
		}
	}
}

// take returns what keep was given, once.
func (a *answers) take(id uint32) (hub.Responder, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r, ok := a.kept[id]
	delete(a.kept, id)
	return r.Responder, ok
}

func (a *answers) len() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.kept)
}
