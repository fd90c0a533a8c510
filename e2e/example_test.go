package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

func TestGoProgramInAPageNeedsOnlyGosOwnGlue(t *testing.T) {
	page := serveExample(t)
	remote := startRemote(t)
	peer := newNativePeer(t, remote.client)
	b := openBrowser(t, "")
	b.goTo(page.URL + "/?server=" + url.QueryEscape(remote.websocket))
	text := func(id string) string { return fmt.Sprintf(`document.getElementById(%q).textContent`, id) }
	b.waitFor("it serves", text("state")+` === "connected" && `+text("service")+` !== ""`, text("state"))

	answer, err := peer.request("room.greet", []byte("peer"))
	if err != nil || string(answer.Data) != "hello peer, this is Go in a web page" {
		t.Errorf("the page answers %q, %v", answer.Data, err)
	}
	if err := peer.publish("room.clicks", []byte("41")); err != nil {
		t.Fatal(err)
	}
	b.waitFor("it shows what others publish", text("clicks")+` === "41"`, text("clicks"))
	if err := peer.subscribe("room.clicks"); err != nil {
		t.Fatal(err)
	}
	b.click("#click")
	if m := next(t, peer); string(m.Data) != "42" {
		t.Errorf("a click publishes %q, want 42", m.Data)
	}
	b.waitFor("it shows its own value", text("clicks")+` === "42"`, text("clicks"))
}

// serveExample compiles examples/go-wasm and serves it with the glue of the Go that compiled it.
func serveExample(t *testing.T) *httptest.Server {
	t.Helper()
	program := filepath.Join(t.TempDir(), "main.wasm")
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", program, "../examples/go-wasm")
	build.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the example: %v\n%s", err, out)
	}
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{
		"/":             "../examples/go-wasm/index.html",
		"/main.wasm":    program,
		"/wasm_exec.js": filepath.Join(strings.TrimSpace(string(root)), "lib", "wasm", "wasm_exec.js"),
	}
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		file, ok := files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		if strings.HasSuffix(file, ".wasm") {
			w.Header().Set("Content-Type", "application/wasm")
		}
		http.ServeFile(w, r, file)
	}))
	t.Cleanup(page.Close)
	return page
}
