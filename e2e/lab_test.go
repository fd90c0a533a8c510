package e2e

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// lab is an empty page that has loaded the built module, and a server to connect to. Tests
// make hubs in it as an application would.
type lab struct {
	*browser
	page   *httptest.Server
	routes *routes
	remote remote
}

// remote is an ordinary nats-server in the test's process.
type remote struct {
	server    *server.Server
	client    string // nats://
	websocket string // ws://
}

// startRemote starts a nats-server on free ports.
func startRemote(t *testing.T, change ...func(*server.Options)) remote {
	t.Helper()
	options := &server.Options{
		ServerName: fmt.Sprintf("%s-%d", t.Name(), time.Now().UnixNano()),
		Host:       "127.0.0.1", Port: server.RANDOM_PORT,
		Websocket: server.WebsocketOpts{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoTLS: true},
		NoLog:     true, NoSigs: true,
	}
	for _, f := range change {
		f(options)
	}
	s, err := server.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(patience) {
		t.Fatal("the nats-server did not start")
	}
	ports := s.PortsInfo(time.Second)
	return remote{s, ports.Nats[0], ports.WebSocket[0]}
}

const labPage = `<!doctype html><title>lab</title><link rel="icon" href="data:,">
<script>
// What is alive on this page besides the module: timers that will fire, listeners of the page's own.
var timers = new Set(), fired = 0, listeners = 0;
for (const [set, clear, once] of [["setTimeout", "clearTimeout", true], ["setInterval", "clearInterval", false]]) {
  const [start, stop] = [window[set], window[clear]];
  window[set] = (f, ...rest) => {
    const id = start(() => { fired++; if (once) timers.delete(id); f(); }, ...rest);
    timers.add(id);
    return id;
  };
  window[clear] = (id) => { timers.delete(id); stop(id); };
}
for (const target of [window, document]) {
  const [add, remove] = [target.addEventListener, target.removeEventListener];
  target.addEventListener = function (...args) { listeners++; return add.apply(target, args); };
  target.removeEventListener = function (...args) { listeners--; return remove.apply(target, args); };
}
</script>
<script src="/kinopio-hub.global.js"></script>
<script>
var hubs = [], seen = [];
// open makes a hub, and notes what it says in seen.
function open(options) {
  const hub = new KinopioHub(options);
  const said = { states: [], moves: [], errors: [], discovery: [] };
  hub.onStateChange((s) => said.states.push(s));
  hub.onMove((m) => said.moves.push({ ...m, error: m.error ? String(m.error.message ?? m.error) : "" }));
  hub.onDiscovery((d) => said.discovery.push(d.state));
  hub.onError((e) => said.errors.push({ code: e.code, message: e.message }));
  hubs.push(hub);
  seen.push(said);
  return hub;
}
// fails returns the code and message with which a promise is rejected or a function throws.
async function fails(what) {
  try {
    const value = await (typeof what === "function" ? what() : what);
    return { code: "", message: "it did not fail: " + JSON.stringify(value) };
  } catch (e) {
    return { code: String(e.code), message: String(e.message), name: e.name };
  }
}
</script>`

// routes replace or add to what the lab's server serves, by path.
type routes struct {
	mu sync.Mutex
	by map[string]http.HandlerFunc
}

func (r *routes) set(path string, serve http.HandlerFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.by == nil {
		r.by = map[string]http.HandlerFunc{}
	}
	r.by[path] = serve
}

func (r *routes) of(path string) http.HandlerFunc {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.by[path]
}

// newLab opens the lab with a fresh browser and server.
func newLab(t *testing.T) lab {
	t.Helper()
	l := lab{remote: startRemote(t), routes: &routes{}}
	l.page = serveLab(t, l.routes, nil)
	l.browser = openBrowser(t, "")
	l.goTo(l.page.URL + "/")
	return l
}

// serveLab serves the lab's page, over https if there is a certificate.
func serveLab(t *testing.T, routes *routes, certificate *tls.Config) *httptest.Server {
	t.Helper()
	dist := artefacts(t).dist
	page := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if route := routes.of(r.URL.Path); route != nil {
			route(w, r)
			return
		}
		switch r.URL.Path {
		case "/":
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			fmt.Fprint(w, labPage)
		case "/kinopio-hub.wasm":
			w.Header().Set("Content-Type", "application/wasm")
			http.ServeFile(w, r, filepath.Join(dist, "kinopio-hub.wasm"))
		case "/kinopio-hub.global.js":
			http.ServeFile(w, r, filepath.Join(dist, "kinopio-hub.global.js"))
		default:
			http.NotFound(w, r)
		}
	}))
	page.Config.ErrorLog = log.New(io.Discard, "", 0) // browsers drop connections without a word
	if page.TLS = certificate; certificate != nil {
		page.StartTLS()
	} else {
		page.Start()
	}
	t.Cleanup(func() {
		page.CloseClientConnections()
		page.Close()
	})
	return page
}

// wasm returns the built module.
func wasm(t *testing.T) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(artefacts(t).dist, "kinopio-hub.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// failure is an error as JavaScript saw it.
type failure struct{ Code, Message, Name string }
