package e2e

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// A hub is made wherever there are pages; what it lacks there it says.

// placeScript makes a hub with discovery, and posts what came of it to the page around, or keeps it.
const placeScript = `<script>
	var said = (async () => {
		try {
			const hub = new KinopioHub({ servers: [%q], discovery: { enabled: true }, reconnectTimeWait: 50, retryDelay: 50 });
			await hub.connected(3000);
			const got = new Promise((yes) => hub.place.news.sub(yes));
			await hub.place.news.pub("here");
			const text = await got + "; " + hub.discoveryStatus.detail;
			await hub.dispose();
			return text;
		} catch (e) { return e.code + " " + e.message; }
	})();
	if (parent !== self) said.then((text) => parent.postMessage(text, "*"));
</script>`

func TestHubsInFramesOfEveryKind(t *testing.T) {
	l := newLab(t)
	var open atomic.Bool // the server of the module has CORS
	l.routes.set("/kinopio-hub.wasm", func(w http.ResponseWriter, r *http.Request) {
		if open.Load() {
			w.Header().Set("Access-Control-Allow-Origin", "*")
		}
		w.Header().Set("Content-Type", "application/wasm")
		http.ServeFile(w, r, filepath.Join(artefacts(t).dist, "kinopio-hub.wasm"))
	})
	frame := fmt.Sprintf(`<!doctype html><script src="%s/kinopio-hub.global.js"></script>`+placeScript, l.page.URL, l.remote.websocket)
	l.routes.set("/frame.html", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, frame)
	})
	l.goTo(l.page.URL + "/")
	says := func(prepare string) string {
		return eval[string](l.browser, fmt.Sprintf(`new Promise((yes) => {
			onmessage = (event) => yes(event.data);
			const frame = document.createElement("iframe");
			%s;
			document.body.append(frame);
		})`, prepare))
	}
	const blob = `frame.src = URL.createObjectURL(new Blob([code], { type: "text/html" }))`
	code := fmt.Sprintf("const code = %q;", frame)
	for name, prepare := range map[string]string{
		"ordinary": `frame.src = "/frame.html"`,
		"blob":     code + blob,
		"srcdoc":   code + `frame.srcdoc = code`,
	} {
		if said := says(prepare); !strings.HasPrefix(said, "here; ") || strings.Contains(said, "local network") {
			t.Errorf("%s: %q: its own origin is no other network", name, said)
		}
	}
	sandbox := `frame.sandbox = "allow-scripts"; frame.src = "/frame.html"`
	wants(t, "sandboxed", says(sandbox), "WASM_LOAD_FAILED", "no origin of its own", "Access-Control-Allow-Origin", "allow-same-origin", "wasmModule")
	open.Store(true)
	wants(t, "sandboxed, with CORS", says(sandbox), "here; ") // the browser keeps the page's address, which is enough for discovery
}

func TestHubInAPageFromAFile(t *testing.T) {
	remote := startRemote(t)
	folder := t.TempDir()
	dist := artefacts(t).dist
	for _, name := range []string{"kinopio-hub.global.js", "kinopio-hub.wasm"} {
		data, err := os.ReadFile(filepath.Join(dist, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	page := fmt.Sprintf(`<!doctype html><script src="kinopio-hub.global.js"></script>`+placeScript, remote.websocket)
	if err := os.WriteFile(filepath.Join(folder, "index.html"), []byte(page), 0o600); err != nil {
		t.Fatal(err)
	}
	server := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", "*")
		_, _ = w.Write(wasm(t))
	})
	routes := &routes{}
	routes.set("/open.wasm", server)
	elsewhere := serveLab(t, routes, nil)
	b := openBrowser(t, "")
	b.goTo("file://" + filepath.Join(folder, "index.html"))
	wants(t, "a page from a file", eval[string](b, `said`), "WASM_LOAD_FAILED", "kinopio-hub.wasm", "serve the page by http", "wasmModule")
	said := eval[string](b, fmt.Sprintf(`(async () => {
		const bytes = await (await fetch(%q)).arrayBuffer();
		const hub = new KinopioHub({ servers: [%q], wasmModule: bytes, discovery: { enabled: true } });
		await hub.connected();
		const { state, detail } = hub.discoveryStatus;
		await hub.dispose();
		return state + " " + detail;
	})()`, elsewhere.URL+"/open.wasm", remote.websocket))
	wants(t, "with the module's bytes", said, "idle", "discovery.manifestUrl")
}
