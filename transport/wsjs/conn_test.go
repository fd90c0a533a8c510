//go:build js

package wsjs_test

import (
	"context"
	"errors"
	"io"
	"net"
	"syscall/js"
	"testing"

	"github.com/kinopio-hub/kinopio-hub/v3/transport"
	"github.com/kinopio-hub/kinopio-hub/v3/transport/transporttest"
	"github.com/kinopio-hub/kinopio-hub/v3/transport/wsjs"
)

func TestWebSocketKeepsTheContract(t *testing.T) {
	defer transporttest.NoLeaks(t)
	t.Run("contract", func(t *testing.T) {
		transporttest.Run(t, func(t *testing.T) transporttest.Subject {
			peers, err := transporttest.PeersFromEnv(transporttest.PeersVariable)
			if err != nil {
				t.Fatal(err)
			}
			dialer, live := wsjs.Counted(wsjs.Dialer{})
			return transporttest.Subject{
				Dialer: dialer,
				Peers:  peers,
				Blind:  true,
				Settled: func(t *testing.T) {
					if n := live(); n != 0 {
						t.Errorf("%d js.Funcs were not released", n)
					}
				},
			}
		})
	})
}

// A fakeSocket is a WebSocket whose events the test fires.
type fakeSocket struct {
	js.Value
	constructor js.Value
}

// fake returns a socket, and a constructor that returns it. connected tells when its events
// can be fired.
func fake() fakeSocket {
	made := js.Global().Get("Function").New(`
		const socket = {readyState: 0, bufferedAmount: 0, closed: [], sent: 0,
			close(code) { this.closed.push(code); this.readyState = 2; },
			send(p) { this.sent += p.length; }};
		return {socket, constructor: function () { return socket; }};`).Invoke()
	return fakeSocket{made.Get("socket"), made.Get("constructor")}
}

func (f fakeSocket) fire(event string, fields map[string]any) {
	if handler := f.Get(event); handler.Type() == js.TypeFunction {
		handler.Invoke(fields)
	}
}

// later runs f on the event loop, when what is running has come to wait.
func later(f func()) {
	var callback js.Func
	callback = js.FuncOf(func(js.Value, []js.Value) any {
		defer callback.Release()
		f()
		return nil
	})
	js.Global().Call("setTimeout", callback, 0)
}

func TestErrorWithoutCloseEndsADial(t *testing.T) {
	f := fake()
	d, live := wsjs.Counted(wsjs.Dialer{New: f.constructor})
	later(func() { f.fire("onerror", nil) })
	_, err := d.Dial(t.Context(), "wss://host")
	if !errors.Is(err, transport.ErrUnreachable) || live() != 0 {
		t.Fatalf("got %v, %d js.Funcs left", err, live())
	}
}

func TestErrorWithoutCloseEndsAStream(t *testing.T) {
	f := fake()
	d, live := wsjs.Counted(wsjs.Dialer{New: f.constructor})
	later(func() {
		f.Set("readyState", 1)
		f.fire("onopen", nil)
	})
	c, err := d.Dial(t.Context(), "ws://host")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	later(func() {
		f.fire("onerror", nil) // still open: nothing has ended
		f.fire("onmessage", map[string]any{"data": js.Global().Get("ArrayBuffer").New(3)})
		f.Set("readyState", 3)
		f.fire("onerror", nil)
	})
	p, err := io.ReadAll(c)
	if len(p) != 3 || !errors.Is(err, transport.ErrUnclean) || live() != 0 {
		t.Fatalf("read %d bytes, %v, %d js.Funcs left", len(p), err, live())
	}
}

func TestCancelledDialClosesItsSocketWithCode1000(t *testing.T) {
	f := fake()
	d, live := wsjs.Counted(wsjs.Dialer{New: f.constructor})
	ctx, cancel := context.WithCancel(t.Context())
	later(cancel)
	if _, err := d.Dial(ctx, "ws://host"); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if closed := f.Get("closed"); closed.Length() != 1 || closed.Index(0).Int() != 1000 || live() != 0 {
		t.Fatalf("closed %d times, %d js.Funcs left", closed.Length(), live())
	}
	if f.Get("onerror").Type() != js.TypeFunction {
		t.Error("a late error finds no handler")
	}
}

func TestWriteWaitsWhileTheSocketHoldsAMegabyte(t *testing.T) {
	f := fake()
	later(func() { f.fire("onopen", nil) })
	c, err := wsjs.Dialer{New: f.constructor}.Dial(t.Context(), "ws://host")
	if err != nil {
		t.Fatal(err)
	}
	f.Set("bufferedAmount", 1<<20)
	done := make(chan error)
	go func() {
		_, err := c.Write(make([]byte, 10))
		done <- err
	}()
	later(func() {
		if n := f.Get("sent").Int(); n != 0 {
			t.Errorf("sent %d bytes", n)
		}
		f.Set("bufferedAmount", 0)
	})
	if err := <-done; err != nil || f.Get("sent").Int() != 10 {
		t.Fatalf("sent %d bytes, %v", f.Get("sent").Int(), err)
	}
	c.Close()
	if _, err := c.Write([]byte{1}); !errors.Is(err, net.ErrClosed) {
		t.Fatal(err)
	}
}

func TestConstructorThatThrowsIsATypedError(t *testing.T) {
	for name, want := range map[string]error{"SecurityError": transport.ErrUnreachable, "SyntaxError": transport.ErrURL} {
		throws := js.Global().Get("Function").New("name", `
			return function () { const e = new Error("forbidden"); e.name = name; throw e; };`).Invoke(name)
		_, err := wsjs.Dialer{New: throws}.Dial(t.Context(), "ws://host")
		if _, ok := errors.AsType[*transport.Error](err); !ok || !errors.Is(err, want) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestWithoutAWebSocketDialSaysSo(t *testing.T) {
	if _, err := (wsjs.Dialer{New: js.Null()}).Dial(t.Context(), "ws://host"); err == nil {
		t.Fatal("dialled")
	}
}
