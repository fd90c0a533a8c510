//go:build !windows

package tlsca

import "os"

func findSystemTool(string) string { return "" }

func isAdmin() bool { return os.Geteuid() == 0 }
