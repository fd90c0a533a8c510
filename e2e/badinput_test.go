package e2e

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// closedPort is an address of loopback where nothing listens.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// wants fails the test unless every part is in text.
func wants(t *testing.T, what, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%s: %q is missing in: %s", what, part, text)
		}
	}
	t.Logf("%s: %s", what, strings.TrimSpace(text))
}

func TestUnusableServersAreNamed(t *testing.T) {
	l := newLab(t)
	nowhere := closedPort(t)
	f := eval[failure](l.browser, fmt.Sprintf(`fails(open({ servers: ["ws://%s"], waitOnFirstConnect: false }).connected())`, nowhere))
	if f.Code != "CONNECT_FAILED" {
		t.Errorf("code %q, want CONNECT_FAILED", f.Code)
	}
	wants(t, "unreachable server", f.Message, nowhere)
	l.waitFor("the state is error", `seen[0].states.at(-1) === "error"`, `seen[0]`)

	for name, c := range map[string]struct{ options, want string }{
		"no URL":         {`{ servers: ["not a url"] }`, "not a url"},
		"another scheme": {`{ servers: ["http://127.0.0.1:1"] }`, "http://127.0.0.1:1"},
		"no server":      {`{ servers: [] }`, "servers"},
		"unknown option": {`{ servres: ["ws://127.0.0.1:1"] }`, "servers"},
		"wrong type":     {`{ servers: ["ws://127.0.0.1:1"], timeout: "soon" }`, "timeout"},
		"a bad manifest": {`{ servers: ["ws://127.0.0.1:1"], discovery: { enabled: true, manifestUrl: "ftp://x" } }`, "ftp://x"},
	} {
		f := eval[failure](l.browser, fmt.Sprintf(`fails(() => open(%s).connected())`, c.options))
		if f.Code != "INVALID_CONFIG" {
			t.Errorf("%s: code %q, want INVALID_CONFIG", name, f.Code)
		}
		wants(t, name, f.Message, c.want)
	}
}

// html serves a web page where something else is wanted.
func html(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html")
	fmt.Fprint(w, "<!doctype html><title>My app</title>")
}

func serveStatus(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// strictPage serves the lab with a Content-Security-Policy.
func strictPage(policy string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Security-Policy", policy)
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, labPage)
	}
}

func later() time.Time { return time.Now().Add(time.Hour) }

func TestMissingOrWrongModuleIsExplained(t *testing.T) {
	l := newLab(t)
	connect := fmt.Sprintf(`fails(async () => { const hub = open({ servers: [%q] }); await hub.connected(); await hub.dispose(); return "connected"; })`, l.remote.websocket)
	for _, c := range []struct {
		name  string
		route http.HandlerFunc
		want  []string
	}{
		{"missing", http.NotFound, []string{"/kinopio-hub.wasm", "404"}},
		{"a web page instead", html, []string{"/kinopio-hub.wasm", "text/html"}},
		{"damaged", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/wasm")
			_, _ = w.Write(wasm(t)[:5000])
		}, []string{"/kinopio-hub.wasm"}},
	} {
		l.routes.set("/kinopio-hub.wasm", c.route)
		l.goTo(l.page.URL + "/")
		f := eval[failure](l.browser, connect)
		if f.Code != "WASM_LOAD_FAILED" {
			t.Errorf("%s: code %q, want WASM_LOAD_FAILED", c.name, f.Code)
		}
		wants(t, c.name, f.Message, c.want...)
	}
	for _, mime := range []string{"application/octet-stream", "text/plain", ""} {
		l.routes.set("/kinopio-hub.wasm", func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = []string{mime}
			_, _ = w.Write(wasm(t))
		})
		l.goTo(l.page.URL + "/")
		if f := eval[failure](l.browser, connect); !strings.Contains(f.Message, `"connected"`) {
			t.Errorf("served as %q: %+v; it must work all the same", mime, f)
		}
	}
	t.Log("served as application/octet-stream, text/plain and without a type: works")
}

func TestDemoPageExplainsAMissingModule(t *testing.T) {
	d := startDemo(t)
	b := openBrowser(t, "")
	// What a wrong deployment does: the page is there, the module is not.
	broken := map[string]bool{}
	front := proxy(t, d.ready.Ready.Page, broken)
	for _, name := range []string{"kinopio-hub.wasm", "kinopio-hub.global.js"} {
		clear(broken)
		broken["/"+name] = true
		b.goTo(front)
		b.waitFor("the page says what is missing", `document.body.dataset.state === "broken"`, `document.body.innerText`)
		wants(t, "without "+name, eval[string](b, `document.getElementById("why").textContent`), name)
	}
}

// manifestOf serves a manifest that names a leaf.
func manifestOf(expires time.Time, leaf string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		fmt.Fprintf(w, `{"version":"1","expiresAt":%q,"leaderEpoch":1,"advertisedHostname":"127.0.0.1","websocketUrl":%q,"wssUrl":%q,
			"fallbackServers":[],"bridgeState":"connected","isLeader":true,"candidateRole":"leader"}`,
			expires.UTC().Format("2006-01-02T15:04:05.000Z"), leaf, leaf)
	}
}

func TestBadManifestLeavesTheSessionUp(t *testing.T) {
	// Something that takes connections and says nothing.
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer func() {
		silent.CloseClientConnections()
		silent.Close()
	}()
	dead, quiet := "ws://"+closedPort(t), strings.Replace(silent.URL, "http", "ws", 1)
	later := time.Now().Add(time.Hour)
	l := newLab(t)
	for _, c := range []struct {
		name  string
		route http.HandlerFunc
		want  string // in what the hub says
	}{
		{"a web page", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			fmt.Fprint(w, "<!doctype html>")
		}, "text/html"},
		{"half a document", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"version":`)
		}, "JSON"},
		{"expired", manifestOf(time.Now().Add(-time.Hour), dead), "expired"},
		{"a server error", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", 500) }, "500"},
		{"a dead leaf", manifestOf(later, dead), dead},
		{"a silent leaf", manifestOf(later, quiet), quiet},
	} {
		asked := make(chan struct{}, 64)
		l.routes.set("/.well-known/kinopio-leader.json", func(w http.ResponseWriter, r *http.Request) {
			c.route(w, r)
			asked <- struct{}{}
		})
		l.goTo(l.page.URL + "/")
		eval[bool](l.browser, fmt.Sprintf(`(async () => {
			window.lines = [];
			window.hub = open({ servers: [%q], debug: (line) => lines.push(line), discovery: { enabled: true, cacheTtlMs: 50, localSwitchTimeoutMs: 300 } });
			await hub.connected();
			window.beat = 0;
			await hub.lab.beat.sub(() => beat++);
			return true;
		})()`, l.remote.websocket))
		for range 2 { // it goes on looking, and goes on working
			select {
			case <-asked:
			case <-time.After(patience):
				t.Fatalf("%s: the manifest was not asked for", c.name)
			}
			eval[bool](l.browser, `hub.lab.beat.pub(1).then(() => true)`)
		}
		const what = `JSON.stringify([seen.at(-1), lines])`
		l.waitFor(c.name+" is explained", fmt.Sprintf(`%s.includes(%q)`, what, c.want), `[seen.at(-1), lines]`)
		l.waitFor("the remote session works", `beat >= 2`, `beat`)
		if states := eval[[]string](l.browser, `seen.at(-1).states`); states[len(states)-1] != "connected" || strings.Contains(strings.Join(states, " "), "disconnected") {
			t.Errorf("%s: the states of the session were %v", c.name, states)
		}
		made := eval[int](l.browser, `seen.at(-1).moves.filter((m) => !m.error).length`)
		if made != 1 {
			t.Errorf("%s: %d moves were made, want the first connection only", c.name, made)
		}
		t.Logf("%s: %s", c.name, eval[string](l.browser, fmt.Sprintf(`[...seen.at(-1).moves.map((m) => m.error), ...lines].find((line) => line.includes(%q)) ?? ""`, c.want)))
		eval[bool](l.browser, `hub.dispose().then(() => true)`)
	}
}

func TestCommandsSayWhatIsWrong(t *testing.T) {
	program := artefacts(t).program
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := fmt.Sprint(taken.Addr().(*net.TCPAddr).Port)
	for _, c := range []struct {
		name string
		args []string
		want []string
	}{
		{"leaf with its WebSocket port taken", []string{"leaf", "start", "--discovery-namespace", "e2e", "--lan-bind-address", "127.0.0.1", "--no-websocket-tls", "--websocket-port", port}, []string{"error:", port, "hint:"}},
		{"leaf with its manifest port taken", []string{"leaf", "start", "--discovery-namespace", "e2e", "--lan-bind-address", "127.0.0.1", "--no-websocket-tls", "--discovery-port", port}, []string{"error:", port, "hint:"}},
		{"leaf with its client port taken", []string{"leaf", "start", "--discovery-namespace", "e2e", "--lan-bind-address", "127.0.0.1", "--no-websocket-tls", "--client-port", port}, []string{"error:", port, "hint:"}},
		{"leaf with a backbone that is no URL", []string{"leaf", "start", "--discovery-namespace", "e2e", "--backbone-server", "http://x"}, []string{"error:", "http://x"}},
		{"demo with its port taken", []string{"demo", "--port", port}, []string{"error:", port, "hint:", "--port"}},
		{"demo without the module", []string{"demo", "--assets", t.TempDir()}, []string{"error:", "kinopio-hub.global.js", "hint:", "make build"}},
	} {
		p := run(t, []string{"KINOPIO_SKIP_CA_TRUST_INSTALL=1"}, program, c.args...)
		if code := p.exitCode(); code == 0 {
			t.Errorf("%s: exit code 0", c.name)
		}
		wants(t, c.name, p.complaints(), c.want...)
	}
}
