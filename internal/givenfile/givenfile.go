//go:build !js

// Package givenfile reads small files that a person has named: secrets, certificates, credentials. What
// else may stand at such a path (a pipe that nobody writes to, a device without an end) is waited for
// and read for a bounded time and length.
package givenfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// Patience is for how long a pipe may say nothing, until it has said all.
const Patience = 10 * time.Second

// Read returns what the file says, at most so many bytes. A pipe is read to its end.
func Read(path string, most int) ([]byte, error) { return read(path, most, Patience) }

// ReadAgain is Read of a file that is read now and later, which a pipe cannot be.
func ReadAgain(path string, most int) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if mode := info.Mode(); !mode.IsRegular() {
		return nil, fmt.Errorf("is no regular file (%v), and it is read again later", mode.Type())
	}
	return Read(path, most)
}

func read(path string, most int, patience time.Duration) ([]byte, error) {
	// A pipe is opened without waiting for who writes to it.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, errors.New("is a directory")
	}
	until := time.Now().Add(patience)
	_ = f.SetReadDeadline(until) // Files that are always ready know none.
	var all []byte
	for part := make([]byte, 4096); ; {
		n, err := f.Read(part)
		all = append(all, part[:n]...)
		switch {
		case len(all) > most:
			return nil, fmt.Errorf("larger than %d KiB", most>>10)
		case errors.Is(err, os.ErrDeadlineExceeded), err == io.EOF && len(all) == 0 && info.Mode()&fs.ModeNamedPipe != 0 && time.Now().After(until):
			return nil, fmt.Errorf("is a %v that did not end within %v", kind(info.Mode()), patience)
		case err == io.EOF && len(all) == 0 && info.Mode()&fs.ModeNamedPipe != 0 && fifo(path):
			time.Sleep(10 * time.Millisecond) // Nobody writes to it yet.
		case err == io.EOF:
			return all, nil
		case err != nil:
			return nil, err
		}
	}
}

func kind(mode fs.FileMode) string {
	if mode&fs.ModeNamedPipe != 0 {
		return "pipe"
	}
	return "device"
}

// fifo tells a pipe with a place among the files from one that a shell has made for a program, whose
// writer has been there from the beginning.
func fifo(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode()&fs.ModeNamedPipe != 0
}
