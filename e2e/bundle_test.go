package e2e

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// apps are what pages are built with; KINOPIO_ALL_BUNDLERS=1 has all of them. Each builds, from an
// install of the packed package, a page with a button, and serves it.
func apps() map[string]func(*testing.T) (url string) {
	apps := map[string]func(*testing.T) string{"plain page": plainPage}
	bundlers := []string{"esbuild", "vite"}
	if os.Getenv("KINOPIO_ALL_BUNDLERS") != "" {
		bundlers = append(bundlers, "webpack", "rollup")
		apps["next"] = nextApp
	}
	for _, bundler := range bundlers {
		apps[bundler] = func(t *testing.T) string { return serveFiles(t, bundle(t, bundler)) }
	}
	return apps
}

// plainApp is a page without React, which Rollup cannot take without plugins.
const plainApp = `const hub = new KinopioHub({ servers: [new URLSearchParams(location.search).get("server")] });
const button = document.body.appendChild(document.createElement("button"));
button.id = "click";
const show = (n) => (button.textContent = "clicked " + n + " times");
show(0);
hub.room.clicks.watch(show);
button.onclick = () => hub.room.clicks.pub((hub.room.clicks.value ?? 0) + 1);
`

func TestInstalledPackageMakesAPageThatFollowsAVariable(t *testing.T) {
	for name, app := range apps() {
		t.Run(name, func(t *testing.T) {
			page := app(t)
			remote := startRemote(t)
			peer := newNativePeer(t, remote.client)
			if err := peer.subscribe("room.clicks"); err != nil {
				t.Fatal(err)
			}
			b := openBrowser(t, "")
			b.goTo(page + "/?server=" + url.QueryEscape(remote.websocket))
			const text = `document.querySelector("#click:enabled")?.textContent`
			b.waitFor("the page shows itself", text+` === "clicked 0 times"`, text)
			b.click("#click")
			if m := next(t, peer); string(m.Data) != "1" {
				t.Errorf("a click publishes %q, want 1", m.Data)
			}
			b.waitFor("its own value", text+` === "clicked 1 times"`, text)
			if err := peer.publish("room.clicks", []byte("41")); err != nil {
				t.Fatal(err)
			}
			b.waitFor("the value of others", text+` === "clicked 41 times"`, text)
			if noise := b.said("rror"); len(noise) > 0 {
				t.Errorf("the console says %q", noise)
			}
		})
	}
}

// install installs the packed package, and more, into a folder with or without a manifest.
func install(t *testing.T, folder string, more ...string) {
	t.Helper()
	manifest := filepath.Join(folder, "package.json")
	if _, err := os.Stat(manifest); err != nil {
		if err := writeFile(manifest, []byte(`{"name":"app","private":true,"type":"module"}`)); err != nil {
			t.Fatal(err)
		}
	}
	// The programs of the platforms are optional, and pages do without.
	none := httptest.NewServer(http.NotFoundHandler())
	defer none.Close()
	if err := writeFile(filepath.Join(folder, ".npmrc"), []byte("@kinopio-hub:registry="+none.URL+"/\n")); err != nil {
		t.Fatal(err)
	}
	command := exec.Command(tool(t, "npm", "npm"), append([]string{
		"install", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", packed(t).tarball}, more...)...)
	command.Dir = folder
	if said, err := command.CombinedOutput(); err != nil {
		t.Fatalf("npm install: %v\n%s", err, said)
	}
}

func serveFiles(t *testing.T, folder string) string {
	t.Helper()
	page := httptest.NewServer(http.FileServer(http.Dir(folder)))
	t.Cleanup(page.Close)
	return page.URL
}

// plainPage has the script as it lies in the package.
func plainPage(t *testing.T) string {
	t.Helper()
	app := t.TempDir()
	install(t, app)
	page := `<!doctype html><link rel="icon" href="data:,"><body><script src="node_modules/kinopio-hub/dist/kinopio-hub.global.js"></script><script>` + plainApp + `</script>`
	if err := writeFile(filepath.Join(app, "index.html"), []byte(page)); err != nil {
		t.Fatal(err)
	}
	return serveFiles(t, app)
}

// bundle makes a page of the React example, and returns its folder.
func bundle(t *testing.T, bundler string) string {
	t.Helper()
	npm := artefacts(t).npm
	app, out := t.TempDir(), t.TempDir()
	install(t, app)
	for _, name := range []string{"react", "react-dom", "scheduler"} {
		target := filepath.Join(npm, "tools", "node_modules", name)
		if _, err := os.Stat(target); err != nil {
			t.Fatalf("%v: run make npm/tools/node_modules/.package-lock.json first", err)
		}
		if err := os.Symlink(target, filepath.Join(app, "node_modules", name)); err != nil {
			t.Fatal(err)
		}
	}
	if bundler == "rollup" {
		if err := writeFile(filepath.Join(app, "app.mjs"), []byte("import KinopioHub from \"kinopio-hub\";\n"+plainApp)); err != nil {
			t.Fatal(err)
		}
	} else if err := os.CopyFS(app, os.DirFS(filepath.Join("..", "examples", "react"))); err != nil {
		t.Fatal(err)
	}
	command := exec.Command(tool(t, "node", "nodejs"), filepath.Join(npm, "tools", "bundle.mjs"), bundler, app, out)
	if said, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", bundler, err, said)
	}
	return out
}

// nextApp builds examples/next as it is, and starts it.
func nextApp(t *testing.T) string {
	t.Helper()
	t.Setenv("NEXT_TELEMETRY_DISABLED", "1")
	app := t.TempDir()
	if err := os.CopyFS(app, os.DirFS(filepath.Join("..", "examples", "next"))); err != nil {
		t.Fatal(err)
	}
	install(t, app)
	node, program := tool(t, "node", "nodejs"), filepath.Join(app, "node_modules", "next", "dist", "bin", "next")
	build := exec.Command(node, program, "build", app)
	said, err := build.CombinedOutput()
	if err != nil || bytes.Contains(said, []byte("arning")) {
		t.Fatalf("next build: %v\n%s", err, said)
	}
	address := closedPort(t)
	host, port, _ := strings.Cut(address, ":")
	server := run(t, nil, node, program, "start", app, "--hostname", host, "--port", port)
	for limit := time.After(patience + patience); ; {
		select {
		case line, ok := <-server.lines:
			if !ok {
				t.Fatalf("next start has ended: %s", server.complaints())
			}
			if strings.Contains(line, "Ready") {
				server.drain()
				return "http://" + address
			}
		case <-limit:
			t.Fatalf("next start is not ready: %s", server.complaints())
		}
	}
}
