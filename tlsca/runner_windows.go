package tlsca

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/windows"
)

// findSystemTool looks in the system's own directory first: NSS has a certutil too.
func findSystemTool(name string) string {
	dir, err := windows.GetSystemDirectory()
	if err != nil {
		return ""
	}
	path := filepath.Join(dir, name)
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}

// systemProgram: nothing is run with more rights on Windows.
func systemProgram(string) error { return nil }

func isAdmin() bool { return false } // The user's own store is the one that is edited.
