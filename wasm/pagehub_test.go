//go:build !js

package main

import (
	"testing"
	"testing/synctest"
)

func TestBadConfigurationIsARow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPageHub(1, dialer{}, nil)
		config := `{"servers":["gopher://x"]}`
		s.take(batch(int(opOpen), len(config), config, int(opSubject), 1, 3, "a.b", int(opPublish), 9, 1, 1, 0, 0, 1, "x"), false)
		synctest.Wait()
		rows, _, meta := s.out.take()
		if len(rows) != 2*rowWords || rows[0] != rowDone || rows[1] != 0 || rows[rowWords] != rowAckFailed || rows[rowWords+1] != 9 {
			t.Errorf("got rows %v %q, want the refusal and the failed publish", rows, meta)
		}
		s.dispose()
		synctest.Wait()
		if rows, _, _ := s.out.take(); len(rows) != rowWords || rows[0] != rowClosed {
			t.Errorf("after dispose: got %v, want the last row", rows)
		}
	})
}

func TestMalformedBatchIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPageHub(1, dialer{}, nil)
		s.take(batch(99), false)
		synctest.Wait()
		if rows, _, _ := s.out.take(); len(rows) != rowWords || rows[0] != rowError {
			t.Errorf("got %v, want an error", rows)
		}
		s.dispose()
		synctest.Wait()
	})
}
