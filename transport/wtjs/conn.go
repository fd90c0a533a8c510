//go:build js

package wtjs

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall/js"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/transport"
	"github.com/kinopio-hub/kinopio-hub/v3/transport/inbox"
)

const (
	// highWater is how much may be written that the browser has not taken over yet, above which Write waits.
	highWater = 1 << 20
	// maxChunk is how much of a large Write goes at once, so that what waits stays near highWater.
	maxChunk = 256 << 10
	// unreadMost is how much may have been received and not been read, above which the browser is asked for no more: the
	// server waits then.
	unreadMost = 1 << 20
	// farewell is how long what was written before Close may take to be sent.
	farewell = time.Second
	// stuck is how long promises of a session that was closed may take to be settled: Firefox never settles a write that the
	// server did not take.
	stuck = 2 * time.Second
)

// conn is the stream of a session. Its callbacks never wait.
type conn struct {
	url     string
	session js.Value
	bytes   js.Value // the constructor Uint8Array
	funcs   *funcs
	in      *inbox.Queue

	opened chan struct{}
	ended  chan struct{} // by either end; what it was is in local, err and the queue
	room   chan struct{} // a token: the browser has taken over what was written

	// Callbacks of promises, and what they set. A js.Func that a promise calls after its release is an error in the
	// console: so they live until no promise is left, which the end of the session sees to.
	onReady, onStream, onChunk, onFailure, onSent js.Func
	reader, writer                                js.Value

	mu       sync.Mutex // guards what follows
	local    bool       // ended by Close
	err      error      // why, if not by Close
	promises int        // that will still call
	released bool
	unsent   []int // sizes of the writes that the browser has not taken over
	waiting  int   // their sum
	paused   bool  // nothing is asked for: too much was not read

	writing  sync.Mutex
	deadline inbox.Deadline // of Write
}

func newConn(session js.Value, url string, f *funcs) *conn {
	c := &conn{
		url:     url,
		session: session,
		bytes:   js.Global().Get("Uint8Array"),
		funcs:   f,
		in:      inbox.New(0),
		opened:  make(chan struct{}),
		ended:   make(chan struct{}),
		room:    make(chan struct{}, 1),
	}
	c.onReady, c.onStream, c.onChunk = c.callback(c.ready), c.callback(c.streamed), c.callback(c.received)
	c.onFailure, c.onSent = c.callback(c.failed), c.callback(c.sent)
	ignore(session.Get("closed")) // what it says, the stream has said
	c.after(session.Get("ready"), c.onReady, c.onFailure)
	return c
}

// ignore takes the failure of a promise, which else would be an error that nobody has caught.
func ignore(promise js.Value) {
	promise.Call("catch", js.Global().Get("Function").Get("prototype")) // a function that does nothing
}

// callback makes the function of a promise.
func (c *conn) callback(fn func(js.Value)) js.Func {
	return c.funcs.of(func(v js.Value) {
		fn(v)
		c.mu.Lock()
		defer c.mu.Unlock()
		c.promises--
		c.release()
	})
}

// after calls one of two callbacks when a promise is settled.
func (c *conn) after(promise js.Value, good, bad js.Func) {
	c.mu.Lock()
	c.promises++
	c.mu.Unlock()
	promise.Call("then", good, bad)
}

// release releases the callbacks when nothing will call them any more. c.mu is held.
func (c *conn) release() {
	if c.promises > 0 || c.released || !c.over() {
		return
	}
	c.released = true
	for _, fn := range []js.Func{c.onReady, c.onStream, c.onChunk, c.onFailure, c.onSent} {
		c.funcs.release(fn)
	}
}

func (c *conn) over() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

func (c *conn) ready(js.Value) {
	if c.over() {
		return // Close came first
	}
	streams := c.session.Get("incomingBidirectionalStreams").Call("getReader")
	ignore(streams.Get("closed"))
	c.after(streams.Call("read"), c.onStream, c.onFailure)
}

func (c *conn) streamed(result js.Value) {
	stream := result.Get("value")
	if c.over() {
		return
	}
	if stream.Type() != js.TypeObject {
		c.end(c.unclean("read", errors.New("the session ended before it had a stream")))
		return
	}
	c.reader, c.writer = stream.Get("readable").Call("getReader"), stream.Get("writable").Call("getWriter")
	ignore(c.reader.Get("closed"))
	ignore(c.writer.Get("closed"))
	close(c.opened)
	c.ask()
}

// ask asks for the next bytes.
func (c *conn) ask() { c.after(c.reader.Call("read"), c.onChunk, c.onFailure) }

func (c *conn) received(result js.Value) {
	if result.Get("done").Truthy() {
		if !c.end(io.EOF) {
			c.letGo() // after Close: the server has taken what there was
		}
		return
	}
	if c.over() {
		c.ask() // until the server ends it, too
		return
	}
	array := result.Get("value")
	n := array.Length()
	first, second := c.in.Reserve(n)
	switch {
	case len(first) == n:
		js.CopyBytesToGo(first, array)
	case len(first)+len(second) == n:
		js.CopyBytesToGo(first, array)
		js.CopyBytesToGo(second, array.Call("subarray", len(first)))
	}
	c.in.Commit(n)
	c.mu.Lock()
	paused := c.in.Buffered() >= unreadMost
	c.paused = paused
	c.mu.Unlock()
	if !paused {
		c.ask()
	}
}

func (c *conn) failed(cause js.Value) { c.end(c.unclean("read", failure(cause))) }

// sent follows writes, in their order. Why one has failed, reading says.
func (c *conn) sent(js.Value) {
	c.mu.Lock()
	c.waiting -= c.unsent[0]
	c.unsent = c.unsent[1:]
	c.mu.Unlock()
	select {
	case c.room <- struct{}{}:
	default:
	}
}

func (c *conn) unclean(op string, err error) error {
	return &transport.Error{Op: op, URL: c.url, Err: fmt.Errorf("%w: %w", transport.ErrUnclean, err)}
}

// cause is why it has not opened.
func (c *conn) cause() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := errors.AsType[*transport.Error](c.err); ok {
		return e.Err
	}
	return c.err
}

// end is the end from outside, or by Close. The first call counts, and says so.
func (c *conn) end(err error) (first bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over() {
		return false
	}
	c.err = err
	c.local = err == net.ErrClosed
	c.in.End(err)
	close(c.ended)
	if !c.local {
		c.letGo()
	}
	c.release()
	return true
}

// letGo ends the session at once, if it has not ended.
func (c *conn) letGo() {
	closeSession(c.session)
	time.AfterFunc(stuck, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.promises = 0 // of those that are left
		c.release()
	})
}

func closeSession(session js.Value) {
	defer func() {
		if e := recover(); e != nil {
			if _, ok := e.(js.Error); !ok {
				panic(e)
			}
		}
	}()
	session.Call("close")
}

// Close ends Read and Write at once. The browser sends what was written and then closes, in
// the background.
func (c *conn) Close() error {
	c.in.Close()
	if !c.end(net.ErrClosed) {
		return nil
	}
	select {
	case <-c.opened:
	default:
		c.letGo()
		return nil
	}
	ignore(c.writer.Call("close")) // after all writes
	c.mu.Lock()
	paused := c.paused
	c.paused = false
	c.mu.Unlock()
	if paused {
		c.ask()
	}
	time.AfterFunc(farewell, c.letGo)
	// And the browser's own timer: this program may end before.
	js.Global().Call("setTimeout", c.session.Get("close").Call("bind", c.session), farewell.Milliseconds())
	return nil
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.in.Read(p)
	c.mu.Lock()
	resume := c.paused && !c.over() && c.in.Buffered() < unreadMost/2
	if resume {
		c.paused = false
	}
	c.mu.Unlock()
	if resume {
		c.ask()
	}
	return n, err
}

func (c *conn) Write(p []byte) (n int, err error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	for {
		if err := c.awaitRoom(); err != nil {
			return n, err
		}
		if piece := p[n:min(len(p), n+maxChunk)]; len(piece) > 0 {
			array := c.bytes.New(len(piece))
			js.CopyBytesToJS(array, piece)
			c.mu.Lock()
			c.unsent = append(c.unsent, len(piece))
			c.waiting += len(piece)
			c.mu.Unlock()
			c.after(c.writer.Call("write", array), c.onSent, c.onSent)
			n += len(piece)
		}
		if n == len(p) {
			return n, nil
		}
	}
}

// awaitRoom returns when less than highWater waits to be taken over.
func (c *conn) awaitRoom() error {
	for {
		c.mu.Lock()
		waiting, local, over := c.waiting, c.local, c.over()
		c.mu.Unlock()
		switch {
		case local:
			return net.ErrClosed
		case over:
			return c.unclean("write", errors.New("the session is closed"))
		case c.deadline.Expired():
			return os.ErrDeadlineExceeded
		case waiting < highWater:
			return nil
		}
		select {
		case <-c.room:
		case <-c.deadline.Done():
		case <-c.ended:
		}
	}
}

func (c *conn) LocalAddr() net.Addr                { return addr("") }
func (c *conn) RemoteAddr() net.Addr               { return addr(c.url) }
func (c *conn) SetReadDeadline(t time.Time) error  { c.in.SetReadDeadline(t); return nil }
func (c *conn) SetWriteDeadline(t time.Time) error { c.deadline.Set(t); return nil }
func (c *conn) SetDeadline(t time.Time) error {
	c.in.SetReadDeadline(t)
	c.deadline.Set(t)
	return nil
}

// addr is a URL: a browser tells no addresses.
type addr string

func (addr) Network() string  { return "webtransport" }
func (a addr) String() string { return string(a) }
