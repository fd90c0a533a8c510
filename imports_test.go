package kinopiohub_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/kinopio-hub/kinopio-hub/v3"

// A room is a package, or with /... a folder of packages, and what of ours it may import.
type room struct {
	name string
	may  []string
	why  string
}

// rooms is the import table. The first line that matches a package holds.
var rooms = []room{
	{"transport", nil, "the contract is what everything else agrees on, so it depends on nothing"},
	{"transport/inbox", nil, "a queue of bytes knows nothing of streams"},
	{"transport/native", []string{"transport", "transport/inbox"}, "an adapter knows the contract and nothing else"},
	{"transport/wsjs", []string{"transport", "transport/inbox"}, "an adapter knows the contract and nothing else"},
	{"transport/wtjs", []string{"transport", "transport/inbox"}, "an adapter knows the contract and nothing else"},
	{"transport/ways", []string{"transport"}, "which way is taken does not depend on how it is gone"},
	{"transport/transporttest", []string{"transport", "transport/inbox"}, "the suite must prove any transport, so it knows none"},
	{"internal/presence", nil, "what decides about members is given everything, and knows nothing of who carries it"},
	{"internal/keep", nil, "what decides about values is given everything, and knows nothing of who carries it"},
	{"internal/plainjson", nil, "JSON knows nothing of what is written in it"},
	{"internal/natswire", []string{"transport", "internal/plainjson"}, "the protocol is spoken on any stream, and knows nothing of hubs"},
	{"internal/filelock", nil, "a lock of a file knows nothing of what it is for"},
	{"internal/givenfile", nil, "a file that a person has named is read alike by all"},
	{"internal/bridge", nil, "what hub and its bridge both know stands below both"},
	{"hub", []string{"transport", "transport/native", "transport/wsjs", "transport/wtjs", "transport/ways", "internal/keep", "internal/presence", "internal/plainjson", "internal/natswire", "internal/bridge"}, "a hub gets its streams from any transport.Dialer"},
	{"keeper", []string{"hub", "internal/filelock"}, "a keeper is a hub that keeps, with a place to store"},
	{"leaf", []string{"tlsca", "internal/filelock", "internal/givenfile"}, "libraries do not know each other, except that a leaf needs certificates"},
	{"leaf/checks", []string{"leaf"}, "what looks for faults asks a leaf as strangers do, and knows how its answers are signed"},
	{"election", []string{"election/multicast", "election/mdns", "internal/filelock", "internal/givenfile"}, "the election is given something that starts a leaf, and knows no leaf"},
	{"election/multicast", nil, "a bus carries bytes"},
	{"election/mdns", []string{"election/multicast"}, "multicast DNS is a protocol on such a bus"},
	{"election/lab", nil, "what the election is tested on knows nothing of it"},
	{"tlsca", []string{"internal/filelock", "internal/givenfile"}, "libraries do not know each other"},
	{"wasm", []string{"hub", "transport", "transport/inbox", "internal/plainjson", "internal/bridge"}, "the bridge has its own dialer, and the page downloads all that it imports"},
	{"cmd/kinopio-hub/...", []string{"internal/givenfile", "hub", "keeper", "transport", "transport/native", "leaf", "election", "election/mdns", "tlsca", "cmd/kinopio-hub/..."}, "a command turns flags into calls of the libraries"},
	{"e2e/...", []string{"transport/transporttest", "election/lab", "conformance/lab", "e2e/..."}, "the end-to-end tests drive what was built, and do not link it; they start the peers of those tests that run in a browser"},
	{"conformance/...", []string{"conformance/lab", "conformance/labapi"}, "what every platform is tested against knows nothing of ours"},
	{"npm/test/...", nil, "what the npm package is tested against knows nothing of ours"},
	{"continuity/...", []string{"hub", "continuity/..."}, "what measures moves uses a hub as a program does"},
	{"bench/...", []string{"hub", "transport", "transport/native", "e2e/engine", "bench/..."}, "a benchmark is a program that uses the libraries, and drives a browser as tests do"},
	{"examples/...", []string{"hub"}, "an example is a program as a user writes it"},
	{"docs/...", nil, "a program in a report to others shows what they do, without ours"},
	{"scripts/...", nil, "a script works on any state of the repository"},
}

// A ban is about all that a package links, on the platforms it names.
type ban struct {
	from      string
	platforms []string // nil is all
	never     []string // import paths; a path covers what is below it
	why       string
}

const download = "what a page downloads must stay small, and these compile for it without complaint"

var (
	heavy = []string{
		"github.com/nats-io/nats-server", "github.com/spf13/cobra", "github.com/hashicorp/mdns", "github.com/chromedp",
		module + "/leaf", module + "/election", module + "/tlsca", module + "/cmd",
	}
	bans = []ban{
		{"hub", nil, append([]string{"github.com/nats-io"}, heavy...), "a hub speaks the protocol itself, a program that joins one runs no server, and " + download},
		{"wasm", nil, heavy, download},
		{"wasm", []string{"js/wasm"}, []string{module + "/transport/native", "github.com/coder/websocket", "github.com/nats-io", "crypto/tls", "net/http", "regexp"}, download},
		{"wasm", []string{"js/wasm kinopio_page"}, []string{module + "/transport/wsjs", module + "/transport/wtjs", module + "/transport/ways"}, "the bridge has its own dialer, and " + download},
		{"hub", []string{"js/wasm"}, []string{module + "/transport/native", "github.com/coder/websocket", "crypto/tls", "net/http", "regexp"}, download},
		{"transport", nil, []string{"github.com", "testing"}, "the contract needs the standard library only"},
		{"transport/inbox", nil, []string{"github.com", "testing"}, "a queue needs the standard library only"},
		{"transport/native", nil, append([]string{"testing", "github.com/nats-io"}, heavy...), "a transport carries bytes and knows no protocol inside"},
		{"transport/wsjs", nil, append([]string{"testing", "github.com/nats-io", "github.com/coder/websocket", "net/http"}, heavy...), "a transport carries bytes, and " + download},
		{"transport/wtjs", nil, append([]string{"testing", "github.com/nats-io", "github.com/coder/websocket", "net/http"}, heavy...), "a transport carries bytes, and " + download},
		{"transport/ways", nil, append([]string{"testing"}, heavy...), "a choice between transports is neither, and " + download},
		{"leaf", nil, []string{"github.com/spf13/cobra", "github.com/chromedp"}, "a library has no command line"},
		{"election", nil, []string{"github.com/spf13/cobra", "github.com/nats-io", "github.com/chromedp"}, "the election decides who leads, whatever a leaf is"},
		{"tlsca", nil, []string{"github.com/spf13/cobra", "github.com/nats-io", "github.com/chromedp"}, "certificates serve any server"},
		{"cmd/kinopio-hub", nil, []string{"testing", "github.com/chromedp"}, "tests do not belong into the program that is shipped"},
	}
)

// listed is what go list -json tells of a package.
type listed struct {
	ImportPath string
	Dir        string
	GoFiles    []string
	Imports    []string
	Deps       []string
}

func TestPackagesImportOnlyWhatTheTableAllows(t *testing.T) {
	for _, platform := range []string{"linux/amd64", "windows/amd64", "darwin/arm64", "js/wasm", "js/wasm kinopio_page"} {
		t.Run(platform, func(t *testing.T) {
			for _, p := range list(t, platform) {
				name := strings.TrimPrefix(p.ImportPath, module+"/")
				i := slices.IndexFunc(rooms, func(r room) bool { return covers(r.name, name) })
				if i < 0 {
					t.Errorf("the package %s is not in the import table of imports_test.go: add a line that says what of ours it may import, and why", name)
					continue
				}
				for _, imported := range p.Imports {
					imported, ours := strings.CutPrefix(imported, module+"/")
					if ours && !slices.ContainsFunc(rooms[i].may, func(may string) bool { return covers(may, imported) }) {
						t.Errorf("%s imports %s, but may import of ours only %q: %s", name, imported, rooms[i].may, rooms[i].why)
					}
				}
				for _, b := range bans {
					if b.from == name && (b.platforms == nil || slices.Contains(b.platforms, platform)) {
						forbid(t, p, b)
					}
				}
				if name == "hub" {
					adaptersOnlyInDefaults(t, p)
				}
			}
		})
	}
}

func forbid(t *testing.T, p listed, b ban) {
	for _, never := range b.never {
		for _, dep := range p.Deps {
			if dep == never || strings.HasPrefix(dep, never+"/") {
				t.Errorf("%s links %s: %s", b.from, dep, b.why)
				break
			}
		}
	}
}

// adaptersOnlyInDefaults: the hub names a transport in one file a platform and nowhere else.
func adaptersOnlyInDefaults(t *testing.T, p listed) {
	for _, file := range p.GoFiles {
		source, err := os.ReadFile(path.Join(p.Dir, file))
		if err != nil {
			t.Fatal(err)
		}
		for _, adapter := range []string{"transport/native", "transport/wsjs", "transport/wtjs", "transport/ways"} {
			if bytes.Contains(source, []byte(`"`+module+"/"+adapter+`"`)) && !strings.HasPrefix(file, "defaults_") {
				t.Errorf("hub/%s imports %s, but only the files of defaults may, one for each platform: everything else dials through transport.Dialer", file, adapter)
			}
		}
	}
}

// covers tells whether a name of the table, which may end in /..., means the package.
func covers(name, pkg string) bool {
	folder, all := strings.CutSuffix(name, "/...")
	return folder == pkg || all && strings.HasPrefix(pkg, folder+"/")
}

// list returns our packages as they are built for a platform, after which may stand a build tag.
func list(t *testing.T, platform string) []listed {
	t.Helper()
	platform, tag, _ := strings.Cut(platform, " ")
	goos, goarch, _ := strings.Cut(platform, "/")
	cmd := exec.Command("go", "list", "-e", "-tags="+tag, "-json=ImportPath,Dir,GoFiles,Imports,Deps", "./...")
	cmd.Env = append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch, "CGO_ENABLED=0", "GOFLAGS=")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(fmt.Errorf("go list for %s: %w\n%s", platform, err, &stderr))
	}
	var packages []listed
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if p.ImportPath != module && len(p.GoFiles) > 0 { // the root has this test only
			packages = append(packages, p)
		}
	}
	if len(packages) == 0 {
		t.Fatalf("go list for %s finds no package", platform)
	}
	return packages
}
