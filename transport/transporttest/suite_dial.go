package transporttest

import (
	"bufio"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/transport"
)

func invalidURL(t *testing.T, s Subject) {
	for _, scheme := range s.Dialer.Schemes() {
		if scheme != strings.ToLower(scheme) {
			t.Errorf("scheme %q is not in lower case", scheme)
		}
		for _, rest := range []string{"", "//", ":", "://", "://user:secret@", "://user:secret/@host", "://user:secret@ho st", "://ho st", "://[::1", "://host:port"} {
			err := s.dialFails(t.Context(), t, scheme+rest)
			wantErr(t, err, transport.ErrURL)
			if strings.Contains(err.Error(), "secret") {
				t.Errorf("the error shows the password: %v", err)
			}
		}
	}
	for _, url := range []string{"", "host", "gopher://host:70", "//host"} {
		wantErr(t, s.dialFails(t.Context(), t, url), transport.ErrURL)
	}
}

func refused(t *testing.T, s Subject) {
	wantErr(t, s.dialFails(t.Context(), t, s.Peers[Refused]), transport.ErrUnreachable)
}

func plain(t *testing.T, s Subject) {
	wantErr(t, s.dialFails(t.Context(), t, s.Peers[Plain]), s.known(transport.ErrHandshake))
}

func untrusted(t *testing.T, s Subject) {
	wantErr(t, s.dialFails(t.Context(), t, s.Peers[Untrusted]), s.known(transport.ErrUntrusted))
}

func (s Subject) known(cause error) error {
	if s.Blind {
		return transport.ErrUnreachable
	}
	return cause
}

func dialEnded(t *testing.T, s Subject) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	wantErr(t, s.dialFails(ctx, t, s.Peers[Echo]), context.Canceled)
}

func dialCancelled(t *testing.T, s Subject) {
	if s.Peers[Watch] == "" { // nobody tells when the dial is under way
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		wantErr(t, s.dialFails(ctx, t, s.Peers[Hang]), context.DeadlineExceeded)
		return
	}
	watch := bufio.NewScanner(s.dial(t, Watch))
	await := func(open bool) {
		t.Helper()
		for watch.Scan() {
			if open == (watch.Text() != "0") {
				return
			}
		}
		t.Fatalf("the peer never had open connections, %t: %v", open, watch.Err())
	}
	await(false)
	for range 3 {
		ctx, cancel := context.WithCancel(t.Context())
		var dials sync.WaitGroup
		errs := make(chan error, 2)
		for range cap(errs) {
			dials.Go(func() {
				c, err := s.Dialer.Dial(ctx, s.Peers[Hang])
				if err == nil {
					_ = c.Close()
					err = errors.New("dial succeeded")
				}
				errs <- err
			})
		}
		await(true) // one of them: a browser opens WebSockets to a host one after the other
		cancel()
		dials.Wait()
		for range cap(errs) {
			err := <-errs
			wantErr(t, err, context.Canceled)
			isError(t, err, "dial", s.Peers[Hang])
		}
		await(false)
	}
}

func contextAfterDial(t *testing.T, s Subject) {
	ctx, cancel := context.WithCancel(t.Context())
	c, err := s.Dialer.Dial(ctx, s.Peers[Echo])
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	cancel()
	mustWrite(t, c, []byte("still here"))
	if got := string(mustRead(t, c, 10)); got != "still here" {
		t.Errorf("got %q", got)
	}
}
