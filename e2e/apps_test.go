package e2e

import (
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

// frameworks are the apps of e2e/apps, with what they show of the variable beside the level.
var frameworks = map[string][]string{"vue": nil, "react": nil, "svelte": {"#rune"}, "solid": nil, "alpine": nil, "angular": {"#plain", "#pipe", "#bound"}}

// builtApp builds an app of the folder, and serves it.
func builtApp(t *testing.T, folder, name string) string {
	t.Helper()
	npm := artefacts(t).npm
	out := t.TempDir()
	if said, err := exec.Command(tool(t, "node", "nodejs"), filepath.Join(npm, "tools", "app.mjs"), folder, name, out).CombinedOutput(); err != nil {
		t.Fatalf("build the app %s: %v\n%s", name, err, said)
	} else if len(said) > 0 {
		t.Logf("%s: %s", name, said)
	}
	return serveFiles(t, out)
}

// appsFolder has all apps, the packed package, and the packages of npm/tools.
func appsFolder(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	if err := os.CopyFS(folder, os.DirFS("apps")); err != nil {
		t.Fatal(err)
	}
	install(t, folder)
	tools := filepath.Join(artefacts(t).npm, "tools", "node_modules")
	for _, name := range []string{"vue", "react", "react-dom", "scheduler", "svelte", "solid-js", "alpinejs", "@angular", "rxjs", "zone.js", "tslib", "@vue"} {
		if _, err := os.Stat(filepath.Join(tools, name)); err != nil {
			t.Fatalf("%v: run make npm/tools/node_modules/.package-lock.json first", err)
		}
		if err := os.Symlink(filepath.Join(tools, name), filepath.Join(folder, "node_modules", name)); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// An app shows a variable and publishes it; its component comes and goes, and its server, too.
func TestAppsOfFrameworksFollowAVariable(t *testing.T) {
	folder := appsFolder(t)
	for name, more := range frameworks {
		t.Run(name, func(t *testing.T) {
			page := builtApp(t, folder, name)
			remote := startRemote(t)
			peer := newNativePeer(t, remote.client)
			if err := peer.subscribe("robot.battery"); err != nil {
				t.Fatal(err)
			}
			b := openBrowser(t, "")
			b.goTo(page + "/?server=" + url.QueryEscape(remote.websocket))
			text := func(id string) string { return fmt.Sprintf(`document.querySelector(%q)?.textContent`, id) }
			shows := func(what, value string) {
				t.Helper()
				for _, id := range append([]string{"#level"}, more...) {
					b.waitFor(what+" in "+id, fmt.Sprintf("%s === %q", text(id), value), `document.body.innerText`)
				}
			}
			says := func(value int) {
				t.Helper()
				if err := peer.publish("robot.battery", fmt.Append(nil, value)); err != nil {
					t.Fatal(err)
				}
				next(t, peer)
			}
			b.waitFor("the hub's state", text("#state")+` === "connected"`, `document.body.innerText`)
			shows("no value yet", "none")
			says(41)
			shows("the value of others", "41")
			b.click("#click")
			if m := next(t, peer); string(m.Data) != "42" {
				t.Errorf("a click publishes %q, want 42", m.Data)
			}
			shows("its own value", "42")

			before := remote.server.NumSubscriptions()
			for range 3 {
				b.click("#toggle")
				b.waitFor("the component is gone", text("#level")+` === undefined`, `document.body.innerText`)
				says(43)
				b.click("#toggle")
				shows("the value of meanwhile", "43")
			}
			if after := remote.server.NumSubscriptions(); after != before {
				t.Errorf("%d subscriptions before the component came and went, %d after", before, after)
			}
			if n := remote.server.NumClients(); n != 2 {
				t.Errorf("%d clients, want the peer and one hub", n)
			}
			eval[bool](b, `(() => {
				window.states = [];
				const state = document.querySelector("#state");
				new MutationObserver(() => states.push(state.textContent)).observe(state, { childList: true, characterData: true, subtree: true });
				return true;
			})()`)
			cutWebSockets(t, remote.server)
			b.waitFor("the hub is shown to leave and come back", `states.some((state) => state !== "connected") && states.at(-1) === "connected"`, `states`)
			eval[bool](b, `hub.flush().then(() => true)`) // it has subscribed again
			says(44)
			shows("the value after a loss", "44")
			if noise := b.said("rror"); len(noise) > 0 {
				t.Errorf("the console says %q", noise)
			}
		})
	}
}

// cutWebSockets ends the connections of pages.
func cutWebSockets(t *testing.T, s *server.Server) {
	t.Helper()
	all, err := s.Connz(&server.ConnzOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all.Conns {
		if c.Type == "websocket" {
			if err := s.DisconnectClientByID(c.Cid); err != nil {
				t.Fatal(err)
			}
		}
	}
}
