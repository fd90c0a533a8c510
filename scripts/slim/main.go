// Command slim makes a copy of nats.go, without what a page never runs, for the build of the
// browser module: framing of WebSockets (the browser does it), TLS (the browser does it), the
// old encoders with gob, and with them net/http and crypto/tls.
//
//	slim -out bin/slim
//	GOOS=js GOARCH=wasm go build -modfile bin/slim/go.mod ./wasm
//
// The copy comes from the module cache, in the version of go.mod. What is in place of the files
// left out is in shims. A version that nobody has looked at is refused: see known.
package main

import (
	"embed"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

//go:embed shims
var shims embed.FS

// A module is what is copied, and how. Its shims are below shims/<name>, with .txt after
// each file's name; a copy's own file of the same name gives way.
type module struct {
	name, path string
	known      []string            // versions that the conformance suite has passed with in Chromium
	packages   []string            // folders that are copied
	drop       []string            // files that are left out
	imports    map[string][]string // import path → files that import it, which get the shim of that name
}

var modules = []module{
	{
		name: "nats", path: "github.com/nats-io/nats.go", known: []string{"v1.55.0"},
		packages: []string{".", "util", "internal/parser", "internal/syncx"},
		drop:     []string{"netchan.go", "testing_internal.go"},
		imports: map[string][]string{
			"crypto/tls":  {"nats.go", "util/tls.go"},
			"crypto/x509": {"nats.go"},
			"net/http":    {"nats.go"},
			"regexp":      {"nats.go", "kv.go"},
		},
	},
	{
		name: "nkeys", path: "github.com/nats-io/nkeys", known: []string{"v0.4.16"},
		packages: []string{"."},
		imports:  map[string][]string{"regexp": {"creds_utils.go"}},
	},
}

func main() {
	out := flag.String("out", "bin/slim", "the folder to make")
	flag.Parse()
	if err := run(*out); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(out string) error {
	if err := os.RemoveAll(out); err != nil {
		return err
	}
	for _, m := range modules {
		if err := m.copy(filepath.Join(out, m.name)); err != nil {
			return fmt.Errorf("%s: %w", m.path, err)
		}
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(name)
		if err == nil {
			err = os.WriteFile(filepath.Join(out, name), text, 0o644)
		}
		if err != nil {
			return err
		}
	}
	for _, m := range modules {
		folder, err := filepath.Abs(filepath.Join(out, m.name))
		if err != nil {
			return err
		}
		edit := exec.Command("go", "mod", "edit", "-replace", m.path+"="+folder, filepath.Join(out, "go.mod"))
		if text, err := edit.CombinedOutput(); err != nil {
			return fmt.Errorf("go mod edit: %w: %s", err, text)
		}
	}
	return nil
}

// copy makes the module's copy in the folder to.
func (m module) copy(to string) error {
	text, err := exec.Command("go", "list", "-m", "-json", m.path).Output()
	if err != nil {
		return fmt.Errorf("go list -m: %w", err)
	}
	var is struct{ Version, Dir string }
	if err := json.Unmarshal(text, &is); err != nil {
		return err
	}
	if is.Dir == "" {
		return errors.New("is not in the module cache: go mod download")
	}
	if !contains(m.known, is.Version) {
		return fmt.Errorf("version %s: want %s; build with it, run the conformance suite in Chromium, and add it to known in scripts/slim/main.go (make SLIM= builds without)", is.Version, strings.Join(m.known, " or "))
	}
	changed := map[string]int{}
	for _, folder := range append([]string{""}, m.packages...) {
		names := []string{"go.mod", "LICENSE"}
		if folder != "" {
			if names, err = sources(filepath.Join(is.Dir, folder)); err != nil {
				return err
			}
		}
		for _, name := range names {
			name = filepath.Join(folder, name)
			if contains(m.drop, name) {
				continue
			}
			text, err := os.ReadFile(filepath.Join(is.Dir, name))
			if err != nil {
				return err
			}
			if strings.HasSuffix(name, ".go") {
				if text, err = m.reroute(name, text, changed); err != nil {
					return err
				}
			}
			if err := write(filepath.Join(to, name), text); err != nil {
				return err
			}
		}
	}
	for path, files := range m.imports {
		if changed[path] != len(files) {
			return fmt.Errorf("%d files import %s: want %v", changed[path], path, files)
		}
	}
	root := "shims/" + m.name
	return fs.WalkDir(shims, root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := shims.ReadFile(path)
		if err != nil {
			return err
		}
		name := strings.TrimSuffix(strings.TrimPrefix(path, root+"/"), ".txt")
		return write(filepath.Join(to, name), text)
	})
}

// reroute makes a file import shims.
func (m module) reroute(name string, text []byte, changed map[string]int) ([]byte, error) {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, name, text, parser.ImportsOnly)
	if err != nil {
		return nil, err
	}
	if _, err := shims.ReadFile("shims/" + m.name + "/" + name + ".txt"); err == nil {
		return text, nil // it will be replaced
	}
	for i := len(file.Imports) - 1; i >= 0; i-- {
		path, err := strconv.Unquote(file.Imports[i].Path.Value)
		if err != nil {
			return nil, err
		}
		files, wanted := m.imports[path]
		if !wanted {
			continue
		}
		if !contains(files, name) {
			return nil, fmt.Errorf("%s imports %s, which only %v did", name, path, files)
		}
		changed[path]++
		text = replace(set, text, file.Imports[i].Path, strconv.Quote(m.path+"/internal/slim/"+path))
	}
	return text, nil
}

func replace(set *token.FileSet, text []byte, at ast.Node, with string) []byte {
	from, to := set.Position(at.Pos()).Offset, set.Position(at.End()).Offset
	return append(append(append([]byte(nil), text[:from]...), with...), text[to:]...)
}

// sources are the files of a package, without its tests.
func sources(folder string) (names []string, err error) {
	entries, err := os.ReadDir(folder)
	for _, e := range entries {
		if !e.IsDir() && strings.HasSuffix(e.Name(), ".go") && !strings.HasSuffix(e.Name(), "_test.go") {
			names = append(names, e.Name())
		}
	}
	return names, err
}

func write(name string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, text, 0o644)
}

func contains(list []string, one string) bool {
	for _, other := range list {
		if other == one {
			return true
		}
	}
	return false
}
