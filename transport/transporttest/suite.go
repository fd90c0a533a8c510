// Package transporttest proves the contract of transport.Dialer: [Run] tries each line of it
// on a transport, against peers with a known [Behaviour]. [Mem] is a network in memory for the
// fast tests of others; it passes the same suite.
package transporttest

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kinopio-hub/kinopio-hub/v3/transport"
)

// patience is how long a test waits for what should happen at once.
const patience = 30 * time.Second

// A Subject is a transport and the peers it is tried against.
type Subject struct {
	Dialer transport.Dialer
	Peers  Peers
	// Blind says that the transport cannot know why a dial failed, as in a browser: every
	// cause is transport.ErrUnreachable.
	Blind bool
	// Settled, when not nil, is called after each test, when all its streams are closed. It
	// fails the test if something is left.
	Settled func(t *testing.T)
}

// A Factory starts the peers and returns the subject. What it starts it ends by t.Cleanup.
type Factory func(t *testing.T) Subject

// Run proves the contract for one transport.
func Run(t *testing.T, factory Factory) {
	s := factory(t)
	for _, b := range []Behaviour{Echo, Goodbye, Cut, Stall, Refused} {
		if s.Peers[b] == "" {
			t.Fatalf("the subject has no peer for %q", b)
		}
	}
	promises := []struct {
		name  string
		needs Behaviour // not run for a transport where this cannot exist
		test  func(*testing.T, Subject)
	}{
		{"DialOfWhatIsNoURLIsErrURL", "", invalidURL},
		{"ContextDoesNotEndTheStream", "", contextAfterDial},
		{"SmallWritesArriveInOrder", "", smallWrites},
		{"LargeWritesArriveInOrder", "", largeWrites},
		{"WriteNeverKeepsItsBytes", "", writeKeepsNothing},
		{"CleanCloseIsEOFAfterTheData", "", cleanClose},
		{"CutIsErrUncleanAfterTheData", "", cut},
		{"TextIsErrUnclean", Text, text},
		{"CloseWithAFailureIsErrUnclean", Failure, failure},
		{"WriteFailsAfterThePeerHasGone", "", writeAfterCut},
		{"CloseUnblocksRead", "", closeUnblocksRead},
		{"CloseUnblocksWrite", "", closeUnblocksWrite},
		{"CloseMayBeRepeated", "", closeRepeated},
		{"WriteWaitsWhileThePeerDoesNotRead", "", writeWaits},
		{"ReadDeadlineCanBeSetAgain", "", readDeadline},
		{"ReadDeadlineReachesAReadThatWaits", "", readDeadlineMoved},
		{"WriteDeadlineLeavesReadingUsable", "", writeDeadline},
		{"ManyUseADialerAtOnce", "", manyStreams},
		{"ManyUseAStreamAtOnce", "", manyWriters},
		// Last: Chromium holds up sessions of WebTransport that follow one which failed.
		{"DialWhereNobodyListensIsErrUnreachable", "", refused},
		{"DialOfAWebServerIsErrHandshake", Plain, plain},
		{"DialOfAnUnknownCertificateIsErrUntrusted", Untrusted, untrusted},
		{"DialWithAnEndedContextFails", "", dialEnded},
		{"CancelledDialLeavesNothingOpen", Hang, dialCancelled},
	}
	for _, p := range promises {
		if p.needs != "" && s.Peers[p.needs] == "" {
			continue
		}
		t.Run(p.name, func(t *testing.T) {
			if s.Settled != nil {
				t.Cleanup(func() { s.Settled(t) })
			}
			p.test(t, s)
		})
	}
}

// NoLeaks fails the test if a goroutine is left. The test defers it before it starts anything.
func NoLeaks(t testing.TB) {
	t.Helper()
	// In a browser, the goroutine in which Go's runtime calls js.Funcs stays.
	goleak.VerifyNone(t, goleak.IgnoreAnyFunction("runtime.handleEvent"))
}

// dial opens a stream for one test, and ends it with the test or when patience is over.
func (s Subject) dial(t *testing.T, b Behaviour) net.Conn {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, err := s.Dialer.Dial(ctx, s.Peers[b])
	if err != nil {
		t.Fatalf("dial %s: %v", s.Peers[b], err)
	}
	watchdog := time.AfterFunc(patience, func() {
		t.Errorf("nothing happened for %v", patience)
		_ = c.Close()
	})
	t.Cleanup(func() {
		watchdog.Stop()
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return c
}

// dialFails dials and returns the error, which must be an *Error that names the redacted URL.
func (s Subject) dialFails(ctx context.Context, t *testing.T, url string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c, err := s.Dialer.Dial(ctx, url)
	if err == nil {
		_ = c.Close()
		t.Fatalf("dial %s succeeded", url)
	}
	isError(t, err, "dial", url)
	return err
}

func isError(t *testing.T, err error, op, url string) {
	t.Helper()
	e, ok := errors.AsType[*transport.Error](err)
	if !ok {
		t.Fatalf("want a *transport.Error, got %T: %v", err, err)
	}
	if e.Op != op || url != "" && e.URL != transport.Redact(url) {
		t.Errorf("want %s %s, got %v", op, transport.Redact(url), e)
	}
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("got %v, want %v", err, want)
	}
}

func mustWrite(t *testing.T, c net.Conn, p []byte) {
	t.Helper()
	if n, err := c.Write(p); n != len(p) || err != nil {
		t.Fatalf("wrote %d of %d bytes: %v", n, len(p), err)
	}
}

func mustRead(t *testing.T, c net.Conn, n int) []byte {
	t.Helper()
	p := make([]byte, n)
	if got, err := io.ReadFull(c, p); err != nil {
		t.Fatalf("read %d of %d bytes: %v", got, n, err)
	}
	return p
}
