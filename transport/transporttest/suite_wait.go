package transporttest

import (
	"bytes"
	"errors"
	"net"
	"os"
	"sync"
	"testing"
	"time"
)

// instant is a deadline that a test waits out.
const instant = 50 * time.Millisecond

// tooMuch is more than a stream may take while its peer does not read: all buffers on the way,
// those of the operating system included, are smaller.
const tooMuch = 64 << 20

func closeUnblocksRead(t *testing.T, s Subject) {
	c := s.dial(t, Echo)
	err := make(chan error)
	go func() {
		_, e := c.Read(make([]byte, 10))
		err <- e
	}()
	if e := c.Close(); e != nil {
		t.Errorf("close: %v", e)
	}
	wantErr(t, <-err, net.ErrClosed)
}

func closeUnblocksWrite(t *testing.T, s Subject) {
	c := s.dial(t, Stall)
	err := make(chan error)
	go func() {
		_, e := c.Write(make([]byte, tooMuch))
		err <- e
	}()
	mustRead(t, c, 1) // the peer has got a byte of it, and will take no more
	if e := c.Close(); e != nil {
		t.Errorf("close: %v", e)
	}
	wantErr(t, <-err, net.ErrClosed)
}

func closeRepeated(t *testing.T, s Subject) {
	c := s.dial(t, Echo)
	mustWrite(t, c, []byte("unread"))
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if err := c.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
		})
	}
	all.Wait()
	_, err := c.Read(make([]byte, 10))
	wantErr(t, err, net.ErrClosed)
	_, err = c.Write(make([]byte, 10))
	wantErr(t, err, net.ErrClosed)
}

func writeWaits(t *testing.T, s Subject) {
	c := s.dial(t, Stall)
	if err := c.SetWriteDeadline(time.Now().Add(10 * instant)); err != nil {
		t.Fatal(err)
	}
	total, p := 0, make([]byte, 256<<10)
	for {
		n, err := c.Write(p)
		total += n
		if err != nil {
			wantErr(t, err, os.ErrDeadlineExceeded)
			break
		}
		if total > tooMuch {
			t.Fatalf("took %d bytes that nobody reads", total)
		}
	}
}

func readDeadline(t *testing.T, s Subject) {
	c := s.dial(t, Echo)
	expired := func() {
		t.Helper()
		_, err := c.Read(make([]byte, 10))
		wantErr(t, err, os.ErrDeadlineExceeded)
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("%v is no timeout of package net", err)
		}
	}
	for i, deadline := range []time.Time{time.Now().Add(-time.Hour), time.Now().Add(instant)} {
		if err := c.SetReadDeadline(deadline); err != nil {
			t.Fatal(err)
		}
		expired()
		mustWrite(t, c, []byte{byte(i)})
		expired()
		if err := c.SetDeadline(time.Time{}); err != nil {
			t.Fatal(err)
		}
		if got := mustRead(t, c, 1); got[0] != byte(i) {
			t.Fatalf("round %d: got %d", i, got[0])
		}
	}
}

func readDeadlineMoved(t *testing.T, s Subject) {
	c := s.dial(t, Echo)
	err := make(chan error)
	go func() {
		_, e := c.Read(make([]byte, 10))
		err <- e
	}()
	if e := c.SetReadDeadline(time.Now().Add(time.Hour)); e != nil {
		t.Fatal(e)
	}
	if e := c.SetDeadline(time.Now().Add(instant)); e != nil {
		t.Fatal(e)
	}
	wantErr(t, <-err, os.ErrDeadlineExceeded)
}

func writeDeadline(t *testing.T, s Subject) {
	c := s.dial(t, Stall)
	if err := c.SetWriteDeadline(time.Now().Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	_, err := c.Write([]byte{1})
	wantErr(t, err, os.ErrDeadlineExceeded)
	// Before the deadline is set: on a busy machine this alone may take longer.
	big := bytes.Repeat([]byte{1}, tooMuch)
	if err := c.SetWriteDeadline(time.Now().Add(10 * instant)); err != nil {
		t.Fatal(err)
	}
	_, err = c.Write(big)
	wantErr(t, err, os.ErrDeadlineExceeded)
	if err := c.SetDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	if got := mustRead(t, c, 1); got[0] != '!' {
		t.Fatalf("got %q", got)
	}
}
