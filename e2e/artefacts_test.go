package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
)

// built finds what make build made.
type built struct {
	program string // bin/kinopio-hub
	dist    string // npm/dist
	npm     string // npm, with its node_modules
}

// artefacts returns what was built, and fails the test with what to do when it is missing.
func artefacts(t *testing.T) built {
	t.Helper()
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	b := built{
		program: filepath.Join(root, "bin", "kinopio-hub"),
		dist:    filepath.Join(root, "npm", "dist"),
		npm:     filepath.Join(root, "npm"),
	}
	if runtime.GOOS == "windows" {
		b.program += ".exe"
	}
	for _, file := range []string{
		b.program,
		filepath.Join(b.dist, "kinopio-hub.global.js"),
		filepath.Join(b.dist, "kinopio-hub.wasm"),
	} {
		if _, err := os.Stat(file); err != nil {
			t.Fatalf("%s is missing: run make build first", file)
		}
	}
	return b
}

// tool returns the path of a program that the tests need, and fails the test with the Debian
// package that brings it when it is missing.
func tool(t *testing.T, name, debian string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is missing: install it (Debian: apt-get install %s)", name, debian)
	}
	return path
}

// save writes a file of the test's results to e2e/out.
func save(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := writeFile(filepath.Join("out", name), data); err != nil {
		t.Fatal(err)
	}
	t.Logf("saved e2e/out/%s (%d bytes)", name, len(data))
}

func writeFile(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("save %s: %w", path, err)
	}
	return os.WriteFile(path, data, 0o644)
}
