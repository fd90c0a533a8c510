package leaf

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/filelock"
)

const (
	logName  = "leaf.log"
	certName = "leaf-cert.pem"
	lockName = "leaf.lock"

	// The log begins again at this size: what happened last is what one looks for.
	logLimit = 4 << 20
)

// runDir is the directory of one running leaf, and its log file.
type runDir struct {
	path string
	made bool // By us, so ours to remove.
	lock *filelock.Lock
	log  *cappedFile
}

func openRunDir(path string) (*runDir, error) {
	d := &runDir{path: path}
	var err error
	unusable := func(err error) error {
		return &ConfigError{Field: "RuntimeDir", Value: path, Problem: err.Error() + ": give a directory that this user can write, or none for a temporary one", Err: err}
	}
	if path == "" {
		removeOrphans(os.TempDir(), time.Now().Add(-orphanAge))
		if d.path, err = os.MkdirTemp("", orphanPrefix); err != nil {
			return nil, unusable(fmt.Errorf("the directory for temporary files ($TMPDIR) is not usable: %w", err))
		}
		d.made = true
	} else {
		if d.path, err = filepath.Abs(path); err != nil {
			return nil, unusable(err)
		}
		if _, err := os.Stat(d.path); os.IsNotExist(err) {
			d.made = true
		}
		if err := os.MkdirAll(d.path, 0o700); err != nil {
			return nil, unusable(err)
		}
	}
	for _, name := range []string{lockName, logName} {
		if err := regular(filepath.Join(d.path, name)); err != nil {
			return nil, fieldError("RuntimeDir", path, err.Error()+": give a directory of this user's own, or none")
		}
	}
	d.lock = lockOf(d.path)
	if ok, err := d.lock.Try(); err != nil || !ok {
		d.lock.Release()
		if err == nil {
			return nil, fieldError("RuntimeDir", path, "in use by another leaf: give each leaf its own, or none")
		}
		return nil, unusable(err)
	}
	f, err := os.OpenFile(filepath.Join(d.path, logName), os.O_CREATE|os.O_RDWR|os.O_TRUNC|safely, 0o600)
	if err != nil {
		d.remove()
		return nil, unusable(err)
	}
	d.log = &cappedFile{file: f, limit: logLimit}
	return d, nil
}

// lockOf is the lock of the leaf that has dir.
func lockOf(dir string) *filelock.Lock {
	return filelock.New(filepath.Join(dir, lockName), safely)
}

// regular says what is wrong with a file that is to be opened: it may not be there, but it may
// be no link, which could lead anywhere, and no pipe or device, which could be waited on for ever.
func regular(path string) error {
	info, err := os.Lstat(path)
	switch {
	case os.IsNotExist(err):
		return nil
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is no regular file (%v)", path, info.Mode().Type())
	}
	return nil
}

const (
	orphanPrefix = "kinopio-leaf-"
	// Younger ones may belong to a leaf that is just starting.
	orphanAge = time.Minute
)

// removeOrphans removes what leaves that were killed have left in the directory for
// temporary files: theirs is who holds the lock, and a dead process holds none.
// It waits for nothing that others have put there.
func removeOrphans(temp string, before time.Time) {
	dirs, _ := filepath.Glob(filepath.Join(temp, orphanPrefix+"*"))
	for _, dir := range dirs {
		// The directory is open to all users: what looks like ours may be a trap.
		info, err := os.Lstat(dir)
		if err != nil || ownDir(info) != nil || info.ModTime().After(before) {
			continue
		}
		if info, err := os.Lstat(filepath.Join(dir, lockName)); err != nil || !info.Mode().IsRegular() {
			continue // Not a leaf's.
		}
		lock := lockOf(dir)
		// Where nothing is locked, one that is running looks as if it were not.
		if ok, err := lock.Try(); err != nil || !ok || lock.Missing() != nil {
			lock.Release()
			continue
		}
		(&runDir{path: dir, made: true, lock: lock}).remove()
	}
}

func (d *runDir) logFile() string  { return filepath.Join(d.path, logName) }
func (d *runDir) certFile() string { return filepath.Join(d.path, certName) }

// remove deletes what the leaf made, and nothing else.
func (d *runDir) remove() {
	if d.log != nil {
		d.log.Close()
	}
	halfWritten, _ := filepath.Glob(filepath.Join(d.path, certName+".*"))
	for _, file := range halfWritten {
		os.Remove(file)
	}
	for _, name := range []string{logName, certName, lockName} {
		os.Remove(filepath.Join(d.path, name))
	}
	d.lock.Release()
	if d.made {
		os.Remove(d.path) // Fails, rightly, when somebody has put a file there.
	}
}

// cappedFile begins again when it is full. Safe for concurrent use.
type cappedFile struct {
	mu    sync.Mutex
	file  *os.File
	size  int64
	limit int64
}

func (c *cappedFile) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.size+int64(len(p)) > c.limit {
		if err := c.file.Truncate(0); err != nil {
			return 0, err
		}
		if _, err := c.file.Seek(0, io.SeekStart); err != nil {
			return 0, err
		}
		c.size = 0
	}
	n, err := c.file.Write(p)
	c.size += int64(n)
	return n, err
}

func (c *cappedFile) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.file.Close()
}
