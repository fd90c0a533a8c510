package hub

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/natswire"
	"github.com/kinopio-hub/kinopio-hub/v3/transport"
)

// A fakeNet is an in-memory engine: servers that all belong to one system, each so far away,
// for tests in which time is synctest's.
type fakeNet struct {
	mu      sync.Mutex
	servers map[string]*fakeServer
	wires   []*fakeWire
	dials   []string
}

type fakeServer struct {
	rtt    time.Duration
	late   time.Duration // before it takes a connection
	silent bool          // takes the connection and never answers
	down   bool
}

func (n *fakeNet) dial(ctx context.Context, url string, r receiver) (wire, error) {
	n.mu.Lock()
	n.dials = append(n.dials, url)
	s := n.servers[url]
	var now fakeServer // as it is when it is dialed
	if s != nil {
		now = *s
	}
	n.mu.Unlock()
	for trip := range 2 { // TCP, INFO
		wait := time.Hour
		switch {
		case s != nil && !now.silent && trip == 0:
			wait = now.rtt + now.late
		case s != nil && !now.silent:
			wait = now.rtt
		}
		select {
		case <-time.After(wait):
			transport.Progress(ctx)
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %w", ErrConnect, ctx.Err())
		}
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if s == nil || s.down {
		return nil, fmt.Errorf("%w to %s: refused", ErrConnect, url)
	}
	w := &fakeWire{net: n, url: url, rtt: s.rtt, receiver: r, subs: map[*fakeSub]bool{}, accepted: make(chan struct{}), ended: make(chan struct{})}
	n.wires = append(n.wires, w)
	time.AfterFunc(now.rtt, func() { close(w.accepted) }) // PONG
	return w, nil
}

// dialed is how many connections have been tried.
func (n *fakeNet) dialed() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.dials)
}

// cut ends every connection to url, and refuses new ones while down.
func (n *fakeNet) cut(url string, down bool) {
	n.mu.Lock()
	n.servers[url].down = down
	var hit []*fakeWire
	for _, w := range n.wires {
		if w.url == url {
			hit = append(hit, w)
		}
	}
	n.mu.Unlock()
	for _, w := range hit {
		w.Disconnect()
	}
}

type fakeWire struct {
	net      *fakeNet
	url      string
	rtt      time.Duration
	receiver receiver
	subs     map[*fakeSub]bool // guarded by net.mu
	accepted chan struct{}
	once     sync.Once
	ended    chan struct{}
}

type fakeSub struct {
	subject, queue string
	route          any
}

func (w *fakeWire) Accepted() <-chan struct{} { return w.accepted }

func (w *fakeWire) Publish(m natswire.Msg) error {
	if w.gone() {
		return ErrDisconnected
	}
	w.net.mu.Lock()
	type hit struct {
		w *fakeWire
		s *fakeSub
	}
	var hits []hit
	queues := map[string]bool{}
	for _, other := range w.net.wires {
		for s := range other.subs {
			matches := s.subject == m.Subject || s.subject[len(s.subject)-1] == '*' && len(m.Subject) >= len(s.subject) && m.Subject[:len(s.subject)-1] == s.subject[:len(s.subject)-1]
			if !matches || s.queue != "" && queues[s.queue] {
				continue
			}
			queues[s.queue] = true
			hits = append(hits, hit{other, s})
		}
	}
	w.net.mu.Unlock()
	for _, h := range hits {
		h.w.receiver.Receive([]natswire.Inbound{{Route: h.s.route, Subject: m.Subject, Reply: m.Reply, Data: append([]byte(nil), m.Data...)}})
	}
	return nil
}

func (w *fakeWire) Subscribe(subject, queue string, route any) (wireSub, error) {
	if w.gone() {
		return nil, ErrDisconnected
	}
	w.net.mu.Lock()
	defer w.net.mu.Unlock()
	s := &fakeSub{subject, queue, route}
	w.subs[s] = true
	return s, nil
}

func (w *fakeWire) Unsubscribe(s wireSub) error {
	w.net.mu.Lock()
	defer w.net.mu.Unlock()
	delete(w.subs, s.(*fakeSub))
	return nil
}

func (w *fakeWire) Flush(ctx context.Context) error {
	select {
	case <-time.After(w.rtt):
		return nil
	case <-w.ended:
		return ErrDisconnected
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *fakeWire) Ping(answered func()) error {
	if w.gone() {
		return ErrDisconnected
	}
	time.AfterFunc(w.rtt, answered)
	return nil
}

func (w *fakeWire) RTT() time.Duration    { return w.rtt }
func (w *fakeWire) MaxPayload() int       { return 1 << 20 }
func (w *fakeWire) Done() <-chan struct{} { return w.ended }
func (w *fakeWire) Cause() error          { return errors.New("cut") }

func (w *fakeWire) gone() bool {
	select {
	case <-w.ended:
		return true
	default:
		return false
	}
}

func (w *fakeWire) Disconnect() {
	w.once.Do(func() {
		w.net.mu.Lock()
		w.subs = map[*fakeSub]bool{}
		w.net.mu.Unlock()
		close(w.ended)
	})
}

// openFake opens a hub on n, in a synctest bubble.
func openFake(t *testing.T, n *fakeNet, cfg Config) *Hub {
	t.Helper()
	cfg, err := cfg.normalize()
	if err != nil {
		t.Fatal(err)
	}
	h := open(context.Background(), cfg, n)
	t.Cleanup(func() { h.Close() })
	return h
}

const near, mid, far = "nats://near:4222", "nats://mid:4222", "nats://far:4222"

func threeServers() *fakeNet {
	return &fakeNet{servers: map[string]*fakeServer{
		near: {rtt: 10 * time.Millisecond}, mid: {rtt: 100 * time.Millisecond}, far: {rtt: 600 * time.Millisecond},
	}}
}

func connectionTime(t *testing.T, n *fakeNet, cfg Config) (time.Duration, string) {
	t.Helper()
	start := time.Now()
	h := openFake(t, n, cfg)
	if err := h.Connected(context.Background()); err != nil {
		t.Fatal(err)
	}
	return time.Since(start), h.Status().Server
}

func TestLatencyModeFindsTheNearestWithoutWaitingForTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ordered, _ := connectionTime(t, threeServers(), Config{Servers: []string{near, mid, far}, Selection: Ordered})
		latency, server := connectionTime(t, threeServers(), Config{Servers: []string{far, mid, near}})
		if server != near || latency > ordered*3/2 {
			t.Errorf("latency mode took %v to %s, ordered mode with the best first %v", latency, server, ordered)
		}
	})
}

func TestRetriesKeepTheirDistance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := threeServers()
		n.servers[near].down = true
		openFake(t, n, Config{Servers: []string{near}})
		time.Sleep(10 * time.Minute)
		n.mu.Lock()
		defer n.mu.Unlock()
		// At most one in 500 ms, and on average half of 30 s after the first dozen.
		if dials := len(n.dials); dials < 25 || dials > 80 {
			t.Errorf("%d attempts in 10 minutes, want some dozens", dials)
		}
	})
}

func TestLostServerIsTriedAgainAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := threeServers()
		h := openFake(t, n, Config{Servers: []string{far, near}, Selection: Ordered})
		h.Connected(context.Background())
		server := h.Status().Server
		time.Sleep(time.Minute)
		start := time.Now()
		n.cut(server, false)
		synctest.Wait()
		if h.State() != StateConnecting {
			t.Fatalf("state after the loss: %s", h.State())
		}
		h.Connected(context.Background())
		if took, rtt := time.Since(start), n.servers[server].rtt; h.Status().Server != server || took > 4*rtt {
			t.Errorf("back on %s after %v, want %s at once", h.Status().Server, took, server)
		}
	})
}

func TestPublishWithoutAServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := threeServers()
		h := openFake(t, n, Config{Servers: []string{near}, PendingLimit: 100, MaxRetryDelay: 500 * time.Millisecond})
		h.Connected(context.Background())
		time.Sleep(time.Minute)
		n.cut(near, true)
		synctest.Wait()
		start := time.Now()
		small := h.Send(OutMsg{Subject: "a", Data: make([]byte, 60)})
		if err := h.Send(OutMsg{Subject: "a", Data: make([]byte, 60)}).Err(); !errors.Is(err, ErrDisconnected) {
			t.Errorf("a publish over the limit gave %v, want ErrDisconnected", err)
		}
		if err := small.Wait(context.Background()); !errors.Is(err, ErrDisconnected) || time.Since(start) != h.cfg.Timeout {
			t.Errorf("after %v: %v, want ErrDisconnected after %v", time.Since(start), err, h.cfg.Timeout)
		}
		if h.Status().PendingBytes != 0 {
			t.Errorf("%d bytes still wait", h.Status().PendingBytes)
		}
		kept := h.Send(OutMsg{Subject: "a", Data: []byte("kept")})
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := h.Scope("s").Variable("v").Pub(ctx, 1); !errors.Is(err, ErrTimeout) || !errors.Is(err, ErrDisconnected) {
			t.Errorf("a publish whose context ends gave %v", err)
		}
		n.mu.Lock()
		n.servers[near].down = false
		n.mu.Unlock()
		if err := kept.Wait(context.Background()); err != nil {
			t.Errorf("a publish that waited gave %v", err)
		}
	})
}

func TestGivingUpIsFinalUntilConnect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := threeServers()
		h := openFake(t, n, Config{Servers: []string{near}, MaxReconnects: 3})
		h.Connected(context.Background())
		time.Sleep(time.Minute)
		n.cut(near, true)
		time.Sleep(5 * time.Minute)
		if h.State() != StateError || len(n.dials) != 1+3 {
			t.Fatalf("state %s after %d attempts, want error after 4", h.State(), len(n.dials))
		}
		if err := h.Connected(context.Background()); !errors.Is(err, ErrConnect) {
			t.Errorf("Connected gave %v", err)
		}
		n.servers[near].down = false
		h.Connect()
		synctest.Wait()
		if err := h.Connected(context.Background()); err != nil {
			t.Errorf("after Connect: %v", err)
		}
	})
}

// Without reconnecting the first connection is tried for as long as it takes, and its loss is final.
func TestNoReconnects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := threeServers()
		n.servers[near].down = true
		h := openFake(t, n, Config{Servers: []string{near}, MaxReconnects: NoReconnects})
		time.Sleep(time.Minute)
		if dials := n.dialed(); h.State() != StateConnecting || dials < 2 {
			t.Fatalf("%s after %d attempts, want the first connection to be tried again", h.State(), dials)
		}
		n.cut(near, false)
		if err := h.Connected(context.Background()); err != nil {
			t.Fatal(err)
		}
		dials := n.dialed()
		time.Sleep(time.Minute)
		n.cut(near, false)
		time.Sleep(time.Minute)
		if err := h.Connected(context.Background()); h.State() != StateError || n.dialed() != dials || !errors.Is(err, ErrDisconnected) {
			t.Errorf("%s after %d more attempts, and %v", h.State(), n.dialed()-dials, err)
		}
		if err := h.Reconnect(context.Background()); err != nil {
			t.Errorf("Reconnect: %v", err)
		}
	})
}

// Who asks for another connection after the hub has given up is told what comes of that, and never
// what came before.
func TestReconnectAfterErrorNeverReturnsTheOldOne(t *testing.T) {
	for name, call := range map[string]func(*Hub, context.Context) error{
		"Reconnect": (*Hub).Reconnect,
		"Connect": func(h *Hub, ctx context.Context) error {
			h.Connect()
			return h.Connected(ctx)
		},
	} {
		for range 20 {
			synctest.Test(t, func(t *testing.T) {
				n := threeServers()
				n.servers[near].down = true
				h := openFake(t, n, Config{Servers: []string{near}, NoRetry: true})
				if err := h.Connected(context.Background()); !errors.Is(err, ErrConnect) {
					t.Fatal(err)
				}
				n.mu.Lock()
				n.servers[near].silent, n.servers[near].down = true, false
				n.mu.Unlock()
				ctx, cancel := context.WithTimeout(context.Background(), time.Second)
				defer cancel()
				if err := call(h, ctx); !errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "refused") {
					t.Errorf("%s that takes too long gave %v", name, err)
				}
				time.Sleep(time.Minute)
				n.mu.Lock()
				n.servers[near].silent = false
				n.mu.Unlock()
				if err := call(h, context.Background()); err != nil {
					t.Errorf("%s gave %v", name, err)
				}
			})
		}
	}
}
