package election

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/gofrs/flock"
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
	lock     *flock.Flock
	file     string // Of the count.
	count    int64
	kept     int64
}

// openIdentity takes the first identity that nobody else has. A node that is given is
// kept as it is; only the count comes from the cache then.
func openIdentity(cacheDir, node string) (*identity, error) {
	dir := filepath.Join(cacheDir, "kinopio-hub", "auto-leaf")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open identity: %w", err)
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
		lock := flock.New(file+".lock", flock.SetPermissions(0o600))
		ok, err := lock.TryLock()
		if err != nil {
			return nil, fmt.Errorf("open identity: lock %s: %w", file, err)
		}
		if !ok {
			continue
		}
		id := &identity{node: node, lock: lock, file: file + ".count", instance: randomHex(8)}
		if err := id.load(file); err != nil {
			return nil, errors.Join(fmt.Errorf("open identity: %w", err), lock.Unlock())
		}
		return id, nil
	}
	return nil, fmt.Errorf("open identity: %d agents use %s already: name another cache directory", maxIdentities, dir)
}

func (id *identity) load(file string) error {
	if id.node == "" {
		data, err := os.ReadFile(file)
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
	data, err := os.ReadFile(id.file)
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
func (id *identity) close() error { return id.lock.Unlock() }

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
