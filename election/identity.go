package election

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/filelock"
	"github.com/kinopio-hub/kinopio-hub/v3/internal/givenfile"
)

const (
	maxIdentities = 64
	countAhead    = 100_000 // Heartbeats, for which a count is kept in advance.
)

// identity is the name of a node and its count of heartbeats, both kept in the cache. The
// agents of one cache directory have an identity each: the first that of the file
// node-id, which 2.1.0 uses too, the others those of node-id-2 and so on.
type identity struct {
	node     string
	instance string
	lock     *filelock.Lock
	file     string // Of the count; "" when nothing can be kept.
	trouble  error  // Why the identity is not kept, or kept apart; nil if it is.
	count    int64
	kept     int64
}

// openIdentity takes the first identity that nobody else has. A node that is given is
// kept as it is; only the count comes from the cache then. Where the cache cannot be written, the
// identity is a new one that ends with this agent: the trouble says so.
func openIdentity(cacheDir, node string) (*identity, error) {
	dir := filepath.Join(cacheDir, "kinopio-hub", "auto-leaf")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return unkept(cacheDir, node, err)
	}
	for i := range maxIdentities {
		name := "node-id"
		if i > 0 {
			name += "-" + strconv.Itoa(i+1)
		}
		file := filepath.Join(dir, name)
		if info, err := os.Lstat(file + ".lock"); err == nil && !info.Mode().IsRegular() {
			return nil, fmt.Errorf("open identity: %s.lock is no regular file (%v): remove it, or name another cache directory", file, info.Mode().Type())
		}
		lock := filelock.New(file+".lock", 0)
		ok, err := lock.Try()
		if err != nil {
			return unkept(cacheDir, node, fmt.Errorf("lock: %w", err))
		}
		if !ok {
			continue
		}
		id := &identity{node: node, lock: lock, file: file + ".count", instance: randomHex(8)}
		if why := lock.Missing(); why != nil {
			id.trouble = fmt.Errorf("nothing keeps another agent of this cache directory from this one's node id: %w", why)
		}
		if err := id.load(file); err != nil {
			err = errors.Join(err, lock.Release())
			if node == "" && !unwritable(err) {
				return nil, fmt.Errorf("open identity: %w", err)
			}
			return unkept(cacheDir, node, err)
		}
		return id, nil
	}
	return nil, fmt.Errorf("open identity: %d agents use %s already: name another cache directory", maxIdentities, dir)
}

// unkept is an identity of one life, where the cache refuses with err.
func unkept(cacheDir, node string, err error) (*identity, error) {
	if !unwritable(err) {
		return nil, &ConfigError{"CacheDir", cacheDir, fmt.Sprintf("open identity: %v: name a directory that this user can write", err)}
	}
	id := &identity{node: node, instance: randomHex(8), count: time.Now().UnixMilli(), kept: largestJSInteger}
	if node == "" {
		id.node = "node-" + randomHex(8)
	}
	id.trouble = fmt.Errorf("this node's identity is not kept, so it is another node after each start: %w", err)
	return id, nil
}

// unwritable tells whether an error is that of a place where this user can write nothing now.
func unwritable(err error) bool {
	return errors.Is(err, syscall.EROFS) || errors.Is(err, os.ErrPermission) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

func (id *identity) load(file string) error {
	if id.node == "" {
		data, err := readKept(file)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		id.node = strings.TrimSpace(string(data))
		if checkName("node-id", id.node) != nil { // Empty or damaged: a new one.
			id.node = "node-" + randomHex(8)
			if err := writeFile(file, id.node+"\n"); err != nil {
				return err
			}
		}
	}
	data, err := readKept(id.file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	// The clock helps those whose cache was wiped; it need not be right.
	kept, _ := strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
	if kept < 0 || kept > largestJSInteger/2 {
		kept = 0
	}
	id.count = max(kept, min(time.Now().UnixMilli(), largestJSInteger/4))
	return id.keep()
}

// readKept reads a file of ours. What is none, such as a pipe, which would be waited for, is as one that is damaged.
func readKept(file string) ([]byte, error) {
	data, err := givenfile.ReadAgain(file, 4<<10)
	if _, place := errors.AsType[*fs.PathError](err); !place {
		err = nil
	}
	return data, err
}

// next is the count of the next heartbeat: larger than any before, also those of earlier
// lives, because what is kept is ahead of what was used.
func (id *identity) next() (int64, error) {
	id.count++
	if id.count < id.kept {
		return id.count, nil
	}
	return id.count, id.keep()
}

func (id *identity) keep() error {
	id.kept = id.count + countAhead
	if err := writeFile(id.file, strconv.FormatInt(id.kept, 10)+"\n"); err != nil {
		return fmt.Errorf("keep count: %w", err)
	}
	return nil
}

// close gives the identity back.
func (id *identity) close() error {
	if id.lock == nil {
		return nil
	}
	return id.lock.Release()
}

// writeFile replaces a file as a whole.
func writeFile(name, text string) error {
	tmp := name + ".tmp"
	if err := os.WriteFile(tmp, []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, name)
}

func randomHex(bytes int) string {
	b := make([]byte, bytes)
	rand.Read(b) // Never fails.
	return hex.EncodeToString(b)
}
