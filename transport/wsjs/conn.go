//go:build js

package wsjs

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
	// highWater is the bufferedAmount above which Write waits.
	highWater = 1 << 20
	// maxMessage is how much of a large Write goes at once, so that the buffer stays near
	// highWater.
	maxMessage = 256 << 10
	// firstPoll and lastPoll are the pauses between looks at bufferedAmount, which has no
	// event. What arrives from the peer also causes a look, because a browser slows down the
	// timers of a hidden page.
	firstPoll = time.Millisecond
	lastPoll  = 16 * time.Millisecond

	stateClosed = 3 // WebSocket.CLOSED
)

// conn is a WebSocket as a stream. Its callbacks never wait.
type conn struct {
	url    string
	socket js.Value
	bytes  js.Value // the constructor Uint8Array
	funcs  *funcs
	in     *inbox.Queue

	opened  chan struct{}
	ended   chan struct{} // by either end; what it was is in local and in the queue
	arrived chan struct{} // a token: a message has come

	mu        sync.Mutex // guards what follows
	local     bool       // ended by Close
	callbacks []js.Func

	writing  sync.Mutex
	deadline inbox.Deadline // of Write
}

func newConn(socket js.Value, url string, f *funcs) *conn {
	c := &conn{
		url:     url,
		socket:  socket,
		bytes:   js.Global().Get("Uint8Array"),
		funcs:   f,
		in:      inbox.New(0),
		opened:  make(chan struct{}),
		ended:   make(chan struct{}),
		arrived: make(chan struct{}, 1),
	}
	socket.Set("binaryType", "arraybuffer")
	for event, fn := range map[string]func(js.Value){
		"onopen":    func(js.Value) { close(c.opened) },
		"onmessage": c.onMessage,
		"onerror":   c.onError,
		"onclose":   c.onClose,
	} {
		callback := f.of(fn)
		c.callbacks = append(c.callbacks, callback)
		socket.Set(event, callback)
	}
	return c
}

func (c *conn) onMessage(event js.Value) {
	data := event.Get("data")
	if data.Type() == js.TypeString {
		c.end(c.unclean("read", errors.New("the peer sent text instead of bytes")), false)
		return
	}
	array := c.bytes.New(data)
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
	select {
	case c.arrived <- struct{}{}:
	default:
	}
}

// onError is the end when the socket is closed by then or was never open: a refusal by the
// page's security policy, or by Node's TLS, fires no close event.
func (c *conn) onError(js.Value) {
	select {
	case <-c.opened:
		if c.socket.Get("readyState").Int() != stateClosed {
			return
		}
	default:
	}
	c.end(c.unclean("read", errors.New("the WebSocket failed")), false)
}

func (c *conn) onClose(event js.Value) {
	code, clean := event.Get("code").Int(), event.Get("wasClean").Truthy()
	switch {
	case clean && (code == 1000 || code == 1001 || code == 1005): // normal, going away, not said
		c.end(io.EOF, false)
	default:
		reason := fmt.Sprintf("closed with status %d", code)
		if text := event.Get("reason").String(); text != "" {
			reason += ": " + text
		}
		c.end(c.unclean("read", errors.New(reason)), false)
	}
}

func (c *conn) unclean(op string, err error) error {
	return &transport.Error{Op: op, URL: c.url, Err: fmt.Errorf("%w: %w", transport.ErrUnclean, err)}
}

// end detaches the socket and lets it close. The first call counts.
func (c *conn) end(err error, local bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.local = c.local || local
	select {
	case <-c.ended:
		return
	default:
	}
	for _, event := range []string{"onopen", "onmessage", "onclose"} {
		c.socket.Set(event, js.Null())
	}
	// A function of JavaScript that does nothing: the package ws for Node throws when an
	// error, such as that of a dial which is given up, finds no handler.
	c.socket.Set("onerror", js.Global().Get("Function").Get("prototype"))
	for _, callback := range c.callbacks {
		c.funcs.release(callback)
	}
	c.callbacks = nil
	c.socket.Call("close", 1000)
	c.in.End(err)
	close(c.ended)
}

// Close ends Read and Write at once. The browser sends what was written and then closes, in
// the background.
func (c *conn) Close() error {
	c.in.Close()
	c.end(net.ErrClosed, true)
	return nil
}

func (c *conn) Read(p []byte) (int, error) { return c.in.Read(p) }

func (c *conn) Write(p []byte) (n int, err error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	for {
		if err := c.awaitRoom(); err != nil {
			return n, err
		}
		if piece := p[n:min(len(p), n+maxMessage)]; len(piece) > 0 {
			array := c.bytes.New(len(piece))
			js.CopyBytesToJS(array, piece)
			c.socket.Call("send", array) // does not throw once the socket was open
			n += len(piece)
		}
		if n == len(p) {
			return n, nil
		}
	}
}

// awaitRoom returns when bufferedAmount is below highWater.
func (c *conn) awaitRoom() error {
	var pause time.Duration
	for {
		select {
		case <-c.ended:
			c.mu.Lock()
			defer c.mu.Unlock()
			if c.local {
				return net.ErrClosed
			}
			return c.unclean("write", errors.New("the WebSocket is closed"))
		case <-c.deadline.Done():
			return os.ErrDeadlineExceeded
		default:
		}
		if c.socket.Get("bufferedAmount").Int() < highWater {
			return nil
		}
		pause = min(max(2*pause, firstPoll), lastPoll)
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-c.arrived:
		case <-c.deadline.Done():
		case <-c.ended:
		}
		timer.Stop()
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

func (addr) Network() string  { return "websocket" }
func (a addr) String() string { return string(a) }
