package demo

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestMissingModuleIsNamedWithAHint(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{moduleScript, moduleWasm} {
		_, err := findAssets(dir, "")
		var own interface{ Hint() string }
		if err == nil || !strings.Contains(err.Error(), name) || !errors.As(err, &own) || !strings.Contains(own.Hint(), "make build") {
			t.Errorf("without %s: %v, want its name and a hint", name, err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := findAssets(dir, ""); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("with an empty %s: %v, want its name", name, err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestModuleIsFoundBesideTheProgramAndKnownAsStale(t *testing.T) {
	root := t.TempDir()
	program := filepath.Join(root, "bin", "kinopio-hub")
	source := filepath.Join(root, "hub", "hub.go")
	built := time.Now().Add(-time.Hour)
	for _, file := range []string{program, source, filepath.Join(root, "npm", "dist", moduleScript), filepath.Join(root, "npm", "dist", moduleWasm)} {
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte("x"), 0o644), os.Chtimes(file, built, built)); err != nil {
			t.Fatal(err)
		}
	}
	if a, err := findAssets("", program); err != nil || a.stale != "" {
		t.Errorf("as built: %+v, %v", a, err)
	}
	now := time.Now()
	if err := os.Chtimes(source, now, now); err != nil {
		t.Fatal(err)
	}
	if a, err := findAssets("", program); err != nil || !strings.Contains(a.stale, filepath.Join("hub", "hub.go")) {
		t.Errorf("after a source has changed: %+v, %v; want a warning that names it", a, err)
	}
}
