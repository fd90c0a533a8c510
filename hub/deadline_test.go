package hub_test

import (
	"bufio"
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// A scripted server speaks just enough NATS to be connected to.
type scripted struct {
	net.Listener
	deaf atomic.Bool // it does not read any more
	info string      // beside what has to be there
}

func script(t testing.TB, info string) *scripted {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &scripted{Listener: l, info: info}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
			go s.talk(c)
		}
	}()
	return s
}

func (s *scripted) talk(c net.Conn) {
	c.Write([]byte(`INFO {"server_id":"X","headers":true,"max_payload":8388608` + s.info + "}\r\n"))
	r := bufio.NewReader(c)
	for !s.deaf.Load() {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		if strings.HasPrefix(line, "PING") {
			c.Write([]byte("PONG\r\n"))
		}
	}
}

// Every call returns when its context ends, and says so, where the connection takes nothing more; what
// takes no context does not wait at all.
func TestCallsReturnInTimeOnACongestedConnection(t *testing.T) {
	s := script(t, "")
	h := openHub(t, hub.Config{Servers: []string{"nats://" + s.Addr().String()}, PingInterval: time.Minute, Standby: true})
	v := h.Scope("a").Variable("b")
	sub, err := v.Sub(soon(t), func(*hub.Message) {})
	if err != nil {
		t.Fatal(err)
	}
	s.deaf.Store(true)
	filled := make(chan struct{})
	for range 3 { // so that others wait before the calls
		go func() {
			defer func() { filled <- struct{}{} }()
			for h.Send(hub.OutMsg{Subject: "big", Data: make([]byte, 1<<20)}).Err() == nil {
			}
		}()
	}
	defer func() {
		h.Close()
		for range 3 {
			<-filled
		}
	}()
	const limit = 200 * time.Millisecond
	waitFor(t, "congestion", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		return v.Pub(ctx, 1) != nil
	})
	calls := map[string]func(context.Context) error{
		"Pub":      func(ctx context.Context) error { return v.Pub(ctx, "x") },
		"PubBytes": func(ctx context.Context) error { return v.PubBytes(ctx, []byte("x")) },
		"Req":      func(ctx context.Context) error { _, err := v.Req(ctx, 1); return err },
		"ReqMany": func(ctx context.Context) error {
			_, err := v.ReqMany(ctx, 1, hub.ReqManyOptions{Window: time.Minute})
			return err
		},
		"Sub":   func(ctx context.Context) error { _, err := v.Sub(ctx, func(*hub.Message) {}); return err },
		"Ready": sub.Ready,
		"Serve": func(ctx context.Context) error {
			_, err := v.Serve(ctx, func(context.Context, *hub.Message) (any, error) { return nil, nil })
			return err
		},
		"Flush":           h.Flush,
		"value's Ready":   h.Scope("a").Variable("silent").Ready,
		"Drain":           sub.Drain,
		"several at once": func(ctx context.Context) error { go v.Pub(ctx, 2); go v.Req(ctx, 2); return v.Pub(ctx, 3) },
	}
	for name, call := range calls {
		for _, end := range []string{"deadline", "already expired", "canceled"} {
			ctx, cancel := context.WithTimeout(context.Background(), limit)
			want, code := context.DeadlineExceeded, "TIMEOUT"
			switch end {
			case "already expired":
				cancel()
				ctx, cancel = context.WithTimeout(context.Background(), -1)
			case "canceled":
				cancel()
				want, code = context.Canceled, "CANCELED"
				ctx, cancel = context.WithCancel(context.Background())
				time.AfterFunc(limit, cancel)
			}
			start := time.Now()
			err := call(ctx)
			cancel()
			if took := time.Since(start); took > 2*time.Second {
				t.Errorf("%s, %s: returned after %v", name, end, took)
			}
			if !errors.Is(err, want) || hub.Code(err) != code {
				t.Errorf("%s, %s: %v (%s), want %v and %s", name, end, err, hub.Code(err), want, code)
			}
			if text := err.Error(); name != "Flush" && name != "Ready" && name != "Drain" && !strings.Contains(text, "a.") || end == "deadline" && !strings.Contains(text, "ms") && !strings.Contains(text, "s ") {
				t.Errorf("%s, %s: %q, want the subject and the time", name, end, text)
			}
		}
	}
	for name, call := range map[string]func(){
		"Status": func() { h.Status() }, "Health": func() { h.Health() }, "State": func() { h.State() },
		"DiscoveryStatus": func() { h.DiscoveryStatus() }, "Value": func() { v.Value() }, "CheckLink": h.CheckLink,
		"Unsubscribe": func() { sub.Unsubscribe() },
	} {
		start := time.Now()
		call()
		if took := time.Since(start); took > time.Second {
			t.Errorf("%s took %v", name, took)
		}
	}
}

// What waits for room keeps its order, and nothing of it is lost when there is room again.
func TestOrderIsKeptWhileTheConnectionIsCongested(t *testing.T) {
	s := startServer(t, nil)
	var slow atomic.Bool
	slow.Store(true)
	address := delayedWhile(t, strings.TrimPrefix(s.ClientURL(), "nats://"), 20*time.Millisecond, &slow)
	h := openHub(t, hub.Config{Servers: []string{"nats://" + address}})
	listener := openHub(t, hub.Config{Servers: []string{s.ClientURL()}})
	const publishers, messages = 8, 400
	last := map[string]int{}
	done := make(chan struct{})
	total := 0
	sub, err := listener.Subscribe("n.*", hub.SubOptions{}, func(m *hub.Message) {
		n := int(m.Data[0])<<8 | int(m.Data[1])
		if n != last[m.Subject]+1 {
			t.Errorf("%s: %d after %d", m.Subject, n, last[m.Subject])
		}
		last[m.Subject] = n
		if total++; total == publishers*messages {
			close(done)
		}
	})
	if err != nil || sub.Ready(soon(t)) != nil {
		t.Fatal(err)
	}
	for p := range publishers {
		go func() {
			v := h.Scope("n").Variable(string(rune('a' + p)))
			for i := range messages {
				data := make([]byte, 8<<10)
				data[0], data[1] = byte((i+1)>>8), byte(i+1)
				if err := v.PubBytes(context.Background(), data); err != nil {
					t.Error(err)
					return
				}
			}
		}()
	}
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("not everything came in a minute")
	}
}
