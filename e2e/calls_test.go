package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// callsBlock is a block of npm/test/calls.json: calls that people of 2.1.0 have learned from its
// documentation. npm/test/calls.test.mjs runs the same in Node.
type callsBlock struct {
	Name   string
	Hubs   []string // the hubs it makes
	Node   bool     // is of Node only
	Before string   // what it takes for granted
	Code   []string
	After  string
	Check  string // what is true in the end
}

func TestPageRunsTheCallsThatPeopleKnow(t *testing.T) {
	data, err := os.ReadFile("../npm/test/calls.json")
	if err != nil {
		t.Fatal(err)
	}
	var blocks []callsBlock
	if err := json.Unmarshal(data, &blocks); err != nil {
		t.Fatal(err)
	}
	page := serveFolder(t, artefacts(t).dist, nil)
	remote := startRemote(t)
	b := openBrowser(t, "")
	ran := 0
	for _, block := range blocks {
		if block.Node {
			continue
		}
		ran++
		t.Run(block.Name, func(t *testing.T) {
			b.goTo(page.URL + "/empty.html")
			b.waitFor("the script is there", `window.KinopioHub`, `""`)
			if said, err := tryEval[string](b, patience+patience, block.script(remote.websocket)); err != nil || said != "it holds" {
				t.Errorf("%q, %v", said, err)
			}
		})
	}
	if ran < 10 {
		t.Errorf("%d blocks were run: want the ones for pages", ran)
	}
}

// script is the block with a class in place of KinopioHub that is it, with other servers.
func (b callsBlock) script(server string) string {
	var code, end strings.Builder
	for _, line := range b.Code {
		if !strings.HasPrefix(line, "import ") {
			code.WriteString(line + "\n")
		}
	}
	for _, hub := range b.Hubs {
		fmt.Fprintf(&end, "await %s.dispose();\n", hub)
	}
	return fmt.Sprintf(`(async () => {
		const { KINOPIO_STATE_EVENT } = window.KinopioHub;
		class KinopioHub extends window.KinopioHub {
			constructor({ servers = [1], discovery, ...rest } = {}) {
				super({ ...rest, servers: servers.map(() => %q), discovery: discovery && { ...discovery, manifestUrl: location.origin + "/none.json" } });
			}
		}
		%s
		%s
		%s
		const end = Date.now() + 20000;
		while (!(%s)) {
			if (Date.now() > end) throw new Error("it never came true");
			await new Promise((next) => setTimeout(next, 10));
		}
		%s
		return "it holds";
	})()`, server, b.Before, code.String(), b.After, b.Check, end.String())
}

func TestExampleOfDiscoveryFollowsAVariableAndSaysHowTheSearchGoes(t *testing.T) {
	page := serveFolder(t, artefacts(t).dist, map[string]string{"/": "../examples/page/browser-discovery.html"})
	remote := startRemote(t)
	peer := newNativePeer(t, remote.client)
	b := openBrowser(t, "")
	b.goTo(page.URL + "/?server=" + url.QueryEscape(remote.websocket) + "&manifest=" + url.QueryEscape(page.URL+"/none.json"))
	text := func(id string) string { return fmt.Sprintf(`document.getElementById(%q).textContent`, id) }
	b.waitFor("it is connected", text("state")+` === "connected" && `+text("server")+` !== ""`, text("state"))
	b.waitFor("nobody leads", text("discovery")+`.includes("no-leader")`, text("discovery"))
	if _, err := tryEval[bool](b, patience, `hub.flush().then(() => true)`); err != nil {
		t.Fatal(err)
	}
	if err := peer.publish("robot.battery", []byte("87")); err != nil {
		t.Fatal(err)
	}
	b.waitFor("it shows what others publish", text("battery")+` === "87"`, text("battery"))
	b.click("#allow")
}

// serveFolder serves a folder, some files from elsewhere, and an empty page with the script.
func serveFolder(t *testing.T, folder string, elsewhere map[string]string) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if file, ok := elsewhere[r.URL.Path]; ok {
			http.ServeFile(w, r, file)
			return
		}
		if r.URL.Path == "/empty.html" {
			fmt.Fprint(w, `<!doctype html><link rel="icon" href="data:,"><script src="kinopio-hub.global.js"></script>`)
			return
		}
		http.ServeFile(w, r, filepath.Join(folder, filepath.Base(r.URL.Path)))
	}))
	t.Cleanup(s.Close)
	return s
}
