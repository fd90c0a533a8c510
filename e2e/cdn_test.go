package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
)

// A cdn serves the packed package from an origin of its own, the module compressed as it is packed.
type cdn struct {
	*httptest.Server
	closed     atomic.Bool  // sends no Access-Control-Allow-Origin
	compressed atomic.Int64 // how many modules went out compressed
}

func serveCDN(t *testing.T) *cdn {
	t.Helper()
	dist := packed(t).dist
	c := &cdn{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !c.closed.Load() {
			w.Header().Set("Access-Control-Allow-Origin", "*")
		}
		w.Header().Set("Cache-Control", "no-store") // each page asks anew
		file := filepath.Join(dist, filepath.Base(r.URL.Path))
		if filepath.Ext(file) != ".wasm" {
			http.ServeFile(w, r, file)
			return
		}
		w.Header().Set("Content-Type", "application/wasm")
		for _, way := range [][2]string{{"br", ".br"}, {"gzip", ".gz"}} {
			if strings.Contains(r.Header.Get("Accept-Encoding"), way[0]) {
				c.compressed.Add(1)
				file += way[1]
				w.Header().Set("Content-Encoding", way[0])
				break
			}
		}
		data, err := os.ReadFile(file)
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = w.Write(data) // a page that has gone does not want it
	}))
	t.Cleanup(c.Close)
	return c
}

// use is what every page and worker here does with the class, and what it says of it.
const use = `async function use(KinopioHub, options) {
	try {
		const hub = new KinopioHub({ servers: ["SERVER"], ...options });
		const answer = await hub.cdn.greet.req(location.pathname || "blob");
		await hub.dispose();
		return answer;
	} catch (e) { return e.code + " " + e.message; }
}
`

// pageScripts are the scripts of pages that have the package from a CDN, by the way they load it.
var pageScripts = map[string]string{
	"script": use + `said = use(KinopioHub);`,
	"script with the module checked, too": use + `said = use(KinopioHub, {
		wasmModule: WebAssembly.compileStreaming(fetch("CDN/kinopio-hub.wasm", { integrity: "SUM" })) });`,
	"module":           `import KinopioHub from "CDN/index.mjs"; ` + use + `said = use(KinopioHub);`,
	"worker":           `said = hear(new Worker("/worker.js"));`,
	"module worker":    `said = hear(new Worker("/worker.mjs", { type: "module" }));`,
	"worker of a blob": `fetch("/worker.js").then((r) => r.blob()).then((code) => said = hear(new Worker(URL.createObjectURL(code))));`,
}

const (
	hear = `var said;
function hear(worker) {
	return new Promise((yes) => {
		worker.onmessage = (e) => yes(e.data);
		worker.onerror = (e) => yes("worker: " + e.message);
	});
}
`
	worker       = use + `importScripts("CDN/kinopio-hub.global.js"); use(KinopioHub).then(postMessage);`
	moduleWorker = `import KinopioHub from "CDN/index.mjs"; ` + use + `use(KinopioHub).then(postMessage);`
)

// cdnPage is a page with a strict policy, on another origin than the package.
type cdnPage struct {
	*browser
	cdn    *cdn
	remote remote
}

// strict is the policy that docs/discovery.md asks for, and nothing more.
func (c cdnPage) strict() string {
	return fmt.Sprintf("default-src 'none'; script-src 'self' 'wasm-unsafe-eval' %[1]s; worker-src 'self' blob: %[1]s; connect-src 'self' %[1]s %[2]s; img-src data:",
		c.cdn.URL, c.remote.websocket)
}

// says opens a page that loads the package in one way, and returns what use says there.
func (c cdnPage) says(t *testing.T, way, policy, integrity string) string {
	t.Helper()
	sums := packed(t).integrity
	fill := strings.NewReplacer("CDN", c.cdn.URL, "SERVER", c.remote.websocket, "SUM", sums["kinopio-hub.wasm"])
	script, kind := "", "text/javascript"
	if strings.HasPrefix(way, "script") {
		script = fmt.Sprintf(`<script src="%s/kinopio-hub.global.js" integrity="%s" crossorigin="anonymous"></script>`, c.cdn.URL, integrity)
	}
	if way == "module" {
		kind = "module"
	}
	site := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", policy)
		w.Header().Set("Content-Type", "text/javascript")
		switch r.URL.Path {
		case "/":
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprintf(w, `<!doctype html><link rel="icon" href="data:,"><script src="/hear.js"></script>%s<script type="%s" src="/app.js"></script>`, script, kind)
		case "/hear.js":
			fmt.Fprint(w, hear)
		case "/app.js":
			fmt.Fprint(w, fill.Replace(pageScripts[way]))
		case "/worker.js":
			fmt.Fprint(w, fill.Replace(worker))
		case "/worker.mjs":
			fmt.Fprint(w, fill.Replace(moduleWorker))
		default:
			http.NotFound(w, r)
		}
	}))
	defer site.Close()
	b := c.browser.in(t)
	b.goTo(site.URL + "/")
	if strings.Contains(integrity, "wrong") {
		return eval[string](b, `typeof KinopioHub`)
	}
	b.waitFor("the page has begun", `window.said`, `"it has not"`)
	return eval[string](b, `said`)
}

func newCDNPage(t *testing.T) cdnPage {
	t.Helper()
	c := cdnPage{cdn: serveCDN(t), remote: startRemote(t), browser: openBrowser(t, "")}
	if err := newNativePeer(t, c.remote.client).serve("cdn.greet", rawMsg{Data: []byte("hello")}); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestPackageFromAnotherOriginWorksUnderAStrictPolicy(t *testing.T) {
	c := newCDNPage(t)
	sum := packed(t).integrity["kinopio-hub.global.js"]
	for way := range pageScripts {
		t.Run(way, func(t *testing.T) {
			if said := c.says(t, way, c.strict(), sum); said != "hello" {
				t.Errorf("it says %q, want hello", said)
			}
		})
	}
	if n := c.cdn.compressed.Load(); n < int64(len(pageScripts)) {
		t.Errorf("%d modules were sent compressed, want one a page", n)
	}
	// The value is of these bytes and no others.
	if said := c.says(t, "script", c.strict(), "sha384-wrong"+sum[len("sha384-wrong"):]); said != "undefined" {
		t.Errorf("a script that is not of its integrity value made a %s", said)
	}
}

func TestWhatAPolicyForbidsIsSaid(t *testing.T) {
	c := newCDNPage(t)
	sum := packed(t).integrity["kinopio-hub.global.js"]
	for _, way := range []string{"script", "worker", "module worker"} {
		said := c.says(t, way, strings.Replace(c.strict(), "'wasm-unsafe-eval'", "", 1), sum)
		wants(t, way+" without wasm-unsafe-eval", said, "WASM_LOAD_FAILED", c.cdn.URL+"/kinopio-hub.wasm", "Content-Security-Policy", "'wasm-unsafe-eval'")
		said = c.says(t, way, strings.Replace(c.strict(), "connect-src 'self' "+c.cdn.URL, "connect-src 'self'", 1), sum)
		wants(t, way+" without connect-src of the module", said, "WASM_LOAD_FAILED", c.cdn.URL+"/kinopio-hub.wasm", "Content-Security-Policy")
	}
	c.cdn.closed.Store(true)
	wants(t, "a CDN without CORS", c.says(t, "worker", c.strict(), sum), "WASM_LOAD_FAILED", c.cdn.URL+"/kinopio-hub.wasm", "CORS")
}
