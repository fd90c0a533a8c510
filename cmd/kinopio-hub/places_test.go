package main

import (
	"bufio"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// A leaf whose home, folder for temporary files and working directory are all below one
// folder writes to its cache and runtime directories, and to nothing else there.
func TestLeafWritesToItsCacheAndRuntimeDirectoriesOnly(t *testing.T) {
	root := t.TempDir()
	for _, dir := range []string{"home", "tmp", "work"} {
		if err := os.Mkdir(filepath.Join(root, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	in := func(dir string) string { return filepath.Join(root, dir) }
	cmd := exec.CommandContext(t.Context(), "kinopio-hub", "leaf", "start", "--discovery-namespace", "test",
		"--lan-bind-address", "127.0.0.1", "--json-lines", "--cache-dir", in("cache"), "--runtime-dir", in("run"))
	cmd.Dir = in("work")
	cmd.Env = append(os.Environ(), "HOME="+in("home"), "USERPROFILE="+in("home"), "LocalAppData="+in("home"), "AppData="+in("home"),
		"XDG_CACHE_HOME="+in("home/.cache"), "XDG_CONFIG_HOME="+in("home/.config"), "XDG_DATA_HOME="+in("home/.local/share"),
		"TMPDIR="+in("tmp"), "TMP="+in("tmp"), "TEMP="+in("tmp"), "KINOPIO_SKIP_CA_TRUST_INSTALL=1")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Args = append(cmd.Args, "--parent-pipe")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	watchdog := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer watchdog.Stop()
	lines := bufio.NewScanner(out)
	next(t, lines)
	while := filesBelow(t, root)
	for _, dir := range []string{"cache/", "run/"} {
		if !slices.ContainsFunc(while, func(name string) bool { return strings.HasPrefix(name, dir) }) {
			t.Errorf("nothing in %s while it runs: %q", dir, while)
		}
	}
	stdin.Close()
	for lines.Scan() {
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	after := filesBelow(t, root)
	for _, name := range append(while, after...) {
		if !strings.HasPrefix(name, "cache/") && !strings.HasPrefix(name, "run/") {
			t.Errorf("%s was written", name)
		}
	}
	if slices.ContainsFunc(after, func(name string) bool { return strings.HasPrefix(name, "run/") }) {
		t.Errorf("left behind: %q", after)
	}
}

func filesBelow(t *testing.T, root string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(root, path)
		names = append(names, filepath.ToSlash(name))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
