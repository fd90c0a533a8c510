package kinopiohub_test

import (
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/mod/modfile"
	xmodule "golang.org/x/mod/module"
	modzip "golang.org/x/mod/zip"
)

// A program of another module that requires this one by a tag of its own version must build: the path has to fit
// the version (https://go.dev/ref/mod#major-version-suffixes), and the zip that proxies serve has limits of its own.
func TestAnotherModuleCanRequireThisOne(t *testing.T) {
	version := xmodule.Version{Path: module, Version: "v3.0.0"}
	if err := xmodule.Check(version.Path, version.Version); err != nil {
		t.Fatal(err)
	}
	proxy := serveAsProxy(t, version)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "go.mod"), "module example.com/studio\n\ngo 1.26\n\nrequire "+version.Path+" "+version.Version+"\n")
	write(t, filepath.Join(dir, "main.go"), "package main\n\nimport (\n\t\"context\"\n\n\t\""+module+"/hub\"\n)\n\nfunc main() {\n\t_, _ = hub.Open(context.Background(), hub.Config{})\n}\n")
	upstream := goEnv(t, "GOPROXY")
	for _, args := range [][]string{{"mod", "tidy"}, {"build", "-o", os.DevNull, "."}, {"vet", "."}} {
		cmd := exec.Command("go", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOFLAGS=-mod=mod -modcacherw", "GOWORK=off", "GONOSUMDB="+module, "GOMODCACHE="+t.TempDir(),
			"GOPROXY=file://"+proxy+",file://"+goEnv(t, "GOMODCACHE")+"/cache/download,"+upstream)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// serveAsProxy writes what a module proxy answers for the files that git knows here, and says where.
func serveAsProxy(t *testing.T, version xmodule.Version) string {
	t.Helper()
	dir := t.TempDir()
	at := filepath.Join(dir, filepath.FromSlash(version.Path), "@v")
	if err := os.MkdirAll(at, 0o700); err != nil {
		t.Fatal(err)
	}
	gomod, err := os.ReadFile("go.mod")
	if err != nil {
		t.Fatal(err)
	}
	if parsed, err := modfile.Parse("go.mod", gomod, nil); err != nil || parsed.Module.Mod.Path != version.Path {
		t.Fatalf("go.mod names another module than %s (%v)", version.Path, err)
	}
	info, err := json.Marshal(map[string]string{"Version": version.Version})
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(at, version.Version+".info"), string(info))
	write(t, filepath.Join(at, version.Version+".mod"), string(gomod))
	out, err := os.Create(filepath.Join(at, version.Version+".zip"))
	if err != nil {
		t.Fatal(err)
	}
	if err := modzip.Create(out, version, gitFiles(t)); err != nil {
		t.Fatal(err)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// gitFiles is what a clone of this tree has, outside modules of its own, which belong to no zip of this one.
func gitFiles(t *testing.T) []modzip.File {
	t.Helper()
	names, err := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		t.Fatal(err)
	}
	all := strings.Split(strings.TrimSuffix(string(names), "\x00"), "\x00")
	var nested []string
	for _, name := range all {
		if name != "go.mod" && filepath.Base(name) == "go.mod" {
			nested = append(nested, filepath.Dir(name)+"/")
		}
	}
	var files []modzip.File
next:
	for _, name := range all {
		for _, dir := range nested {
			if strings.HasPrefix(name, dir) {
				continue next
			}
		}
		if _, err := os.Lstat(name); err == nil {
			files = append(files, gitFile(name))
		}
	}
	return files
}

type gitFile string

func (f gitFile) Path() string                 { return string(f) }
func (f gitFile) Lstat() (os.FileInfo, error)  { return os.Lstat(string(f)) }
func (f gitFile) Open() (io.ReadCloser, error) { return os.Open(string(f)) }

func goEnv(t *testing.T, name string) string {
	t.Helper()
	out, err := exec.Command("go", "env", name).Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
