package tlsca

import (
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"runtime"
)

// privateDir makes dir for this user alone, and makes an existing one so.
func privateDir(dir string, log *slog.Logger) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	info, err := os.Stat(dir)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a directory", dir)
	}
	return keepPrivate(dir, info, 0o700, log)
}

// keepPrivate takes away what others may do with path. Windows keeps the rights of
// the user's profile, which no mode bit shows.
func keepPrivate(path string, info fs.FileInfo, mode fs.FileMode, log *slog.Logger) error {
	if runtime.GOOS == "windows" || info.Mode().Perm()&^mode == 0 {
		return nil
	}
	log.Warn("others could read a part of the CA; its mode is tightened", "path", path,
		"was", info.Mode().Perm().String(), "now", mode.String())
	if err := os.Chmod(path, mode); err != nil && !unwritable(err) {
		return err
	} else if err != nil {
		log.Warn("its mode could not be tightened", "path", path, "error", err)
	}
	return nil
}
