//go:build unix

package givenfile

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestPipesAreReadToTheirEndAndNotWaitedForForEver(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := read(pipe, 100, 50*time.Millisecond); err == nil || !strings.Contains(err.Error(), "pipe that did not end") {
		t.Errorf("a pipe that nobody writes to: %v", err)
	}
	wrote := make(chan error, 1)
	go func() {
		f, err := os.OpenFile(pipe, os.O_WRONLY, 0)
		if err == nil {
			time.Sleep(30 * time.Millisecond)
			_, _ = f.WriteString("se")
			time.Sleep(30 * time.Millisecond)
			_, err = f.WriteString("cret")
			f.Close()
		}
		wrote <- err
	}()
	if data, err := read(pipe, 100, 20*time.Second); string(data) != "secret" || err != nil {
		t.Errorf("%q, %v", data, err)
	}
	if err := <-wrote; err != nil {
		t.Error(err)
	}
	// As a shell's <(…), with and without a word.
	for _, says := range []string{"word", ""} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		_, _ = w.WriteString(says)
		w.Close()
		if data, err := read(fmt.Sprintf("/dev/fd/%d", r.Fd()), 100, 20*time.Second); string(data) != says || err != nil {
			t.Errorf("%q: %q, %v", says, data, err)
		}
		r.Close()
	}
	if _, err := ReadAgain(pipe, 100); err == nil || !strings.Contains(err.Error(), "no regular file") {
		t.Errorf("to be read again: %v", err)
	}
}

func TestWhatIsNoSmallFileIsRefused(t *testing.T) {
	for path, want := range map[string]string{"/dev/zero": "larger than 1 KiB", t.TempDir(): "is a directory", "/nowhere": "no such file"} {
		if _, err := Read(path, 1<<10); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, read := range []func(string, int) ([]byte, error){Read, ReadAgain} {
		if data, err := read(file, 1<<10); string(data) != "secret" || err != nil {
			t.Errorf("%q, %v", data, err)
		}
	}
	if data, err := Read("/dev/null", 1<<10); len(data) != 0 || err != nil {
		t.Errorf("%q, %v", data, err)
	}
}
