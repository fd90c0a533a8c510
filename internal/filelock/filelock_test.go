//go:build !js

package filelock

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

func TestOneHasIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	a, b := New(path, 0), New(path, 0)
	if ok, err := a.Try(); !ok || err != nil || a.Missing() != nil {
		t.Fatal(ok, err, a.Missing())
	}
	if ok, err := b.Try(); ok || err != nil {
		t.Fatal(ok, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if err := b.Wait(ctx, time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if err := a.Release(); err != nil {
		t.Fatal(err)
	}
	if err := b.Wait(context.Background(), time.Millisecond); err != nil {
		t.Error(err)
	}
	if err := errors.Join(b.Release(), b.Release()); err != nil {
		t.Error(err)
	}
}

func TestSystemsThatLockNothingAreToldFromFilesThatCannotBeOpened(t *testing.T) {
	for _, err := range []error{syscall.ENOLCK, syscall.ENOSYS, syscall.EOPNOTSUPP, syscall.EINVAL, syscall.EPERM} {
		l := New("x", 0)
		if ok, got := l.judge(false, err); !ok || got != nil || !errors.Is(l.Missing(), err) {
			t.Errorf("%v: %v, %v, missing %v", err, ok, got, l.Missing())
		}
	}
	for _, err := range []error{&fs.PathError{Op: "open", Path: "x", Err: syscall.EPERM}, syscall.EIO} {
		l := New("x", 0)
		if ok, got := l.judge(false, err); ok || got != err || l.Missing() != nil {
			t.Errorf("%v: %v, %v, missing %v", err, ok, got, l.Missing())
		}
	}
	if ok, err := New(filepath.Join(t.TempDir(), "none", "lock"), 0).Try(); ok || !errors.Is(err, os.ErrNotExist) {
		t.Error(ok, err)
	}
}
