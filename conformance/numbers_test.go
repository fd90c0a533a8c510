//go:build !js

package conformance

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/conformance/lab"
	"github.com/kinopio-hub/kinopio-hub/v3/conformance/labapi"
	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// A peer is a client whose every byte is written down here, as one of 2.1.0 sends and hears them.
type peer struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
}

// newPeer connects to a nats:// URL.
func newPeer(t *testing.T, url, connect string) *peer {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "nats://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second)) // nothing here waits so long
	p := &peer{t, conn, bufio.NewReader(conn)}
	p.say("CONNECT " + connect + "\r\n")
	p.settled()
	return p
}

func (p *peer) say(text string) {
	p.t.Helper()
	if _, err := io.WriteString(p.conn, text); err != nil {
		p.t.Fatal(err)
	}
}

// line reads the next one that is about messages, and answers pings.
func (p *peer) line() string {
	p.t.Helper()
	for {
		line, err := p.in.ReadString('\n')
		if err != nil {
			p.t.Fatal(err)
		}
		switch line = strings.TrimSuffix(line, "\r\n"); {
		case line == "PING":
			p.say("PONG\r\n")
		case !strings.HasPrefix(line, "INFO "):
			return line
		}
	}
}

// settled waits until the server has done what it was told.
func (p *peer) settled() {
	p.t.Helper()
	p.say("PING\r\n")
	if line := p.line(); line != "PONG" {
		p.t.Fatalf("got %q, want PONG", line)
	}
}

// hears reads the next message: what stands after MSG or HMSG without the lengths, and the bytes.
func (p *peer) hears() (head, headers, data string) {
	p.t.Helper()
	line := p.line()
	f := strings.Fields(line)
	if len(f) < 4 || f[0] != "MSG" && f[0] != "HMSG" {
		p.t.Fatalf("got %q, want a message", line)
	}
	var total, before int
	if _, err := fmt.Sscan(f[len(f)-1], &total); err != nil {
		p.t.Fatalf("%q: %v", line, err)
	}
	f = f[:len(f)-1]
	if f[0] == "HMSG" {
		if _, err := fmt.Sscan(f[len(f)-1], &before); err != nil {
			p.t.Fatalf("%q: %v", line, err)
		}
		f = f[:len(f)-1]
	}
	all := make([]byte, total+2)
	if _, err := io.ReadFull(p.in, all); err != nil {
		p.t.Fatal(err)
	}
	return strings.Join(f[1:], " "), string(all[:before]), string(all[before:total])
}

// server starts one.
func server(t *testing.T) (url string) {
	t.Helper()
	at, stop, err := lab.Serve()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	opened, err := ask(t.Context(), at, labapi.Command{Do: "open", Scheme: "nats"})
	if err != nil {
		t.Fatal(err)
	}
	return opened.URL
}

func open(t *testing.T, cfg hub.Config) *hub.Hub {
	t.Helper()
	h, err := hub.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() }) // cannot fail
	if err := h.Connected(t.Context()); err != nil {
		t.Fatal(err)
	}
	return h
}

// What clients of 2.1.0 and older NATS clients send and hear, byte by byte.
func TestPeersOf210AreHeardAndHear(t *testing.T) {
	const old = `"verbose":false,"pedantic":false,"protocol":1,"lang":"nats.ws","version":"1.30.0"`
	for name, c := range map[string]struct{ connect, headers string }{
		"with headers":    {`{` + old + `,"headers":true,"no_responders":true}`, "NATS/1.0\r\nKseq:"},
		"without headers": {`{` + old + `,"headers":false}`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			url := server(t)
			h := open(t, hub.Config{Servers: []string{url}})
			p := newPeer(t, url, c.connect)
			p.say("SUB robot.battery 1\r\nSUB robot.theirs 2\r\nSUB _INBOX.peer.* 3\r\n")
			p.settled()

			heard := func(wantHead, wantData string, numbered bool) (head string) {
				t.Helper()
				head, headers, data := p.hears()
				want := ""
				if numbered {
					want = c.headers
				}
				if !strings.HasPrefix(headers, want) || (headers == "") != (want == "") {
					t.Errorf("headers %q, want them to begin with %q", headers, want)
				}
				if !strings.HasPrefix(head, wantHead) || data != wantData {
					t.Errorf("heard %q with %q, want %q with %q", head, data, wantHead, wantData)
				}
				return head
			}
			battery := h.Scope("robot").Variable("battery")
			got := make(chan any, 8)
			if _, err := battery.Sub(t.Context(), func(m *hub.Message) { got <- m.Value() }, hub.SubOptions{}); err != nil {
				t.Fatal(err)
			}
			for i := range 2 {
				if err := battery.Pub(t.Context(), i); err != nil {
					t.Fatal(err)
				}
				heard("robot.battery 1", fmt.Sprint(i), true)
				if v := <-got; v != float64(i) {
					t.Fatalf("the hub got %v from itself, want %d", v, i)
				}
			}
			if err := battery.Set(t.Context(), "set"); err != nil {
				t.Fatal(err)
			}
			_, headers, data := p.hears()
			if data != "set" || strings.Contains(headers, "Kset") != (c.headers != "") {
				t.Errorf("what was set is heard as %q with the headers %q", data, headers)
			}
			if v := <-got; v != "set" {
				t.Fatalf("the hub got %v from itself, want what was set", v)
			}
			p.say("PUB robot.battery 2\r\n77\r\n")
			if v := <-got; v != 77.0 {
				t.Fatalf("the hub got %v, want 77", v)
			}
			heard("robot.battery 1", "77", false)

			answer := make(chan error, 1)
			go func() {
				m, err := h.Scope("robot").Variable("theirs").Req(t.Context(), "ask")
				if err == nil && m.Value() != "told" {
					err = fmt.Errorf("answer %v", m.Value())
				}
				answer <- err
			}()
			head := strings.Fields(heard("robot.theirs 2 ", "ask", true))
			p.say("PUB " + head[len(head)-1] + " 4\r\ntold\r\n")
			if err := <-answer; err != nil {
				t.Fatal(err)
			}

			double := func(_ context.Context, m *hub.Message) (any, error) { return 2 * m.Value().(float64), nil }
			if _, err := h.Scope("robot").Variable("ours").Serve(t.Context(), double, hub.ServeOptions{}); err != nil {
				t.Fatal(err)
			}
			p.say("PUB robot.ours _INBOX.peer.1 2\r\n21\r\n")
			heard("_INBOX.peer.1 3", "42", false)
		})
	}
}

// What a hub keeps, and for how long, as somebody learns who asks for it.
func TestRepairBoundsWhatIsKept(t *testing.T) {
	for name, c := range map[string]struct {
		repair hub.Repair
		again  bool // at once
		gone   bool // in the end
	}{
		"the default":        {hub.Repair{}, true, false},
		"nothing":            {hub.Repair{Bytes: -1}, false, true},
		"less than its size": {hub.Repair{Bytes: 100}, false, true},
		"for a moment":       {hub.Repair{Age: time.Millisecond}, true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := server(t)
			h := open(t, hub.Config{Servers: []string{url}, Repair: c.repair})
			p := newPeer(t, url, `{"verbose":false,"headers":true,"no_responders":true}`)
			p.say("SUB robot.battery 1\r\nSUB _KH.again.> 2\r\nSUB _INBOX.peer 3\r\n")
			p.settled()
			if err := h.Scope("robot").Variable("battery").Pub(t.Context(), 80, hub.PubOptions{Header: hub.Header{"unit": {"percent"}}}); err != nil {
				t.Fatal(err)
			}
			_, headers, _ := p.hears()
			_, number, _ := strings.Cut(headers, "Kseq:")
			stream, rest, _ := strings.Cut(number, ".")
			if len(stream) < 8 || !strings.HasPrefix(rest, "1\r\n") {
				t.Fatalf("headers %q have no number 1", headers)
			}
			publisher := stream[:7]
			question := stream + " 1 1 0 robot.battery\n"
			for i := 0; ; i++ {
				p.say(fmt.Sprintf("PUB _KH.ask.%s _INBOX.peer %d\r\n%s\r\n", publisher, len(question), question))
				head, headers, data := p.hears()
				if head == "_INBOX.peer 3" && strings.HasPrefix(headers, "NATS/1.0 503") {
					i-- // the hub does not listen yet
					continue
				}
				if head != "_KH.again."+publisher+".robot.battery 2" {
					t.Fatalf("the answer is on %q", head)
				}
				again := data == "80" && strings.Contains(headers, "Kseq:"+stream+".1\r\n") && strings.Contains(headers, "unit: percent\r\n")
				gone := data == "" && strings.Contains(headers, "Kseq-Gone: "+stream+" 1 1 1 0\r\n")
				if again == gone || i == 0 && again != c.again {
					t.Fatalf("answer %d: headers %q, data %q; want it again: %v", i, headers, data, c.again)
				}
				if gone == c.gone {
					return
				}
			}
		})
	}
}
