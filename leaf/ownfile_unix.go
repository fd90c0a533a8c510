//go:build unix

package leaf

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// safely opens neither what a link leads to nor what would make the open wait.
const safely = syscall.O_NOFOLLOW | syscall.O_NONBLOCK

// ownDir says why a directory is not this user's alone to write: what others may put there is
// not to be touched.
func ownDir(info fs.FileInfo) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !info.IsDir():
		return fmt.Errorf("is not a directory")
	case ok && int(stat.Uid) != os.Geteuid():
		return fmt.Errorf("belongs to another user (uid %d)", stat.Uid)
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("may be written by other users (mode %v)", info.Mode().Perm())
	}
	return nil
}
