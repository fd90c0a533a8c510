//go:build !windows

package tlsca

import (
	"io/fs"

	"github.com/google/renameio/v2"
)

// writeFile writes a file whole or not at all, with exactly this mode.
func writeFile(path string, data []byte, mode fs.FileMode) error {
	return renameio.WriteFile(path, data, mode, renameio.IgnoreUmask())
}
