package main

import (
	"context"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
	"github.com/kinopio-hub/kinopio-hub/v3/internal/bridge"
)

func (s *pageHub) open(config []byte) {
	h, err := openHub(s, config)
	if err != nil {
		s.out.fail(rowDone, 0, err)
		return
	}
	s.mu.Lock()
	s.hub = h
	s.mu.Unlock()
}

// publish sends s.msgs, all or none.
func (s *pageHub) publish(id uint32) {
	if s.hub == nil {
		s.out.fail(rowAckFailed, id, errNotOpen)
		return
	}
	s.settle(id, functions.Publish(s.hub, s.msgs))
	clear(s.msgs)
}

// settle adds the ack row of id once r is settled.
func (s *pageHub) settle(id uint32, r bridge.Receipt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Settled() {
		s.ack(id, r.Err())
		return
	}
	s.idle = false
	s.unacked = append(s.unacked, receipt{id, r})
	if len(s.unacked) == 1 && !s.disposed {
		s.wg.Go(s.awaitReceipts)
	}
}

func (s *pageHub) ack(id uint32, err error) {
	if err != nil {
		s.out.fail(rowAckFailed, id, err)
	} else {
		s.out.ack(id)
	}
}

// awaitReceipts ends when nothing is left unsettled.
func (s *pageHub) awaitReceipts() {
	for {
		s.mu.Lock()
		first := s.unacked[0]
		s.mu.Unlock()
		select {
		case <-first.Done():
		case <-s.ctx.Done():
			return // JavaScript has rejected everything itself
		}
		s.ack(first.id, first.Err())
		s.mu.Lock()
		s.unacked = s.unacked[1:]
		empty := len(s.unacked) == 0
		if empty {
			s.unacked = nil
		}
		s.mu.Unlock()
		if empty {
			return
		}
	}
}

func (s *pageHub) subscribe(id uint32, subject string, flags uint32, opts hub.SubOptions) {
	if s.hub == nil {
		s.out.fail(rowRefused, id, errNotOpen)
		return
	}
	withSubject, serve := flags&flagSubject != 0, flags&flagServe != 0
	how := bridge.SubOptions{Awaited: flags&flagReady != 0, Control: flags&flagControl != 0}
	if opts.Max == 0 {
		how.OnRun = func(r *bridge.Run) { s.out.run(id, r, withSubject) }
	}
	sub, err := functions.Subscribe(s.hub, subject, opts, how, func(m *hub.Message) {
		var answer uint32
		if m.Reply != "" {
			answer = s.answers.keep(m.Responder(), serve)
		}
		s.out.message(rowMessage, id, answer, m, withSubject)
	})
	if err != nil {
		s.out.fail(rowRefused, id, err)
		return
	}
	s.subs[id] = sub
	if flags&flagReady != 0 {
		s.goRow(rowReady, rowRefused, id, 0, sub.Ready)
	}
}

func (s *pageHub) request(id uint32, m hub.OutMsg, timeout time.Duration, mayCancel bool) {
	if s.hub == nil {
		s.out.fail(rowFailed, id, errNotOpen)
		return
	}
	s.requestsInFlight.Add(1)
	over := false // with s.mu held
	cancel := s.hub.Request(m, timeout, func(reply *hub.Message, err error) {
		s.requestsInFlight.Add(-1)
		if mayCancel {
			s.mu.Lock()
			over = true
			delete(s.requests, id)
			s.mu.Unlock()
		}
		if err != nil {
			s.out.fail(rowFailed, id, err)
		} else {
			s.out.message(rowReply, id, 0, reply, false)
		}
	})
	if mayCancel {
		s.mu.Lock()
		if !over {
			s.requests[id] = cancel
		}
		s.mu.Unlock()
	}
}

// requestMany adds a message row for each answer, and a done row when no more are waited for.
func (s *pageHub) requestMany(id uint32, m hub.OutMsg, window time.Duration, most int) {
	if s.hub == nil {
		s.out.fail(rowDone, id, errNotOpen)
		return
	}
	s.hub.RequestMany(m, window, most,
		func(answer *hub.Message) { s.out.message(rowMessage, id, 0, answer, true) },
		func(err error) {
			if err != nil {
				s.out.fail(rowDone, id, err)
			} else {
				s.out.text(rowDone, id, 0, "")
			}
		})
}

// drain ends a subscription when all that the server has sent to it is in rows.
func (s *pageHub) drain(id, subscription uint32) {
	sub := s.subs[subscription]
	if sub == nil {
		s.out.text(rowDone, id, 0, "") // it has ended
		return
	}
	delete(s.subs, subscription)
	s.goRow(rowDone, rowDone, id, 0, sub.Drain)
}

func (s *pageHub) cancelRequest(id uint32) {
	s.mu.Lock()
	cancel := s.requests[id]
	s.mu.Unlock()
	if cancel != nil {
		cancel()
	}
}

func (s *pageHub) respond(id, answer uint32, m hub.OutMsg) {
	responder, ok := s.answers.take(answer)
	if !ok {
		s.out.fail(rowAckFailed, id, hub.ErrNoReply)
		return
	}
	s.settle(id, functions.Respond(responder, m))
}

func (s *pageHub) run(id, command uint32, timeout time.Duration) {
	h := s.hub
	if h == nil {
		s.out.fail(rowDone, id, errNotOpen)
		return
	}
	switch command {
	case cmdConnect:
		if err := h.Connect(); err != nil {
			s.out.fail(rowDone, id, err)
		} else {
			s.out.text(rowDone, id, 0, "")
		}
	case cmdConnected:
		s.goRow(rowDone, rowDone, id, timeout, h.Connected)
	case cmdReconnect:
		s.goRow(rowDone, rowDone, id, timeout, h.Reconnect)
	case cmdFlush:
		s.goRow(rowDone, rowDone, id, timeout, h.Flush)
	case cmdLocalNetwork:
		s.goRow(rowDone, rowDone, id, timeout, func(ctx context.Context) error {
			_, err := h.RequestLocalNetwork(ctx) // what came of it is in the status
			return err
		})
	case cmdHealth:
		if !s.healthy {
			s.healthy = true
			h.OnHealth(func(health hub.Health) { s.out.text(rowHealth, 0, 0, healthJSON(health)) })
		}
		s.out.text(rowDone, id, 0, "")
	}
}

// goRow runs wait on a goroutine, bounded by timeout if there is one, and adds the row done,
// or failed with its error.
func (s *pageHub) goRow(done, failed, id uint32, timeout time.Duration, wait func(context.Context) error) {
	s.wg.Go(func() {
		ctx := s.ctx
		if timeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, timeout)
			defer cancel()
		}
		if err := wait(ctx); err != nil {
			s.out.fail(failed, id, err)
		} else {
			s.out.text(done, id, 0, "")
		}
	})
}
