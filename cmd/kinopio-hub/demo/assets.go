package demo

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// The two files of the browser module.
const (
	moduleScript = "kinopio-hub.global.js"
	moduleWasm   = "kinopio-hub.wasm"
)

// assets is the folder with the browser module.
type assets struct {
	dir   string
	stale string // a warning, or ""
}

// findAssets finds the browser module in dir or, when dir is "", in npm/dist beside the
// folder of the executable.
func findAssets(dir, executable string) (assets, error) {
	hint := "build it with: make build"
	if dir == "" {
		if real, err := filepath.EvalSymlinks(executable); err == nil {
			executable = real
		}
		dir = filepath.Join(filepath.Dir(executable), "..", "npm", "dist")
		hint += ", or say where it is with --assets DIR"
	}
	var oldest time.Time
	for _, name := range []string{moduleScript, moduleWasm} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err == nil && (!info.Mode().IsRegular() || info.Size() == 0) {
			err = fmt.Errorf("%s is no file with content", filepath.Join(dir, name))
		}
		if err != nil {
			return assets{}, &hinted{error: fmt.Errorf("find the browser module: %w", err), hint: hint}
		}
		if oldest.IsZero() || info.ModTime().Before(oldest) {
			oldest = info.ModTime()
		}
	}
	a := assets{dir: dir}
	if newer := newerSource(filepath.Join(dir, "..", ".."), oldest); newer != "" {
		a.stale = fmt.Sprintf("the browser module is older than %s; %s", newer, hint)
	}
	return a, nil
}

// newerSource names a source of the browser module below root that is newer than built, or
// returns "". Outside a source tree there is none.
func newerSource(root string, built time.Time) (newer string) {
	for _, part := range []string{"hub", "transport", "wasm", filepath.Join("npm", "src")} {
		// A folder that is not there is not part of this tree.
		_ = filepath.WalkDir(filepath.Join(root, part), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			name := entry.Name()
			source := strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") || strings.HasSuffix(name, ".ts")
			if info, err := entry.Info(); source && err == nil && info.ModTime().After(built) {
				newer, _ = filepath.Rel(root, path)
				return fs.SkipAll
			}
			return nil
		})
		if newer != "" {
			return newer
		}
	}
	return ""
}
