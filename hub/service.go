package hub

import (
	"context"
	"sync"
)

// spareWorkers is how many goroutines a service keeps while it has nothing to do.
const spareWorkers = 4

// A service hands requests to its workers, of which as many exist as the handlers need: one
// wakes the next before its handler begins, so a handler that waits keeps nobody waiting, and
// quick ones are done in a row, without a goroutine each.
type service struct {
	hub   *Hub
	fn    func(context.Context, *Message) (any, error)
	limit int // of requests that are handled or wait here; more wait with the subscription

	mu      sync.Mutex
	some    sync.Cond // workers wait for a request
	room    sync.Cond // put waits for a handler to return
	waiting []*Message
	head    int // of waiting
	workers int // busy, idle or about to begin
	busy    int
	idle    int
	waking  bool // a worker has been woken and has not looked yet
	over    bool // no worker stays for want of a request
	closed  bool // the hub has ended
}

func newService(h *Hub, limit int, fn func(context.Context, *Message) (any, error)) *service {
	s := &service{hub: h, fn: fn, limit: limit}
	s.some.L, s.room.L = &s.mu, &s.mu
	return s
}

// put gives the service a request. It waits while limit are handled. Called by one goroutine.
func (s *service) put(m *Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.busy+s.queued() >= s.limit && !s.closed {
		s.room.Wait()
	}
	if s.closed {
		return
	}
	if s.head > 0 && s.head >= len(s.waiting)/2 && len(s.waiting) == cap(s.waiting) {
		n := copy(s.waiting, s.waiting[s.head:])
		clear(s.waiting[n:])
		s.waiting, s.head = s.waiting[:n], 0
	}
	s.waiting = append(s.waiting, m)
	s.wake()
}

// queued is how many requests wait for a worker. s.mu is held, here and in what follows.
func (s *service) queued() int { return len(s.waiting) - s.head }

func (s *service) take() *Message {
	m := s.waiting[s.head]
	s.waiting[s.head] = nil
	s.head++
	if s.head == len(s.waiting) {
		s.waiting, s.head = s.waiting[:0], 0
	}
	return m
}

// wake makes sure that a worker comes for what waits.
func (s *service) wake() {
	switch {
	case s.queued() == 0 || s.waking:
	case s.idle > 0:
		s.waking = true
		s.some.Signal()
	case s.workers < s.limit && s.hub.spawn(s.work):
		s.waking = true
		s.workers++
	}
}

// work is a worker's goroutine.
func (s *service) work() {
	s.mu.Lock()
	defer func() { // also when a handler ends its goroutine
		s.workers--
		s.wake()
		s.mu.Unlock()
	}()
	s.waking = false
	for {
		for s.queued() == 0 {
			if s.over || s.idle >= spareWorkers {
				return
			}
			s.idle++
			s.some.Wait()
			s.idle--
			s.waking = false
		}
		s.handle(s.take())
	}
}

// handle answers one request, with s.mu released meanwhile.
func (s *service) handle(m *Message) {
	s.busy++
	s.wake()
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.busy--
		s.room.Signal()
	}()
	s.hub.serveOne(m, s.fn)
}

// end lets the workers go when they have handled what waits.
func (s *service) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	s.some.Broadcast()
}

// close is end for the end of the hub, which nothing waits beyond.
func (s *service) close() {
	s.mu.Lock()
	s.closed = true
	s.room.Broadcast()
	s.mu.Unlock()
	s.end()
}
