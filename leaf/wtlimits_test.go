package leaf

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/quic-go/quic-go"
)

// quietQUIC opens a QUIC connection that never asks for a session; it keeps itself alive. retries counts how often its
// address had to be proven.
func quietQUIC(ctx context.Context, t *testing.T, l *Leaf, from string, retries *atomic.Int64) (*quic.Conn, error) {
	t.Helper()
	own, err := net.ListenPacket("udp", from+":0")
	if err != nil {
		t.Fatal(err)
	}
	tr := &quic.Transport{Conn: &retryCounter{own, retries}}
	t.Cleanup(func() { tr.Close(); own.Close() })
	to, err := net.ResolveUDPAddr("udp", strings.TrimSuffix(strings.TrimPrefix(manifestWT(t, l).URL, "https://"), WebTransportPath))
	if err != nil {
		t.Fatal(err)
	}
	return tr.Dial(ctx, to, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"h3"}}, &quic.Config{KeepAlivePeriod: time.Second, EnableDatagrams: true, EnableStreamResetPartialDelivery: true})
}

// A retryCounter sees Retry packets of QUIC version 1.
type retryCounter struct {
	net.PacketConn
	retries *atomic.Int64
}

func (r *retryCounter) ReadFrom(b []byte) (int, net.Addr, error) {
	n, from, err := r.PacketConn.ReadFrom(b)
	if n > 5 && b[0]&0xf0 == 0xf0 && b[4] == 1 {
		r.retries.Add(1)
	}
	return n, from, err
}

// Who connects and opens no session is cut, and not who has one.
func TestConnectionsWithoutASessionAreCut(t *testing.T) {
	t.Parallel()
	l, _ := startLeaf(t, config(t))
	page := connectWT(t, l)
	ctx, cancel := timeout()
	defer cancel()
	began := time.Now()
	var none atomic.Int64
	conn, err := quietQUIC(ctx, t, l, "127.0.0.1", &none)
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-conn.Context().Done():
	case <-time.After(silencePatience + patience):
		t.Fatal("it is not cut")
	}
	if took := time.Since(began); took < silencePatience/2 {
		t.Errorf("cut after %v already: %v", took, context.Cause(conn.Context()))
	}
	if err := page.FlushTimeout(patience); err != nil {
		t.Errorf("the page with a session: %v", err)
	}
	if n := none.Load(); n > 0 {
		t.Errorf("one connection had to prove its address %d times", n)
	}
}

// Above a number of connections without a session, addresses must be proven before anything is kept for them;
// who proves comes in.
func TestManyConnectionsWithoutASessionMustProveTheirAddress(t *testing.T) {
	l, _ := startLeaf(t, config(t))
	ctx, cancel := timeout()
	defer cancel()
	open := func(from string) (retries int64) {
		t.Helper()
		var seen atomic.Int64
		if _, err := quietQUIC(ctx, t, l, from, &seen); err != nil {
			t.Fatal(err)
		}
		return seen.Load()
	}
	wt := l.server().wt
	for i := range wtUnproven + 1 { // From two addresses, as one may have so many and no more.
		from := "127.0.0.1"
		if i%2 == 1 {
			from = "127.0.0.2"
		}
		if n := open(from); n > 0 {
			t.Fatalf("connection %d had to prove its address", i)
		}
		for deadline := time.Now().Add(patience); wt.unproven() <= i; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%d of %d connections are counted: the first of them are cut already?", wt.unproven(), i+1)
			}
		}
	}
	if n := open("127.0.0.3"); n == 0 {
		t.Errorf("with %d connections without a session, another one had to prove nothing", wt.unproven())
	}
	if err := connectWT(t, l).FlushTimeout(patience); err != nil {
		t.Errorf("a page that proves its address: %v", err)
	}
}

// A page that does not read is cut, and holds up nobody.
func TestPagesThatDoNotReadAreCut(t *testing.T) {
	t.Parallel()
	l, seen := startLeaf(t, config(t))
	conn, err := wtDialer{at: manifestWT(t, l)}.Dial("", "")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("CONNECT {\"verbose\":false}\r\nSUB flood 1\r\nPING\r\n")); err != nil {
		t.Fatal(err)
	}
	seen.await(t, "the page", func(s Status) bool { return s.WebTransport.Sessions == 1 })
	program := connect(t, l.Status().ClientURL)
	var heard atomic.Int64
	if _, err := program.Subscribe("flood", func(*nats.Msg) { heard.Add(1) }); err != nil {
		t.Fatal(err)
	}
	const most = 4000
	text := make([]byte, 32<<10)
	for range most { // 128 MB, more than is kept for anybody.
		if err := program.Publish("flood", text); err != nil {
			t.Fatal(err)
		}
	}
	if err := program.FlushTimeout(time.Minute); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(3 * wtSlow); ; time.Sleep(50 * time.Millisecond) {
		s := l.Status().WebTransport
		if s.Sessions == 0 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("it is not cut: %+v", s)
		}
	}
	for deadline := time.Now().Add(patience); heard.Load() < most; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the other one got %d of %d", heard.Load(), most)
		}
	}
}

// A listener that was killed and is there again ends the connections of the one before, as it has its key: they do not wait until
// they have heard nothing for long enough.
func TestConnectionsOfAKilledListenerEndWhenItIsBack(t *testing.T) {
	t.Parallel()
	c := config(t)
	c.Ports.WebSocket = freePort(t)
	l, _ := startLeaf(t, c)
	var retries atomic.Int64
	conn, err := quietQUIC(t.Context(), t, l, "127.0.0.1", &retries)
	if err != nil {
		t.Fatal(err)
	}
	wt := l.server().wt
	wt.udp.Close() // Nobody can say goodbye any more.
	within(t, wt.done, "the listener's end")
	// Only packets of some size are answered: those of a page that publishes. What only keeps a connection alive is not.
	for deadline := time.Now().Add(wtAgain + patience); conn.Context().Err() == nil; time.Sleep(20 * time.Millisecond) {
		_ = conn.SendDatagram(make([]byte, 200)) // That it has ended is seen above.
		if time.Now().After(deadline) {
			t.Fatal("the connection does not end")
		}
	}
	if _, ok := errors.AsType[*quic.StatelessResetError](context.Cause(conn.Context())); !ok {
		t.Errorf("it ended by %v, want a reset by the listener's successor", context.Cause(conn.Context()))
	}
}
