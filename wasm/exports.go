//go:build js && wasm

package main

import (
	"runtime"
	"sync"
	"unsafe"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/plainjson"
)

// page is everything of this module. Exports run one at a time, while no goroutine runs.
var page = struct {
	sockets *sockets
	staged  []byte // the buffer that JavaScript was given to fill

	mu      sync.Mutex
	hubs    map[uint32]*pageHub
	pending []*pageHub // with rows in their buffers
	calls   uint32     // see after

	// What the last take returned, to be reused by the next.
	taken *pageHub
	rows  []uint32
	data  []byte
	meta  []byte
	text  []byte
}{
	sockets: newSockets(imports{}),
	hubs:    map[uint32]*pageHub{},
}

// out is how exports return more than one number: JavaScript reads it at once.
var out [8]uint32

func pointer(b []byte) uint32 { return uint32(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) }

// kinopio_buffer returns where to put the n bytes of the next kinopio_call or kinopio_ws_ended.
//
//go:wasmexport kinopio_buffer
func kinopioBuffer(n uint32) unsafe.Pointer {
	if len(page.staged) < int(n) || page.staged == nil {
		inputs.put(page.staged)
		page.staged = inputs.get(int(n))
	}
	return unsafe.Pointer(unsafe.SliceData(page.staged))
}

// kinopio_call hands a batch of ops, n bytes in the buffer, to a hub. The first one makes the hub.
// With more, what it sends may wait for the next batch, which must follow soon. It returns what
// [after] does.
//
//go:wasmexport kinopio_call
func kinopioCall(hub, n uint32, more bool) uint32 {
	giveBack()
	batch := page.staged[:n]
	page.staged = nil
	page.mu.Lock()
	s := page.hubs[hub]
	if s == nil {
		s = newPageHub(hub, dialer{page.sockets, hub}, nil)
		s.out.notify = func() { // called with the row buffer locked, never with page.mu
			page.mu.Lock()
			page.pending = append(page.pending, s)
			page.mu.Unlock()
		}
		page.hubs[hub] = s
	}
	page.mu.Unlock()
	return after(s.take(batch, more))
}

// after says what JavaScript does after a call: 0, it resumes Go, where a goroutine has something to
// do; 1, nothing; 2, it takes rows. In the bits above is how many calls have got here, by which
// JavaScript sees that this one has: it would return in the middle if it waited.
func after(idle bool) uint32 {
	page.mu.Lock()
	defer page.mu.Unlock()
	page.calls++
	what := uint32(0)
	if idle {
		what = 1
		if len(page.pending) > 0 {
			what = 2
		}
	}
	return page.calls<<2 | what
}

// kinopio_dispose ends a hub, also while its commander waits. Its last row is rowClosed.
//
//go:wasmexport kinopio_dispose
func kinopioDispose(hub uint32) {
	if s := find(hub); s != nil {
		s.dispose()
	}
}

// kinopio_refresh asks for a row with the status of a hub.
//
//go:wasmexport kinopio_refresh
func kinopioRefresh(hub uint32) {
	if s := find(hub); s != nil && s.ctx.Err() == nil {
		go func() {
			if h := s.current(); h != nil {
				s.out.text(rowState, 0, 0, statusJSON(h, h.State()))
			}
		}()
	}
}

func find(hub uint32) *pageHub {
	page.mu.Lock()
	defer page.mu.Unlock()
	return page.hubs[hub]
}

// kinopio_take returns 0, or the address of hub, row count, address of the rows, of the
// payloads and their length, of the names and their length, and how many hubs have more. They
// hold until the next export.
//
//go:wasmexport kinopio_take
func kinopioTake() unsafe.Pointer {
	giveBack()
	page.mu.Lock()
	if len(page.pending) == 0 {
		page.mu.Unlock()
		return nil
	}
	s := page.pending[0]
	page.pending = page.pending[1:]
	more := uint32(len(page.pending))
	if more == 0 {
		page.pending = nil
	}
	page.mu.Unlock()
	page.taken = s
	page.rows, page.data, page.meta = s.out.take()
	if n := len(page.rows); n > 0 && page.rows[n-rowWords] == rowClosed {
		page.mu.Lock()
		delete(page.hubs, s.id)
		page.mu.Unlock()
		page.sockets.forget(s.id)
	}
	out = [8]uint32{
		s.id,
		uint32(len(page.rows) / rowWords),
		uint32(uintptr(unsafe.Pointer(unsafe.SliceData(page.rows)))),
		pointer(page.data), uint32(len(page.data)),
		pointer(page.meta), uint32(len(page.meta)),
		more,
	}
	return unsafe.Pointer(&out)
}

// giveBack lets the buffers of the last take be filled again: JavaScript has copied what is in them.
func giveBack() {
	if page.taken != nil {
		page.taken.out.reuse(page.rows, page.data, page.meta)
		page.taken = nil
	}
}

// kinopio_debug returns the address of address and length of a JSON text that says what is alive.
//
//go:wasmexport kinopio_debug
func kinopioDebug() unsafe.Pointer {
	page.mu.Lock()
	hubs := make([]*pageHub, 0, len(page.hubs))
	for _, s := range page.hubs {
		hubs = append(hubs, s)
	}
	pending := len(page.pending)
	page.mu.Unlock()
	var subscriptions, requests, batches, unacked, answers int
	for _, s := range hubs {
		s.mu.Lock()
		subscriptions += len(s.subs)
		requests += int(s.requestsInFlight.Load())
		batches += len(s.queue)
		unacked += len(s.unacked)
		s.mu.Unlock()
		answers += s.answers.len()
	}
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	var alive plainjson.Writer
	page.text = []byte(alive.
		Int("goroutines", int64(runtime.NumGoroutine())).
		Int("hubs", int64(len(hubs))).
		Int("sockets", int64(page.sockets.len())).
		Int("subscriptions", int64(subscriptions)).
		Int("requests", int64(requests)).
		Int("answers", int64(answers)).
		Int("batches", int64(batches)).
		Int("unacked", int64(unacked)).
		Int("pending", int64(pending)).
		Int("heapBytes", int64(memory.HeapAlloc)).
		String())
	out = [8]uint32{pointer(page.text), uint32(len(page.text))}
	return unsafe.Pointer(&out)
}

// kinopio_ws_opened says that a socket is open, and by which way, in a text of n bytes in the buffer.
//
//go:wasmexport kinopio_ws_opened
func kinopioWsOpened(id, n uint32) { page.sockets.opened(id, staged(n)) }

// staged is a text of n bytes in the buffer.
func staged(n uint32) string {
	if n == 0 {
		return ""
	}
	return string(page.staged[:n])
}

// kinopio_ws_room returns the address of two pieces (address and length each) for the n
// bytes of a frame; kinopio_ws_commit follows at once.
//
//go:wasmexport kinopio_ws_room
func kinopioWsRoom(id, n uint32) unsafe.Pointer {
	first, second := page.sockets.room(id, int(n))
	out = [8]uint32{pointer(first), uint32(len(first)), pointer(second), uint32(len(second))}
	return unsafe.Pointer(&out)
}

// kinopio_ws_commit says that the n bytes are there. It returns what [after] does.
//
//go:wasmexport kinopio_ws_commit
func kinopioWsCommit(id, n uint32) uint32 {
	giveBack()
	return after(page.sockets.commit(id, int(n)))
}

// kinopio_ws_drained says that a socket that was full takes more.
//
//go:wasmexport kinopio_ws_drained
func kinopioWsDrained(id uint32) { page.sockets.drained(id) }

// kinopio_ws_late says that a way has opened to a URL that a hub has dialed; it is a text of n bytes in the buffer.
//
//go:wasmexport kinopio_ws_late
func kinopioWsLate(hub, n uint32) { page.sockets.late(hub, staged(n)) }

// kinopio_ws_ended says that a socket has ended, how, and with a text of n bytes in the buffer.
//
//go:wasmexport kinopio_ws_ended
func kinopioWsEnded(id, how, n uint32) {
	page.sockets.ended(id, how, staged(n))
}

// get returns a buffer of at least n bytes.
func (p *pool) get(n int) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n > inputBytes {
		if b := p.large; len(b) >= n {
			p.large = nil
			return b
		}
		return make([]byte, n)
	}
	if last := len(p.free) - 1; last >= 0 {
		b := p.free[last]
		p.free = p.free[:last]
		return b
	}
	return make([]byte, inputBytes)
}

// late says that a way has opened to a URL that a hub has dialed in vain, or reached by another one.
func (s *sockets) late(hub uint32, url string) {
	s.mu.Lock()
	l := s.lates[hub]
	s.mu.Unlock()
	if l != nil {
		l.Opened(url)
	}
}

// forget lets go of a hub that has ended.
func (s *sockets) forget(hub uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.lates, hub)
}
