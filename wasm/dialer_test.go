//go:build !js

package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/kinopio-hub/kinopio-hub/v3/transport"
	"github.com/kinopio-hub/kinopio-hub/v3/transport/inbox"
	"github.com/kinopio-hub/kinopio-hub/v3/transport/transporttest"
)

func TestDialerKeepsTheContract(t *testing.T) {
	keepsTheContract(t, func(d dialer) transport.Dialer { return d })
}

func TestDialerKeepsTheContractDirectly(t *testing.T) {
	keepsTheContract(t, func(d dialer) transport.Dialer { return directly{d} })
}

func keepsTheContract(t *testing.T, of func(dialer) transport.Dialer) {
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
				Dialer: of(dialer{browser.sockets, 1}),
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

// brief is a port whose sockets open, bring three bytes and end before open returns.
type brief struct{ sockets *sockets }

func (b brief) open(_, id uint32, _ string) {
	b.sockets.opened(id, "")
	b.sockets.room(id, 3)
	b.sockets.commit(id, 3)
	b.sockets.ended(id, endUnclean, "gone")
}
func (brief) send(uint32, []byte) bool { return false }
func (brief) close(uint32)             {}

// What happened before who dials came to look is neither lost nor mistaken for a refusal.
func TestSocketThatEndsAsItOpensIsAStream(t *testing.T) {
	for range 50 { // a select chooses by chance
		port := &brief{}
		port.sockets = newSockets(port)
		c, err := dialer{port.sockets, 1}.Dial(t.Context(), "ws://host")
		if err != nil {
			t.Fatal(err)
		}
		p, err := io.ReadAll(c)
		if len(p) != 3 || !errors.Is(err, transport.ErrUnclean) {
			t.Fatalf("read %d bytes, %v", len(p), err)
		}
		_ = c.Close()
	}
}

// directly has connections that are read and written as [transport.Direct].
type directly struct{ dialer }

func (d directly) Dial(ctx context.Context, url string) (net.Conn, error) {
	c, err := d.dialer.Dial(ctx, url)
	if err != nil {
		return nil, err
	}
	direct := &direct{Direct: c.(transport.Direct), in: inbox.New(0)}
	direct.Pour(direct)
	return direct, nil
}

// direct is a connection by way of its sink, which it is itself.
type direct struct {
	transport.Direct
	in   *inbox.Queue
	room []byte
}

func (d *direct) Room(n int) []byte {
	d.room = make([]byte, n)
	return d.room
}

func (d *direct) Filled(n int) bool {
	first, second := d.in.Reserve(n)
	copy(second, d.room[copy(first, d.room):])
	d.in.Commit(len(first) + len(second))
	return true
}

func (d *direct) Ended(err error) {
	if errors.Is(err, net.ErrClosed) {
		d.in.Close()
	}
	d.in.End(err)
}

func (d *direct) Read(p []byte) (int, error)        { return d.in.Read(p) }
func (d *direct) SetReadDeadline(t time.Time) error { d.in.SetReadDeadline(t); return nil }
func (d *direct) SetDeadline(t time.Time) error {
	d.in.SetReadDeadline(t)
	return d.Direct.SetDeadline(t)
}

func (d *direct) Write(p []byte) (int, error) {
	for n := 0; ; {
		piece := p[n:min(len(p), n+64<<10)]
		if len(piece) == 0 {
			return n, nil
		}
		if !d.TryWrite(piece) {
			more, err := d.Direct.Write(p[n:])
			return n + more, err
		}
		n += len(piece)
	}
}

func (d *direct) Close() error {
	err := d.Direct.Close()
	d.in.Close() // as who waits for Ended would
	return err
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
	cancel   context.CancelFunc
	nonEmpty chan struct{}

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
	s := &page{cancel: cancel, nonEmpty: make(chan struct{}, 1)}
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
		b.sockets.opened(id, "")
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
			case <-s.nonEmpty:
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
	case s.nonEmpty <- struct{}{}:
	default:
	}
	return s.full
}

func (b *browser) close(id uint32) { b.find(id).cancel() }
