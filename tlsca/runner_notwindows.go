//go:build !windows

package tlsca

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// systemDirs are where only administrators put programs. The user's PATH may name others first.
var systemDirs = []string{"/usr/sbin", "/usr/bin", "/sbin", "/bin", "/run/current-system/sw/bin"}

func findSystemTool(name string) string {
	for _, dir := range systemDirs {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0 {
			return path
		}
	}
	return ""
}

// systemProgram says why a program is none of the system's.
func systemProgram(path string) error {
	if !slices.Contains(systemDirs, filepath.Dir(path)) {
		return fmt.Errorf("%s is in none of the system's own directories (%v)", path, systemDirs)
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Uid != 0 || info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s may be changed by others than administrators", path)
	}
	return nil
}

func isAdmin() bool { return os.Geteuid() == 0 }
