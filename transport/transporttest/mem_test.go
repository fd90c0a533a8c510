package transporttest_test

import (
	"io"
	"testing"

	"github.com/kinopio-hub/kinopio-hub/v3/transport/transporttest"
)

func TestMemKeepsTheContract(t *testing.T) {
	defer transporttest.NoLeaks(t)
	t.Run("mem", func(t *testing.T) {
		transporttest.Run(t, func(t *testing.T) transporttest.Subject {
			network := &transporttest.Mem{}
			peers, stop, err := transporttest.ServeMem(network)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(stop)
			return transporttest.Subject{Dialer: network, Peers: peers}
		})
	})
}

func TestMemPipeSendsTheRestBeforeTheEnd(t *testing.T) {
	near, far := transporttest.MemPipe("mem://pipe")
	if _, err := near.Write([]byte("rest")); err != nil {
		t.Fatal(err)
	}
	near.Close()
	if got, err := io.ReadAll(far); err != nil || string(got) != "rest" {
		t.Fatalf("got %q, %v", got, err)
	}
	if _, err := far.Write([]byte("x")); err == nil {
		t.Fatal("wrote to an end that has gone")
	}
}
