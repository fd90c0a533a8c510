package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// bundlers is what a page is bundled with; KINOPIO_ALL_BUNDLERS=1 has all of them.
func bundlers() []string {
	if os.Getenv("KINOPIO_ALL_BUNDLERS") != "" {
		return []string{"esbuild", "vite", "webpack", "rollup"}
	}
	return []string{"esbuild", "vite"}
}

// plainApp is a page without React, which Rollup cannot take without plugins.
const plainApp = `import KinopioHub from "kinopio-hub";
const hub = new KinopioHub({ servers: [new URLSearchParams(location.search).get("server")] });
const button = document.body.appendChild(document.createElement("button"));
button.id = "click";
const show = (n) => (button.textContent = "clicked " + n + " times");
show(0);
hub.room.clicks.watch(show);
button.onclick = () => hub.room.clicks.pub((hub.room.clicks.value ?? 0) + 1);
`

// The page is examples/react, with the hook that others copy.
func TestBundledPageFindsItsModuleAndFollowsAVariable(t *testing.T) {
	for _, bundler := range bundlers() {
		t.Run(bundler, func(t *testing.T) {
			page := httptest.NewServer(http.FileServer(http.Dir(bundle(t, bundler))))
			t.Cleanup(page.Close)
			remote := startRemote(t)
			peer := newNativePeer(t, remote.client)
			if err := peer.subscribe("room.clicks"); err != nil {
				t.Fatal(err)
			}
			b := openBrowser(t, "")
			b.goTo(page.URL + "/?server=" + url.QueryEscape(remote.websocket))
			const text = `document.querySelector("#click")?.textContent`
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

// bundle makes a page of the React example, and returns its folder.
func bundle(t *testing.T, bundler string) string {
	t.Helper()
	npm := artefacts(t).npm
	app, out := t.TempDir(), t.TempDir()
	modules := filepath.Join(app, "node_modules")
	if err := os.Mkdir(modules, 0o755); err != nil {
		t.Fatal(err)
	}
	links := map[string]string{"kinopio-hub": npm}
	for _, name := range []string{"react", "react-dom", "scheduler"} {
		links[name] = filepath.Join(npm, "tools", "node_modules", name)
	}
	for name, target := range links {
		if _, err := os.Stat(target); err != nil {
			t.Fatalf("%v: run make npm/tools/node_modules/.package-lock.json first", err)
		}
		if err := os.Symlink(target, filepath.Join(modules, name)); err != nil {
			t.Fatal(err)
		}
	}
	sources := map[string][]byte{"app.mjs": []byte(plainApp)}
	if bundler != "rollup" {
		for _, name := range []string{"app.mjs", "use-variable.mjs"} {
			data, err := os.ReadFile(filepath.Join("..", "examples", "react", name))
			if err != nil {
				t.Fatal(err)
			}
			sources[name] = data
		}
	}
	for name, data := range sources {
		if err := writeFile(filepath.Join(app, name), data); err != nil {
			t.Fatal(err)
		}
	}
	command := exec.Command(tool(t, "node", "nodejs"), filepath.Join(npm, "tools", "bundle.mjs"), bundler, app, out)
	if said, err := command.CombinedOutput(); err != nil {
		t.Fatal(fmt.Errorf("%s: %w\n%s", bundler, err, said))
	}
	return out
}
