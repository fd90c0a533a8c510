//go:build js

package wtjs_test

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"os"
	"strings"
	"syscall/js"
	"testing"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/transport"
	"github.com/kinopio-hub/kinopio-hub/v3/transport/transporttest"
	"github.com/kinopio-hub/kinopio-hub/v3/transport/wtjs"
)

const patience = 30 * time.Second

func TestWebTransportKeepsTheContract(t *testing.T) {
	if os.Getenv("KINOPIO_BROWSER") == "webkit" {
		if (wtjs.Dialer{}).Available() {
			t.Fatal("WebKitGTK has WebTransport now: play the contract there")
		}
		return
	}
	defer transporttest.NoLeaks(t)
	t.Run("contract", func(t *testing.T) {
		transporttest.Run(t, func(t *testing.T) transporttest.Subject {
			dialer, live := wtjs.Counted(here(t))
			return transporttest.Subject{
				Dialer: dialer,
				Peers:  peers(t),
				Blind:  true,
				Settled: func(t *testing.T) {
					// What was written before Close is still being sent, or taken back.
					await(t, "the js.Funcs are released", func() bool { return live() == 0 })
				},
			}
		})
	})
}

func peers(t *testing.T) transporttest.Peers {
	t.Helper()
	p, err := transporttest.PeersFromEnv(transporttest.WTPeersVariable)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func here(t *testing.T) wtjs.Dialer {
	t.Helper()
	hash := os.Getenv(transporttest.WTHashVariable)
	if hash == "" {
		t.Fatalf("%s is not set", transporttest.WTHashVariable)
	}
	return wtjs.Dialer{CertificateHashes: []string{base64.StdEncoding.EncodeToString(make([]byte, 32)), hash}}
}

func await(t *testing.T, what string, true func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !true(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// fake returns a constructor of sessions, which have all that they were asked for in their fields.
func fake() (constructor, session js.Value) {
	made := js.Global().Get("Function").New(`
		const session = { asked: 0, written: 0, closes: 0, finished: false };
		session.ready = new Promise((yes, no) => Object.assign(session, { accept: yes, refuse: no }));
		session.closed = new Promise(() => {});
		session.close = () => { session.closes++; session.refuse(new Error("closed")); session.fail?.(new Error("closed")); };
		const reader = {
			closed: new Promise(() => {}),
			read() { session.asked++; return new Promise((yes, no) => Object.assign(session, { inward: yes, fail: no })); },
		};
		const writer = {
			closed: new Promise(() => {}),
			write(p) { session.written += p.length; return new Promise((yes) => (session.taken = yes)); },
			close() { session.finished = true; return Promise.resolve(); },
		};
		const stream = { readable: { getReader: () => reader }, writable: { getWriter: () => writer } };
		session.incomingBidirectionalStreams = { getReader: () => ({ closed: new Promise(() => {}), read: async () => ({ value: stream }) }) };
		return { session, constructor: function (url, options) { Object.assign(session, { url, options }); return session; } };`).Invoke()
	return made.Get("constructor"), made.Get("session")
}

func (s opened) came(bytes int) {
	s.session.Call("inward", map[string]any{"value": js.Global().Get("Uint8Array").New(bytes), "done": false})
}

type opened struct {
	io.ReadWriteCloser
	session js.Value
	live    func() int
}

func open(t *testing.T) opened {
	t.Helper()
	constructor, session := fake()
	d, live := wtjs.Counted(wtjs.Dialer{New: constructor})
	session.Call("accept")
	c, err := d.Dial(t.Context(), "https://me:secret@host:1/path#part")
	if err != nil {
		t.Fatal(err)
	}
	if url := session.Get("url").String(); url != "https://host:1/path" {
		t.Errorf("the browser was given %s", url)
	}
	return opened{c, session, live}
}

// A server that sends faster than is read is held back: the browser is asked for no more.
func TestUnreadBytesHoldTheServerBack(t *testing.T) {
	s := open(t)
	defer s.Close()
	asked := func() int { return s.session.Get("asked").Int() }
	await(t, "asked", func() bool { return asked() == 1 })
	s.came(1 << 20)
	time.Sleep(20 * time.Millisecond) // nothing can be waited for: it should not happen
	if n := asked(); n != 1 {
		t.Fatalf("asked %d times while a mebibyte is unread", n)
	}
	if n, err := io.ReadFull(s, make([]byte, 1<<20)); err != nil {
		t.Fatal(n, err)
	}
	await(t, "asked again", func() bool { return asked() == 2 })
	s.came(10)
	if _, err := io.ReadFull(s, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
}

func TestWriteWaitsUntilTheBrowserTakes(t *testing.T) {
	s := open(t)
	defer s.Close()
	done := make(chan error, 1)
	go func() {
		_, err := s.Write(make([]byte, 3<<20))
		done <- err
	}()
	written := func() int { return s.session.Get("written").Int() }
	await(t, "a mebibyte is written", func() bool { return written() == 1<<20 })
	time.Sleep(20 * time.Millisecond)
	if n := written(); n != 1<<20 {
		t.Fatalf("%d bytes were written that the browser has not taken", n)
	}
	s.Close()
	if err := <-done; err == nil {
		t.Error("a write of three mebibytes, of which one was taken, has succeeded")
	}
}

// What was written goes out before the session is closed, which it is in any case.
func TestCloseWritesFirst(t *testing.T) {
	s := open(t)
	if _, err := s.Write([]byte("last")); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if !s.session.Get("finished").Truthy() || s.session.Get("closes").Int() != 0 {
		t.Fatalf("finished %v, closed %v", s.session.Get("finished"), s.session.Get("closes"))
	}
	s.session.Call("taken")
	await(t, "closed", func() bool { return s.session.Get("closes").Int() > 0 })
	await(t, "released", func() bool { return s.live() == 0 })
}

func TestRefusedAndCancelledDialsLeaveNothing(t *testing.T) {
	constructor, session := fake()
	d, live := wtjs.Counted(wtjs.Dialer{New: constructor})
	session.Call("refuse", js.Global().Get("Error").New("Opening handshake failed."))
	if _, err := d.Dial(t.Context(), "https://host"); !errors.Is(err, transport.ErrUnreachable) || !strings.Contains(err.Error(), "Opening handshake failed.") {
		t.Error(err)
	}
	await(t, "released", func() bool { return live() == 0 })

	constructor, session = fake()
	d.New = constructor
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := d.Dial(ctx, "https://host"); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if n := session.Get("closes").Int(); n != 1 {
		t.Errorf("closed %d times", n)
	}
	await(t, "released", func() bool { return live() == 0 })
}

func TestWhatTheBrowserDoesNotEvenTry(t *testing.T) {
	for name, want := range map[string]error{"SecurityError": transport.ErrUnreachable, "SyntaxError": transport.ErrURL} {
		throws := js.Global().Get("Function").New("name", `
			return function () { const e = new Error("forbidden"); e.name = name; throw e; };`).Invoke(name)
		_, err := wtjs.Dialer{New: throws}.Dial(t.Context(), "https://host")
		if _, ok := errors.AsType[*transport.Error](err); !ok || !errors.Is(err, want) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := (wtjs.Dialer{New: js.Null()}).Dial(t.Context(), "https://host"); !errors.Is(err, transport.ErrUnreachable) || (wtjs.Dialer{New: js.Null()}).Available() {
		t.Errorf("without WebTransport: %v", err)
	}
	constructor, _ := fake()
	if _, err := (wtjs.Dialer{New: constructor, CertificateHashes: []string{"no hash"}}).Dial(t.Context(), "https://host"); err == nil || !strings.Contains(err.Error(), `CertificateHashes[0] "no hash"`) {
		t.Errorf("with a hash that is none: %v", err)
	}
}
