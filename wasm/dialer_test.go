//go:build !js

package main

import (
	"context"
	"net/http"
	"sync"
	"testing"

	"github.com/coder/websocket"

	"github.com/kinopio-hub/kinopio-hub/transport/transporttest"
)

func TestDialerKeepsTheContract(t *testing.T) {
	defer transporttest.NoLeaks(t)
	t.Run("contract", func(t *testing.T) {
		transporttest.Run(t, func(t *testing.T) transporttest.Subject {
			peers, _, stop, err := transporttest.ServeWS(false)
			if err != nil {
				t.Fatal(err)
			}
			browser := &browser{pages: map[uint32]*page{}}
			browser.sockets = newSockets(browser)
			t.Cleanup(func() {
				browser.wg.Wait()
				stop()
			})
			return transporttest.Subject{
				Dialer: dialer{browser.sockets, 1},
				Peers:  peers,
				Blind:  true,
				Settled: func(t *testing.T) {
					if n := browser.sockets.len(); n != 0 {
						t.Errorf("%d sockets are left", n)
					}
				},
			}
		})
	})
}

// browser is a port that behaves as the JavaScript side does, over a native WebSocket.
type browser struct {
	sockets *sockets
	wg      sync.WaitGroup

	mu    sync.Mutex
	pages map[uint32]*page
}

// page is one socket of a browser, with what waits to be sent.
type page struct {
	cancel context.CancelFunc
	some   chan struct{}

	mu       sync.Mutex
	waiting  [][]byte
	buffered int
	full     bool
}

// client keeps no connection for later, as a cancelled dial would otherwise do.
var client = http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

const (
	highWater = 4 << 20
	lowWater  = 1 << 20
)

func (b *browser) open(_, id uint32, url string) {
	ctx, cancel := context.WithCancel(context.Background())
	s := &page{cancel: cancel, some: make(chan struct{}, 1)}
	b.mu.Lock()
	b.pages[id] = s
	b.mu.Unlock()
	b.wg.Go(func() {
		defer cancel()
		c, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: &client})
		if err != nil {
			b.sockets.ended(id, endUnreachable, "")
			return
		}
		defer func() { _ = c.CloseNow() }()
		c.SetReadLimit(-1)
		b.sockets.opened(id)
		b.wg.Go(func() { b.write(ctx, id, s, c) })
		b.read(ctx, id, c)
	})
}

func (b *browser) read(ctx context.Context, id uint32, c *websocket.Conn) {
	for {
		kind, frame, err := c.Read(ctx)
		switch {
		case err != nil && websocket.CloseStatus(err) == websocket.StatusNormalClosure:
			b.sockets.ended(id, endClean, "")
			return
		case err != nil:
			b.sockets.ended(id, endUnclean, err.Error())
			return
		case kind == websocket.MessageText:
			b.sockets.ended(id, endUnclean, "a text frame")
			return
		}
		first, second := b.sockets.room(id, len(frame))
		if len(first)+len(second) < len(frame) {
			return
		}
		copy(second, frame[copy(first, frame):])
		b.sockets.commit(id, len(frame))
	}
}

func (b *browser) write(ctx context.Context, id uint32, s *page, c *websocket.Conn) {
	for {
		s.mu.Lock()
		var frame []byte
		if len(s.waiting) > 0 {
			frame = s.waiting[0]
			s.waiting = s.waiting[1:]
		}
		s.mu.Unlock()
		if frame == nil {
			select {
			case <-s.some:
				continue
			case <-ctx.Done():
				return
			}
		}
		if c.Write(ctx, websocket.MessageBinary, frame) != nil {
			return
		}
		s.mu.Lock()
		s.buffered -= len(frame)
		drained := s.full && s.buffered <= lowWater
		if drained {
			s.full = false
		}
		s.mu.Unlock()
		if drained {
			b.sockets.drained(id)
		}
	}
}

func (b *browser) find(id uint32) *page {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.pages[id]
}

func (b *browser) send(id uint32, p []byte) (full bool) {
	s := b.find(id)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = append(s.waiting, append([]byte(nil), p...))
	s.buffered += len(p)
	s.full = s.full || s.buffered > highWater
	select {
	case s.some <- struct{}{}:
	default:
	}
	return s.full
}

func (b *browser) close(id uint32) { b.find(id).cancel() }
