package ways

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/transport"
)

const (
	leafURL = "wss://192.168.1.5:443"
	hash    = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
)

var errRefused = errors.New("opening handshake failed")

// A fake dials: it answers after a time, with an error or without; a time of 0 is never.
type fake struct {
	after time.Duration
	err   error

	mu    sync.Mutex
	asked []string    // URLs
	at    []time.Time // and when
	gone  int         // dials that were called off
	conns []*conn
}

type conn struct {
	net.Conn
	closed bool
}

func (c *conn) Close() error { c.closed = true; return nil }

func (f *fake) Schemes() []string { return []string{"ws", "wss"} }
func (f *fake) Available() bool   { return true }
func (f *fake) Open(ctx context.Context, url string, _ []string) (net.Conn, error) {
	return f.Dial(ctx, url)
}

func (f *fake) Dial(ctx context.Context, url string) (net.Conn, error) {
	f.mu.Lock()
	f.asked, f.at = append(f.asked, url), append(f.at, time.Now())
	f.mu.Unlock()
	var due <-chan time.Time
	if f.after > 0 {
		due = time.After(f.after)
	}
	select {
	case <-due:
		if f.err != nil {
			return nil, f.err
		}
		c := &conn{}
		f.mu.Lock()
		defer f.mu.Unlock()
		f.conns = append(f.conns, c)
		return c, nil
	case <-ctx.Done():
		f.mu.Lock()
		defer f.mu.Unlock()
		f.gone++
		return nil, ctx.Err()
	}
}

// scene is a page: a hub's life, and what it hears of late.
type scene struct {
	t                  *testing.T
	webSocket, session *fake
	dialer             *Dialer
	life               context.Context
	opened             []string
	manifest           string
}

// play runs a test in a time of its own.
func play(t *testing.T, test func(*scene)) {
	synctest.Test(t, func(t *testing.T) {
		life, end := context.WithCancel(t.Context())
		s := &scene{t: t, webSocket: &fake{after: 10 * time.Millisecond}, session: &fake{after: 10 * time.Millisecond}, life: life, manifest: manifest("https://192.168.1.5:443/webtransport")}
		s.dialer = New(s.webSocket, s.session)
		test(s)
		end()
		synctest.Wait() // and no goroutine may be left
	})
}

func manifest(urls ...string) string {
	var all []way
	for _, url := range urls {
		all = append(all, way{url, []string{hash}})
	}
	text, _ := json.Marshal(all)
	return string(text)
}

// dial returns how the connection came about, how long it took, and the error.
func (s *scene) dial() (string, time.Duration, error) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Second)
	defer cancel()
	ctx = transport.WithReach(ctx, &transport.Reach{WebTransport: s.manifest})
	ctx = transport.WithLate(ctx, &transport.Late{Life: s.life, Opened: func(url string) { s.opened = append(s.opened, url) }})
	begun := time.Now()
	c, err := s.dialer.Dial(ctx, leafURL)
	took := time.Since(begun)
	synctest.Wait()
	if err != nil {
		return "", took, err
	}
	return c.(transport.Described).Description(), took, nil
}

func (s *scene) want(how string, within time.Duration) {
	s.t.Helper()
	if got, took, err := s.dial(); err != nil || !strings.HasPrefix(got, how) || took != within {
		s.t.Fatalf("%q after %v, %v; want %q after %v", got, took, err, how, within)
	}
}

func TestWebTransportIsPreferred(t *testing.T) {
	play(t, func(s *scene) {
		s.want("by WebTransport", 10*time.Millisecond)
		if len(s.webSocket.asked) > 0 {
			t.Error("a WebSocket was made")
		}
	})
}

func TestRefusedSessionIsFollowedByAWebSocketAtOnce(t *testing.T) {
	play(t, func(s *scene) {
		s.session.err = errRefused
		s.want("by WebSocket, as WebTransport to https://192.168.1.5:443/webtransport failed: opening handshake failed", 20*time.Millisecond)
	})
}

func TestSessionThatHangsHoldsUpTheWebSocketByATenth(t *testing.T) {
	play(t, func(s *scene) {
		s.session.after = 0
		s.want("by WebSocket", 110*time.Millisecond)
	})
	play(t, func(s *scene) {
		s.session.after, s.webSocket.after = 150*time.Millisecond, 0
		s.want("by WebTransport", 150*time.Millisecond)
		if s.webSocket.gone != 1 {
			t.Error("the WebSocket was not called off")
		}
	})
	play(t, func(s *scene) {
		s.session.after, s.webSocket.after = 105*time.Millisecond, 5*time.Millisecond
		if _, _, err := s.dial(); err != nil {
			t.Fatal(err)
		}
		if open := len(s.session.conns) + len(s.webSocket.conns); open == 2 && !s.session.conns[0].closed && !s.webSocket.conns[0].closed && len(s.dialer.late) == 0 {
			t.Error("both are open")
		}
	})
}

func TestBothReasonsAreTold(t *testing.T) {
	play(t, func(s *scene) {
		s.session.after, s.webSocket.err = 0, fmt.Errorf("%w: refused", transport.ErrUnreachable)
		_, took, err := s.dial()
		if took != giveUp || !errors.Is(err, transport.ErrUnreachable) {
			t.Fatal(took, err)
		}
		for _, want := range []string{leafURL, "no answer within 900 ms: does a firewall drop UDP", "by WebSocket: unreachable: refused"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%v: want %q", err, want)
			}
		}
	})
}

func TestEndedDialCallsBothOff(t *testing.T) {
	play(t, func(s *scene) {
		s.session.after, s.webSocket.after = 0, 0
		_, took, err := s.dial()
		if took != 2*time.Second || !errors.Is(err, context.DeadlineExceeded) || s.session.gone != 1 || s.webSocket.gone != 1 {
			t.Errorf("%v, %v, %d and %d called off", took, err, s.session.gone, s.webSocket.gone)
		}
	})
}

// A browser that holds a handshake up for a minute: the page is told when it is open, and gets it.
func TestSessionThatOpensLateIsTheNextDials(t *testing.T) {
	play(t, func(s *scene) {
		s.session.after, s.webSocket.err = time.Minute, errors.New("no trust")
		for range 3 { // the hub tries again and again: there is one handshake
			if _, _, err := s.dial(); err == nil {
				t.Fatal("it is open already")
			}
			time.Sleep(5 * time.Second)
			synctest.Wait()
		}
		time.Sleep(time.Minute - time.Since(s.session.at[0]))
		synctest.Wait()
		if fmt.Sprint(s.opened) != "["+leafURL+"]" || len(s.session.asked) != 1 {
			t.Fatalf("told %q, %d handshakes", s.opened, len(s.session.asked))
		}
		s.want("by WebTransport", 0)
		if len(s.dialer.late) > 0 || s.session.conns[0].closed || s.dialer.failures != nil {
			t.Errorf("%d are left, closed %t, %d failures", len(s.dialer.late), s.session.conns[0].closed, len(s.dialer.failures))
		}
	})
}

func TestLateSessionThatNobodyWantsIsClosed(t *testing.T) {
	play(t, func(s *scene) {
		s.session.after = 10 * time.Second
		s.want("by WebSocket", 110*time.Millisecond)
		time.Sleep(10*time.Second + keep)
		synctest.Wait()
		if !s.session.conns[0].closed || len(s.dialer.late) > 0 || s.dialer.failures != nil {
			t.Errorf("closed %t, %d left, %d failures", s.session.conns[0].closed, len(s.dialer.late), len(s.dialer.failures))
		}
	})
}

func TestLateHandshakesEndByThemselvesAndWithTheHub(t *testing.T) {
	play(t, func(s *scene) {
		s.session.after = 0
		s.want("by WebSocket", 110*time.Millisecond)
		time.Sleep(patience)
		synctest.Wait()
		if s.session.gone != 1 || len(s.dialer.failures) != 1 || len(s.dialer.late) > 0 {
			t.Errorf("%d called off, %d failures, %d left", s.session.gone, len(s.dialer.failures), len(s.dialer.late))
		}
		time.Sleep(firstPause)
		s.want("by WebSocket", 110*time.Millisecond) // and one is left when the scene ends
	})
}

// Other leaves, and other addresses of a leaf, have their turn while a handshake goes on; there is a bound to it.
func TestOtherAddressesHaveTheirTurn(t *testing.T) {
	play(t, func(s *scene) {
		s.session.after = 0
		var all []string
		for i := range mostLate + 2 {
			all = append(all, fmt.Sprintf("https://192.168.1.%d/webtransport", i+5))
		}
		s.manifest = manifest(all...)
		for range len(all) {
			if _, _, err := s.dial(); err != nil {
				t.Fatal(err)
			}
		}
		if fmt.Sprint(s.session.asked) != fmt.Sprint(all[:mostLate]) {
			t.Errorf("tried %q, want each of the first %d", s.session.asked, mostLate)
		}
	})
}

func TestFailuresMakeAttemptsRare(t *testing.T) {
	var f failures
	begin := time.Now()
	now := begin
	var tried []time.Duration
	for now.Sub(begin) < 30*time.Minute { // each attempt fails
		now = now.Add(f.pause(now))
		tried = append(tried, now.Sub(begin))
		f.add(now)
		if len(f) > 9 {
			t.Fatalf("%d in five minutes", len(f))
		}
	}
	if got := fmt.Sprint(tried[:5]); got != "[0s 1s 5s 21s 1m21s]" {
		t.Errorf("tried at %s", got)
	}
	if pause := f.pause(now.Add(remember)); pause != 0 {
		t.Errorf("after five minutes there is a pause of %v", pause)
	}
}

//go:embed testdata/ways.json
var table []byte

func TestOnlyWaysThatLeadToTheLeafAreTaken(t *testing.T) {
	var ways struct {
		Usable, Unusable [][2]string
		Hash             string
		NoHashes         [][]string
	}
	if err := json.Unmarshal(table, &ways); err != nil || len(ways.Usable) == 0 || len(ways.Unusable) == 0 || len(ways.NoHashes) == 0 {
		t.Fatal("the table cannot be read", err)
	}
	count := func(url, leaf string, hashes []string) int {
		said, _ := json.Marshal([]way{{url, hashes}})
		return len(usable(string(said), "wss://"+leaf+":443"))
	}
	for _, one := range ways.Usable {
		if count(one[0], one[1], []string{ways.Hash}) != 1 {
			t.Errorf("%s is not taken to %s", one[0], one[1])
		}
	}
	for _, one := range ways.Unusable {
		if count(one[0], one[1], []string{ways.Hash}) != 0 {
			t.Errorf("%s is taken to %s", one[0], one[1])
		}
	}
	for _, hashes := range ways.NoHashes {
		if count("https://192.168.1.5", "192.168.1.5", hashes) != 0 {
			t.Errorf("the hashes %q are taken", hashes)
		}
	}
	for _, said := range []string{"", "null", "1", "{}", "[null]", "[1]", `["x"]`, "[[]]", "nonsense"} {
		if n := len(usable(said, leafURL)); n > 0 {
			t.Errorf("%s has %d ways", said, n)
		}
	}
	if n := len(usable(manifest(make([]string, 100)...), leafURL)); n > mostWays {
		t.Errorf("%d ways", n)
	}
}

func TestWithoutAReachThereIsNoChoice(t *testing.T) {
	play(t, func(s *scene) {
		if c, err := s.dialer.Dial(s.t.Context(), leafURL); err != nil {
			t.Error(err)
		} else if _, ok := c.(transport.Described); ok || len(s.session.asked) > 0 {
			t.Error("there was a choice")
		}
	})
}
