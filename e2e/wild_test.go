package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// strangers are what pages load besides the hub, and what it does to the browser's own functions:
// packages as their makers ship them (npm/tools/wild.mjs), and lines that people write.
var strangers = map[string]string{
	"zone.js":       `importScript("zone.js")`,
	"zone.js 0.11":  `importScript("zone-0.11.js")`,
	"Sentry":        `importScript("sentry.js")`,
	"New Relic":     `importScript("newrelic.js")`,
	"all three":     `importScript("zone.js"); importScript("sentry.js"); importScript("newrelic.js")`,
	"whatwg-fetch":  `importScript("fetch-polyfill.js")`,
	"own listeners": `for (const name of ["addEventListener", "removeEventListener"]) { const real = self[name]; self[name] = function () { return real.apply(this, arguments); }; }`,
	"own functions": `for (const name of ["fetch", "setTimeout", "clearTimeout", "queueMicrotask"]) { const real = self[name]; self[name] = function () { "use strict"; return real.apply(this, arguments); }; }`,
	"own classes": `for (const name of ["WebSocket", "AbortController", "MessageChannel"]) { const Real = self[name]; self[name] = function (...args) { return new Real(...args); }; self[name].prototype = Real.prototype; }
		if (navigator.permissions) { const real = navigator.permissions.query; navigator.permissions.query = function () { return real.apply(this, arguments); }; }`,
	"listeners that are refused": `self.addEventListener = function () { throw new Error("no listeners here"); }; self.removeEventListener = self.addEventListener;`,
	"listeners without an event": `const add = self.addEventListener; self.addEventListener = function (name, fn, how) { return add.call(self, name, () => fn(), how); };`,
	"listeners with any event":   `const add = self.addEventListener; self.addEventListener = function (name, fn, how) { return add.call(self, name, () => fn(null), how); };`,
	"own promises":               `const Real = Promise; self.Promise = class extends Real {};`,
	"gone":                       `for (const name of ["addEventListener", "removeEventListener"]) self[name] = undefined;`,
}

// wildPage has a stranger before the hub's script, or after a hub is connected.
const wildPage = `<!doctype html><title>wild</title><link rel="icon" href="data:,">
<script>
// Only for pages: a Worker has its own.
function importScript(name) {
	const request = new XMLHttpRequest();
	request.open("GET", "/wild/" + name, false);
	request.send();
	(0, eval)(request.responseText);
}
</script>
<script>%s</script>
<script src="/kinopio-hub.global.js"></script>
<script>%s</script>`

// wildPlay is what a hub does there; meddle is called when it is connected. It returns what went wrong.
const wildPlay = `
async function play(server, meddle) {
	const wrong = [];
	const patience = (what, promise) => Promise.race([promise, new Promise((_, no) => setTimeout(() => no(new Error("too late: " + what)), 20000))]);
	const begin = () => {
		const hub = new KinopioHub({ servers: [server], reconnectTimeWait: 50, discovery: { enabled: true, manifestUrl: location.origin + "/.well-known/kinopio-leader.json", cacheTtlMs: 50, localSwitchTimeoutMs: 5000 } });
		hub.onError((error) => wrong.push(error.code + " " + error.message));
		return hub;
	};
	const tell = async (hub) => {
		const news = hub.wild.news;
		const arrived = new Promise((yes) => news.sub(yes));
		await news.sub(() => {});
		await news.pub("here");
		await patience("a message", arrived);
		const local = new Promise((yes) => {
			const look = (status) => status.state === "local" && yes();
			hub.onDiscovery(look);
			look(hub.discoveryStatus);
		});
		await patience("the leaf", local).catch((error) => { throw new Error(error.message + " " + JSON.stringify(hub.discoveryStatus)); });
	};
	try {
		const hub = begin();
		await hub.connected(20000);
		meddle();
		const later = begin();
		await tell(hub);
		dispatchEvent(new Event("online"));
		if (typeof document === "object") document.dispatchEvent(new Event("visibilitychange"));
		await tell(later);
		await hub.dispose();
		await later.dispose();
		if (KinopioHub.debugAlive().hubs !== 0) wrong.push("hubs are left");
	} catch (error) {
		wrong.push(String(error));
	}
	return wrong;
}`

func TestPatchedGlobalsDisturbNoHub(t *testing.T) {
	scripts := t.TempDir()
	npm := artefacts(t).npm
	if said, err := exec.Command(tool(t, "node", "nodejs"), filepath.Join(npm, "tools", "wild.mjs"), scripts).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s\nrun make npm/tools/node_modules/.package-lock.json first", err, said)
	}
	l := newLab(t)
	bridged := startRemote(t, func(o *server.Options) { o.LeafNode.Host, o.LeafNode.Port = "127.0.0.1", server.RANDOM_PORT })
	leaf := startLeaf(t, bridged)
	l.routes.set("/.well-known/kinopio-leader.json", manifestOf(time.Now().Add(time.Hour), leaf.websocket))
	files, err := os.ReadDir(scripts)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		path := filepath.Join(scripts, file.Name())
		l.routes.set("/wild/"+file.Name(), func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, path) })
	}
	for name, stranger := range strangers {
		if isShort(t) && name != "all three" && name != "own classes" {
			continue
		}
		for _, first := range []bool{true, false} {
			before, after := stranger, "null"
			if !first {
				before, after = "", stranger
			}
			call := fmt.Sprintf(`play(%q, () => { %s })`, bridged.websocket, strings.ReplaceAll(after, "importScript(", "meddler("))
			t.Run(fmt.Sprintf("page/%s/first %v", name, first), func(t *testing.T) {
				l.routes.set("/wild.html", func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Type", "text/html")
					fmt.Fprintf(w, wildPage, before, "const meddler = importScript;"+wildPlay)
				})
				b := l.in(t)
				b.goTo(l.page.URL + "/wild.html")
				if wrong := eval[[]string](b, call); len(wrong) > 0 {
					t.Errorf("%s", strings.Join(wrong, "\n"))
				}
			})
			t.Run(fmt.Sprintf("worker/%s/first %v", name, first), func(t *testing.T) {
				l.routes.set("/wild-worker.js", func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Type", "text/javascript")
					worker := strings.ReplaceAll(before, "importScript(", "meddler(")
					fmt.Fprintf(w, "const meddler = (name) => importScripts('/wild/' + name);\n{ %s }\nimportScripts('/kinopio-hub.global.js');\n%s\n%s.then((wrong) => postMessage(wrong));", worker, wildPlay, call)
				})
				b := l.in(t)
				b.goTo(l.page.URL + "/")
				if wrong := eval[[]string](b, `new Promise((yes) => {
					const worker = new Worker("/wild-worker.js");
					worker.onmessage = (event) => yes(event.data);
					worker.onerror = (event) => yes(["the Worker: " + event.message]);
				})`); len(wrong) > 0 {
					t.Errorf("%s", strings.Join(wrong, "\n"))
				}
			})
		}
	}
}
