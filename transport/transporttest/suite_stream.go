package transporttest

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/kinopio-hub/kinopio-hub/v3/transport"
)

func smallWrites(t *testing.T, s Subject) {
	c := s.dial(t, Echo)
	if n, err := c.Write(nil); n != 0 || err != nil {
		t.Fatalf("write of nothing: %d, %v", n, err)
	}
	echoes(t, c, pattern(100_000), 50)
}

func largeWrites(t *testing.T, s Subject) {
	echoes(t, s.dial(t, Echo), pattern(5<<20), 2<<20)
}

// echoes writes want in pieces of a size and reads it back meanwhile.
func echoes(t *testing.T, c net.Conn, want []byte, size int) {
	t.Helper()
	var writer sync.WaitGroup
	writer.Go(func() {
		for left := want; len(left) > 0; {
			n, err := c.Write(left[:min(size, len(left))])
			if err != nil {
				t.Errorf("write: %v", err)
				_ = c.Close()
				return
			}
			left = left[n:]
		}
	})
	got := mustRead(t, c, len(want))
	writer.Wait()
	if !bytes.Equal(got, want) {
		t.Fatal("the bytes came back changed")
	}
}

func writeKeepsNothing(t *testing.T, s Subject) {
	c := s.dial(t, Echo)
	p := make([]byte, 4000) // what is under way fits into any transport
	for i := range 12 {
		for k := range p {
			p[k] = byte(i)
		}
		mustWrite(t, c, p)
		if p[0] != byte(i) || p[len(p)-1] != byte(i) {
			t.Fatal("Write changed its bytes")
		}
	}
	for i := range 12 {
		if got := mustRead(t, c, len(p)); bytes.Count(got, []byte{byte(i)}) != len(p) {
			t.Fatalf("write %d shows bytes of a later one", i)
		}
	}
}

func cleanClose(t *testing.T, s Subject) {
	c := s.dial(t, Goodbye)
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, Farewell()) {
		t.Fatalf("read %d of %d bytes: %v", len(got), len(Farewell()), err)
	}
	for range 2 {
		if n, err := c.Read(make([]byte, 10)); n != 0 || err != io.EOF {
			t.Fatalf("read after the end: %d, %v", n, err)
		}
	}
}

func cut(t *testing.T, s Subject) {
	c := s.dial(t, Cut)
	mustWrite(t, c, []byte{'?'})
	got, err := io.ReadAll(c)
	if !bytes.Equal(got, LastWords()) {
		t.Fatalf("read %d of %d bytes: %v", len(got), len(LastWords()), err)
	}
	for range 2 {
		wantErr(t, err, transport.ErrUnclean)
		isError(t, err, "read", s.Peers[Cut])
		_, err = c.Read(make([]byte, 10))
	}
}

func text(t *testing.T, s Subject) {
	_, err := io.ReadAll(s.dial(t, Text))
	wantErr(t, err, transport.ErrUnclean)
}

func failure(t *testing.T, s Subject) {
	_, err := io.ReadAll(s.dial(t, Failure))
	wantErr(t, err, transport.ErrUnclean)
}

func writeAfterCut(t *testing.T, s Subject) {
	c := s.dial(t, Cut)
	mustWrite(t, c, []byte{'?'})
	_, _ = io.ReadAll(c)
	var err error
	for range 1000 { // the first may still go into a buffer
		if _, err = c.Write(make([]byte, 10_000)); err != nil {
			break
		}
	}
	wantErr(t, err, transport.ErrUnclean)
	isError(t, err, "write", s.Peers[Cut])
	if errors.Is(err, net.ErrClosed) {
		t.Errorf("nobody has closed this end, but: %v", err)
	}
}

func manyStreams(t *testing.T, s Subject) {
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			c, err := s.Dialer.Dial(t.Context(), s.Peers[Echo])
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			want := pattern(10_000 + i)
			got := make([]byte, len(want))
			if _, err := c.Write(want); err != nil {
				t.Error(err)
			} else if _, err := io.ReadFull(c, got); err != nil || !bytes.Equal(got, want) {
				t.Errorf("stream %d: %v, equal %t", i, err, bytes.Equal(got, want))
			}
		})
	}
	all.Wait()
}

func manyWriters(t *testing.T, s Subject) {
	const writers, writes, size = 8, 100, 100
	c := s.dial(t, Echo)
	var all sync.WaitGroup
	for i := range writers {
		all.Go(func() {
			p := bytes.Repeat([]byte{byte(i)}, size)
			for range writes {
				if _, err := c.Write(p); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	var mu sync.Mutex
	var count [writers]int
	left := writers * writes * size
	for range 3 { // each takes what it gets
		all.Go(func() {
			p := make([]byte, 777)
			for {
				n, err := c.Read(p)
				mu.Lock()
				for _, b := range p[:n] {
					count[b]++
				}
				left -= n
				done := left == 0
				mu.Unlock()
				if done {
					_ = c.Close() // ends the other readers
				}
				if err != nil {
					return
				}
			}
		})
	}
	all.Wait()
	for i, n := range count {
		if n != writes*size {
			t.Errorf("of writer %d came %d bytes, want %d", i, n, writes*size)
		}
	}
}
