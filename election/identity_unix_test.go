//go:build unix

package election

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// What is no file in the cache is as one that is damaged: nobody waits for who writes to a pipe.
func TestPipesInTheCacheStopNoAgent(t *testing.T) {
	cache := t.TempDir()
	first, err := openIdentity(cache, "")
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(first.file)
	if err := first.close(); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	pipes := 0
	for _, f := range files {
		path := filepath.Join(dir, f.Name())
		if filepath.Ext(path) == ".lock" {
			continue
		}
		if err := errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o600)); err != nil {
			t.Fatal(err)
		}
		pipes++
	}
	if pipes < 2 {
		t.Fatalf("only %d files are kept in %s", pipes, dir)
	}
	opened := make(chan error, 1)
	go func() {
		id, err := openIdentity(cache, "")
		if err == nil {
			err = id.close()
		}
		opened <- err
	}()
	select {
	case err := <-opened:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(patience):
		t.Fatal("a pipe is waited for")
	}
}
