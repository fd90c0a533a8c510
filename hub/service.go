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

	mu       sync.Mutex
	allDone  sync.Cond // nothing is handled and nothing waits
	nonEmpty sync.Cond // workers wait for a request
	room     sync.Cond // put waits for a handler to return
	waiting  []*Message
	head     int // of waiting
	workers  int // busy, idle or about to begin
	busy     int
	idle     int
	waking   bool // a worker has been woken and has not looked yet
	over     bool // no worker stays for want of a request
	closed   bool // the hub has ended

	refused  []*Message // are to be told so
	refusing bool       // somebody does
}

// serving is a service as its subscription sees it: functions, so that pages, whose services are JavaScript's, do
// not download it.
type serving struct {
	refuse func(*Message)        // too many wait; it does not wait
	wait   func(context.Context) // until everything is answered, or ctx or the hub has ended
}

// refusedKept bounds the requests that wait to be told that too many wait.
const refusedKept = 1024

func newService(h *Hub, limit int, fn func(context.Context, *Message) (any, error)) *service {
	s := &service{hub: h, fn: fn, limit: limit}
	s.nonEmpty.L, s.room.L, s.allDone.L = &s.mu, &s.mu, &s.mu
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
		s.nonEmpty.Signal()
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
			s.nonEmpty.Wait()
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
		if s.busy+s.queued() == 0 {
			s.allDone.Broadcast()
		}
	}()
	s.hub.serveOne(m, s.fn)
}

// wait returns when everything that was put is answered, or ctx or the hub has ended.
func (s *service) wait(ctx context.Context) {
	stop := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.allDone.Broadcast()
	})
	defer stop()
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.busy+s.queued() > 0 && !s.closed && ctx.Err() == nil {
		s.allDone.Wait()
	}
}

// refuse tells who sent a request that too many wait. It does not wait.
func (s *service) refuse(m *Message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.Reply == "" || len(s.refused) >= refusedKept {
		return
	}
	s.refused = append(s.refused, m)
	if !s.refusing {
		s.refusing = s.hub.spawn(s.answerRefused)
	}
}

func (s *service) answerRefused() {
	for {
		s.mu.Lock()
		if len(s.refused) == 0 || s.closed {
			s.refused, s.refusing = nil, false
			s.mu.Unlock()
			return
		}
		batch := s.refused
		s.refused = nil
		s.mu.Unlock()
		for _, m := range batch {
			s.hub.respondTo(m, errorReply(&ServiceError{Code: "503", Message: "too many requests wait for " + m.Subject}))
		}
	}
}

// end lets the workers go when they have handled what waits.
func (s *service) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	s.nonEmpty.Broadcast()
}

// close is end for the end of the hub, which nothing waits beyond.
func (s *service) close() {
	s.mu.Lock()
	s.closed = true
	s.room.Broadcast()
	s.allDone.Broadcast()
	s.mu.Unlock()
	s.end()
}
