// Package filelock keeps two programs from one thing by a file that one of them has locked. Some
// systems lock no files (network file systems without a lock service, sandboxes): there nobody is kept
// from anything, which [Lock.Missing] tells, so that the owner can say so.
package filelock

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"

	"github.com/gofrs/flock"
)

// A Lock is one file. It belongs to one goroutine.
type Lock struct {
	file    *flock.Flock
	missing error
}

// New returns a lock that is not held. The file is made for this user alone when it is taken; flags are
// those of os.OpenFile beside O_CREATE and O_RDWR.
func New(path string, flags int) *Lock {
	return &Lock{file: flock.New(path, flock.SetFlag(os.O_CREATE|os.O_RDWR|flags), flock.SetPermissions(0o600))}
}

// Try takes the lock if nobody else has it. It returns true, too, where the system locks no files.
// An error is one of the file, which cannot be opened.
func (l *Lock) Try() (bool, error) {
	ok, err := l.file.TryLock()
	return l.judge(ok, err)
}

// Wait tries every so often until ctx ends, whose error it then returns.
func (l *Lock) Wait(ctx context.Context, every time.Duration) error {
	for {
		ok, err := l.Try()
		if ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(every):
		}
	}
}

func (l *Lock) judge(ok bool, err error) (bool, error) {
	if refused(err) {
		l.missing = fmt.Errorf("this system locks no files here (%s): %w", l.file.Path(), err)
		return true, nil
	}
	return ok, err
}

// refused tells whether the system does not lock, rather than that the file is not to be had.
func refused(err error) bool {
	if _, of := errors.AsType[*fs.PathError](err); err == nil || of {
		return false
	}
	for _, what := range []error{errors.ErrUnsupported, syscall.ENOLCK, syscall.ENOSYS, syscall.EINVAL, syscall.EPERM, syscall.EACCES} {
		if errors.Is(err, what) {
			return true
		}
	}
	return false
}

// Missing says why a lock that Try has returned keeps nobody out; nil if it does.
func (l *Lock) Missing() error { return l.missing }

// Release gives the lock back. Without one it does nothing.
func (l *Lock) Release() error { return l.file.Close() }
