//go:build unix

package leaf

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Every user of a machine may write into the directory for temporary files.
func TestTrapsInTheDirectoryForTemporaryFilesStopNoLeaf(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	trap := func(name string, mode os.FileMode) string {
		dir := filepath.Join(temp, orphanPrefix+name)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	for _, err := range []error{
		syscall.Mkfifo(filepath.Join(trap("fifo", 0o700), lockName), 0o666), // Opening one waits for the other end.
		syscall.Mkfifo(filepath.Join(trap("open", 0o777), lockName), 0o666),
		os.Symlink("/dev/tty", filepath.Join(trap("link", 0o700), lockName)),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	victim := filepath.Join(trap("others", 0o777), lockName) // Ours by name, and writable by all.
	if err := os.WriteFile(victim, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	long := time.Now().Add(-time.Hour)
	all, _ := filepath.Glob(filepath.Join(temp, "*"))
	for _, dir := range all {
		if err := os.Chtimes(dir, long, long); err != nil {
			t.Fatal(err)
		}
	}
	c := config(t)
	c.RuntimeDir = ""
	started := make(chan struct{})
	go func() {
		defer close(started)
		l, err := Start(t.Context(), c)
		if err != nil {
			t.Error(err)
			return
		}
		stopNow(l)
	}()
	within(t, started, "a leaf beside traps")
	if _, err := os.Stat(victim); err != nil {
		t.Errorf("a directory that others may write was cleaned up: %v", err)
	}
}

func TestRuntimeDirHoldsRegularFilesOnly(t *testing.T) {
	for _, name := range []string{lockName, logName} {
		for kind, put := range map[string]func(path string) error{
			"a pipe": func(path string) error { return syscall.Mkfifo(path, 0o600) },
			"a link": func(path string) error { return os.Symlink(filepath.Join(t.TempDir(), "elsewhere"), path) },
		} {
			t.Run(kind+" as "+name, func(t *testing.T) {
				c := config(t)
				path := filepath.Join(c.RuntimeDir, name)
				if err := put(path); err != nil {
					t.Fatal(err)
				}
				ended := make(chan error, 1)
				go func() {
					l, err := Start(t.Context(), c)
					if err == nil {
						stopNow(l)
					}
					ended <- err
				}()
				select {
				case err := <-ended:
					field, ok := errors.AsType[*ConfigError](err)
					if !ok || field.Field != "RuntimeDir" || !strings.Contains(err.Error(), path) {
						t.Errorf("%v", err)
					}
				case <-time.After(patience):
					t.Fatal("the start waits for somebody who opens the pipe")
				}
			})
		}
	}
}
