package inbox_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/transport/inbox"
)

func TestBoundedQueueKeepsEveryByteInOrder(t *testing.T) {
	q := inbox.New(100_000)
	keepsOrder(t, q, func(p []byte) int {
		room, err := q.Room(nil, nil)
		if err != nil {
			t.Error(err)
		}
		n := copy(room, p)
		q.Commit(n)
		return n
	})
}

func TestGrowingQueueKeepsEveryByteInOrder(t *testing.T) {
	q := inbox.New(0)
	keepsOrder(t, q, func(p []byte) int {
		first, second := q.Reserve(len(p))
		n := copy(first, p)
		n += copy(second, p[n:])
		q.Commit(n)
		return n
	})
}

func keepsOrder(t *testing.T, q *inbox.Queue, put func(p []byte) int) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 1))
	want := make([]byte, 3<<20)
	for i := range want {
		want[i] = byte(random.Uint32())
	}
	var producer sync.WaitGroup
	producer.Go(func() {
		for left := want; len(left) > 0; {
			left = left[put(left[:min(1+random.IntN(40_000), len(left))]):]
		}
		q.End(io.EOF)
	})
	got, err := io.ReadAll(q)
	producer.Wait()
	if err != nil || !bytes.Equal(got, want) {
		t.Fatalf("read %d of %d bytes, equal %t, error %v (seed %d)", len(got), len(want), bytes.Equal(got, want), err, seed)
	}
}

func TestRoomWaitsAtTheLimitUntilSomethingIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := inbox.New(20_000)
		written := 0
		done := make(chan error, 1)
		go func() {
			for {
				room, err := q.Room(nil, nil)
				if err != nil {
					done <- err
					return
				}
				q.Commit(len(room))
				written += len(room)
			}
		}()
		synctest.Wait()
		if written != 20_000 || q.Buffered() != 20_000 {
			t.Fatalf("took %d bytes, holds %d, the limit is 20000", written, q.Buffered())
		}
		if _, err := io.ReadFull(q, make([]byte, 5000)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if written != 25_000 {
			t.Fatalf("took %d bytes, want 25000", written)
		}
		q.Close()
		if err := <-done; !errors.Is(err, net.ErrClosed) {
			t.Fatalf("Room after Close: %v", err)
		}
	})
}

func TestReadDeadlineCanBeSetAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := inbox.New(0)
		p := make([]byte, 10)
		start := time.Now()
		q.SetReadDeadline(start.Add(time.Second))
		go func() {
			time.Sleep(500 * time.Millisecond)
			q.SetReadDeadline(start.Add(3 * time.Second)) // moves the one that waits
		}()
		if _, err := q.Read(p); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(start) != 3*time.Second {
			t.Fatalf("after %v: %v", time.Since(start), err)
		}
		first, _ := q.Reserve(1)
		first[0] = 'x'
		q.Commit(1)
		if _, err := q.Read(p); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("expired, but read: %v", err)
		}
		q.SetReadDeadline(time.Time{})
		if n, err := q.Read(p); n != 1 || err != nil {
			t.Fatalf("read %d, %v", n, err)
		}
	})
}

func TestEndComesAfterTheBytesAndCloseBeforeThem(t *testing.T) {
	q := inbox.New(0)
	end := errors.New("end")
	q.Reserve(3)
	q.Commit(3)
	q.End(end)
	q.End(io.EOF)
	p := make([]byte, 10)
	if n, err := q.Read(p); n != 3 || err != nil {
		t.Fatalf("read %d, %v", n, err)
	}
	for range 2 {
		if n, err := q.Read(p); n != 0 || err != end {
			t.Fatalf("read %d, %v", n, err)
		}
	}
	q.Close()
	if _, err := q.Read(p); err != net.ErrClosed {
		t.Fatalf("after Close: %v", err)
	}
}

func TestSteadyTrafficAllocatesNothing(t *testing.T) {
	q := inbox.New(0)
	p := make([]byte, 4096)
	got := testing.AllocsPerRun(1000, func() {
		q.Reserve(4096)
		q.Commit(4096)
		if _, err := q.Read(p); err != nil {
			t.Fatal(err)
		}
	})
	if got != 0 {
		t.Fatalf("%v allocations a frame", got)
	}
}
