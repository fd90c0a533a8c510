//go:build !js

package native_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/kinopio-hub/kinopio-hub/v3/transport/native"
)

// serve runs handle for each WebSocket and returns the URL.
func serve(t *testing.T, handle func(*websocket.Conn, *http.Request)) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer c.CloseNow()
		c.SetReadLimit(-1)
		handle(c, r)
	}))
	t.Cleanup(s.Close)
	return "ws" + strings.TrimPrefix(s.URL, "http")
}

func TestEachWriteIsOneBinaryMessage(t *testing.T) {
	sizes := []int{1, 125, 126, 4082, 4083, 65535, 65536, 1 << 20}
	got := make(chan int, len(sizes))
	url := serve(t, func(c *websocket.Conn, _ *http.Request) {
		for {
			kind, p, err := c.Read(context.Background())
			if err != nil {
				close(got)
				return
			}
			if kind != websocket.MessageBinary || len(bytes.TrimLeft(p, "x")) > 0 {
				t.Errorf("message of %d bytes is %v, or was changed", len(p), kind)
			}
			got <- len(p)
		}
	})
	c, err := native.Dialer{}.Dial(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range sizes {
		if _, err := c.Write(bytes.Repeat([]byte("x"), n)); err != nil {
			t.Fatal(err)
		}
	}
	c.Close()
	for _, want := range sizes {
		if n := <-got; n != want {
			t.Errorf("got a message of %d bytes, want %d", n, want)
		}
	}
}

func TestPingsAreAnsweredWhileNobodyReads(t *testing.T) {
	answered := make(chan error, 1)
	url := serve(t, func(c *websocket.Conn, _ *http.Request) {
		ctx := c.CloseRead(context.Background())
		answered <- c.Ping(ctx)
		<-ctx.Done()
	})
	c, err := native.Dialer{}.Dial(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetWriteDeadline(time.Now().Add(-time.Hour)); err != nil { // is not for the pong
		t.Fatal(err)
	}
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
}

func TestTheRequestCarriesTheHeaderAndNoPassword(t *testing.T) {
	request := make(chan *http.Request, 1)
	url := serve(t, func(_ *websocket.Conn, r *http.Request) { request <- r })
	d := native.Dialer{Header: http.Header{"Origin": {url}}}
	c, err := d.Dial(t.Context(), strings.Replace(url, "ws://", "ws://user:secret@", 1)+"/path?query=1")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r := <-request
	if r.Header.Get("Origin") != url || r.URL.RequestURI() != "/path?query=1" {
		t.Errorf("got %s with origin %q", r.URL, r.Header.Get("Origin"))
	}
	if r.Header.Get("Authorization") != "" {
		t.Error("the password was sent")
	}
}

func TestCloseDoesNotWaitLongForAPeerThatIsSilent(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	url := serve(t, func(*websocket.Conn, *http.Request) { <-release })
	c, err := native.Dialer{}.Dial(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	c.Close()
	if took := time.Since(start); took > 4*time.Second { // the handshake of websocket.Conn may take 10
		t.Errorf("took %v", took)
	}
	if _, err := c.Read(make([]byte, 1)); err == io.EOF {
		t.Error("closed, but Read says that the peer did it")
	}
}
