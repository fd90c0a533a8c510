//go:build !js

package hub

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/kinopio-hub/kinopio-hub/v3/transport"
)

// played is a connection without a network: what is written vanishes, what is poured in is the benchmark's.
type played struct {
	net.Conn
	greeting io.Reader
	sink     chan transport.Sink
	ended    chan struct{}
}

func (c *played) Read(p []byte) (int, error) {
	if n, err := c.greeting.Read(p); err == nil {
		return n, nil
	}
	<-c.ended
	return 0, io.EOF
}
func (c *played) Write(p []byte) (int, error) { return len(p), nil }
func (c *played) TryWrite([]byte) bool        { return true }
func (c *played) Pour(s transport.Sink)       { c.sink <- s }
func (c *played) Close() error                { return nil }

type playing struct{ conn *played }

func (playing) Schemes() []string { return []string{"nats"} }
func (p playing) Dial(context.Context, string) (net.Conn, error) {
	p.conn.greeting = strings.NewReader("INFO {\"max_payload\":1000000,\"headers\":true}\r\nPONG\r\n")
	return p.conn, nil
}

// What a hub takes for messages of 100 bytes from the bytes of a socket to a variable's value, and from Publish to
// the bytes of a socket, without either socket: a thousand messages an operation.
func BenchmarkEngineAlone(b *testing.B) {
	c := &played{sink: make(chan transport.Sink, 1), ended: make(chan struct{})}
	defer close(c.ended)
	h, err := Open(context.Background(), Config{
		Servers: []string{"nats://x:1"}, Dialers: []transport.Dialer{playing{c}}, PingInterval: 1 << 40, Repair: Repair{Bytes: -1},
	})
	if err != nil {
		b.Fatal(err)
	}
	if err := h.Connected(context.Background()); err != nil {
		b.Fatal(err)
	}
	sink := <-c.sink
	h.Scope("a").Variable("b").Value()
	data := strings.Repeat("x", 100)
	for name, format := range map[string]string{
		"receive a run":   "MSG a.b %d 100\r\n" + data + "\r\n",
		"receive singles": "MSG a.b %d r.1 100\r\n" + data + "\r\n",
	} {
		var text string
		for sid := 1; sid < 10; sid++ { // which of them the variable's is
			text += fmt.Sprintf(format, sid)
		}
		text = strings.Repeat(text, 111)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				copy(sink.Room(len(text)), text)
				sink.Filled(len(text))
			}
		})
	}
	m := OutMsg{Subject: "a.c", Data: []byte(data)}
	b.Run("publish", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for range 1000 {
				h.Publish(m)
			}
		}
	})
}
