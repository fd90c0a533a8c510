package e2e

import (
	"bufio"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/e2e/engine"
)

// editedApp is a page with React that takes edits without being loaded again.
const editedApp = `import { createElement, StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { edit, hub } from "./hub.mjs";
import { useVariable } from "./use-variable.mjs";

function Clicks() {
	const [clicks, setClicks] = useVariable(hub.room.clicks);
	return createElement("button", { id: "click", onClick: () => setClicks((clicks ?? 0) + 1) }, "edit " + edit + ", clicked " + (clicks ?? 0) + " times");
}

const root = (globalThis.root ??= createRoot(document.querySelector("main")));
root.render(createElement(StrictMode, null, createElement(Clicks)));
if (import.meta.hot) import.meta.hot.accept();
`

const naiveHub = `import KinopioHub from "kinopio-hub";
export const hub = new KinopioHub({ servers: [new URLSearchParams(location.search).get("server")] });
`

// Four edits in three tabs, served by Vite in development, with the hub of examples/react and with one
// that is simply made.
func TestEditsLeaveOneHubATab(t *testing.T) {
	for name, c := range map[string]struct {
		hub  string // "" is that of the example
		want int
	}{
		"kept":        {"", 3},
		"simply made": {naiveHub, 3 * (1 + 4)}, // that the test sees hubs that are left
	} {
		t.Run(name, func(t *testing.T) {
			remote := startRemote(t)
			app, page := developed(t, c.hub)
			first := openBrowser(t, "")
			tabs := []*browser{first}
			for len(tabs) < 3 {
				page, err := first.page.(*engine.ChromiumPage).NewTab()
				if err != nil {
					t.Fatal(err)
				}
				tab := &browser{t: t, page: page, heard: first.heard}
				tabs = append(tabs, tab)
			}
			for _, tab := range tabs {
				tab.goTo(page + "/?server=" + url.QueryEscape(remote.websocket))
			}
			const text = `document.querySelector("#click")?.textContent`
			save := func() {}
			for edit := range 5 {
				if edit > 0 {
					// What every edit of the page does to it: hub.mjs and all that uses it are run again.
					hub, err := os.ReadFile(filepath.Join(app, "hub.mjs"))
					if err != nil {
						t.Fatal(err)
					}
					edited := strings.Replace(string(hub), fmt.Sprintf("edit = %d;", edit-1), fmt.Sprintf("edit = %d;", edit), 1)
					save = func() {
						if err := os.WriteFile(filepath.Join(app, "hub.mjs"), []byte(edited), 0o600); err != nil {
							t.Fatal(err)
						}
					}
					save()
				}
				for i, tab := range tabs {
					tab.awaitText(fmt.Sprintf("edit %d in tab %d", edit, i), text, fmt.Sprintf("edit %d,", edit), save)
				}
			}
			if c.hub == "" {
				eval[bool](tabs[2], `(document.querySelector("#click").click(), true)`)
				for _, tab := range tabs {
					tab.awaitText("the page works", text, "clicked 1 times", func() {})
				}
			}
			for limit := time.After(patience); remote.server.NumClients() != c.want; {
				select {
				case <-time.After(20 * time.Millisecond):
				case <-limit:
					t.Fatalf("%d hubs are connected, want %d", remote.server.NumClients(), c.want)
				}
			}
		})
	}
}

// awaitText waits until a text of the page has a part. It needs no timers of the page, which may be hidden. Who watches
// files may miss a change that follows another at once: again is called every 5 s, as one saves once more.
func (b *browser) awaitText(what, text, part string, again func()) {
	b.t.Helper()
	retry := time.NewTicker(5 * time.Second)
	defer retry.Stop()
	for limit := time.After(patience + patience); ; {
		now := eval[string](b, text+` ?? ""`)
		if strings.Contains(now, part) {
			return
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-retry.C:
			again()
		case <-limit:
			b.t.Fatalf("%s: %q is missing in %q", what, part, now)
		}
	}
}

// developed serves the page as Vite does while it is being made; hub replaces hub.mjs of the example.
func developed(t *testing.T, hub string) (app, page string) {
	t.Helper()
	npm := artefacts(t).npm
	app = t.TempDir()
	install(t, app)
	for _, name := range []string{"react", "react-dom", "scheduler"} {
		if err := os.Symlink(filepath.Join(npm, "tools", "node_modules", name), filepath.Join(app, "node_modules", name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.CopyFS(app, os.DirFS(filepath.Join("..", "examples", "react"))); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{
		"index.html": `<!doctype html><link rel="icon" href="data:,"><main></main><script type="module" src="/page.mjs"></script>`,
		"page.mjs":   editedApp,
	}
	if hub == "" {
		example, err := os.ReadFile(filepath.Join(app, "hub.mjs"))
		if err != nil {
			t.Fatal(err)
		}
		hub = string(example)
	}
	files["hub.mjs"] = hub + "export const edit = 0;\n"
	for file, content := range files {
		if err := os.WriteFile(filepath.Join(app, file), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	command := exec.Command(tool(t, "node", "nodejs"), filepath.Join(npm, "tools", "dev.mjs"), app)
	command.Stderr = os.Stderr
	end, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	said, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = end.Close()
		_ = command.Wait()
	})
	page, err = bufio.NewReader(said).ReadString('\n')
	if err != nil {
		t.Fatalf("Vite did not start: %v", err)
	}
	return app, strings.TrimSpace(page)
}
