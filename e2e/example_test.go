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

// A Go program in a page comes to the leaf as the package does: by WebTransport, where nobody trusts the leaf's CA.
func TestGoProgramInAPageComesToTheLeafByWebTransport(t *testing.T) {
	g := newGuest(t)
	for name, file := range exampleFiles(t) {
		g.routes.set("/go"+name, func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, file) })
	}
	atLeaf := newNativePeer(t, g.status.ClientURL)
	g.goTo(g.origin + "/go/?leaf=1&server=" + url.QueryEscape(g.remote.websocket))
	text := func(id string) string { return fmt.Sprintf(`document.getElementById(%q).textContent`, id) }
	g.waitFor("on the leaf", text("leaf")+`.startsWith("leaf: local ") && `+text("leaf")+`.endsWith(" by WebTransport")`, "["+text("state")+", "+text("leaf")+"]")
	if answer, err := atLeaf.request("room.greet", []byte("leaf")); err != nil || string(answer.Data) != "hello leaf, this is Go in a web page" {
		t.Errorf("the page answers %q, %v", answer.Data, err)
	}
	g.leaf.end()
	g.waitFor("back on the server", text("state")+` === "connected" && !`+text("leaf")+`.includes("local")`, "["+text("state")+", "+text("leaf")+"]")
	atServer := newNativePeer(t, g.remote.client)
	if answer, err := atServer.request("room.greet", []byte("server")); err != nil || string(answer.Data) != "hello server, this is Go in a web page" {
		t.Errorf("the page answers %q, %v", answer.Data, err)
	}
	if noise := g.said("uncaught"); len(noise) > 0 {
		t.Errorf("the console says %q", noise)
	}
}

// serveExample serves examples/go-wasm.
func serveExample(t *testing.T) *httptest.Server {
	t.Helper()
	files := exampleFiles(t)
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		file, ok := files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		http.ServeFile(w, r, file)
	}))
	t.Cleanup(page.Close)
	return page
}

// exampleFiles are the files of examples/go-wasm by their paths, compiled, with the glue of the Go that compiled it.
func exampleFiles(t *testing.T) map[string]string {
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
	return map[string]string{
		"/":             "../examples/go-wasm/index.html",
		"/main.wasm":    program,
		"/wasm_exec.js": filepath.Join(strings.TrimSpace(string(root)), "lib", "wasm", "wasm_exec.js"),
	}
}
