package e2e

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	conformance "github.com/kinopio-hub/kinopio-hub/v3/conformance/lab"
)

// suitePage plays a scenario of the conformance suite with the built package. It gives "" or
// what did not hold.
const suitePage = `<!doctype html><title>conformance</title><link rel="icon" href="data:,">
<script type="module">
import { KinopioHub } from "/dist/index.mjs";
import { play, playSelfCheck } from "/conformance/js/run.mjs";
const read = async (name) => (await fetch("/conformance/" + name)).json();
const platform = { KinopioHub, lab: %q, scheme: "ws", vectors: await read("vectors.json") };
window.playScenario = async (file, index) => {
	const scenario = (await read(file)).scenarios[index];
	try {
		await (file === "selfcheck.json" ? playSelfCheck : play)(platform, scenario);
		return "";
	} catch (error) {
		return String(error.message);
	}
};
</script>`

func TestConformanceOfThePage(t *testing.T) {
	labURL, stop, err := conformance.Serve()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	page := serveSuite(t, labURL)
	b := openBrowser(t, "")
	b.goTo(page.URL + "/")
	b.waitFor("the page has loaded the suite", `typeof playScenario === "function"`, `document.title`)

	topics, err := filepath.Glob("../conformance/scenarios/*.json")
	if err != nil || len(topics) == 0 {
		t.Fatalf("there are no scenarios: %v", err)
	}
	for _, topic := range append(topics, "../conformance/selfcheck.json") {
		file := strings.TrimPrefix(filepath.ToSlash(topic), "../conformance/")
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			b := b.in(t)
			for i, scenario := range scenariosOf(t, topic) {
				if scenario.Only == "go" {
					continue
				}
				t.Run(scenario.Name, func(t *testing.T) {
					if failure := eval[string](b.in(t), fmt.Sprintf("playScenario(%q, %d)", file, i)); failure != "" {
						t.Error(failure)
					}
				})
			}
		})
	}
}

type suiteScenario struct{ Name, Only string }

func scenariosOf(t *testing.T, path string) []suiteScenario {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Scenarios []suiteScenario }
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return file.Scenarios
}

// serveSuite serves the page, the package and the suite.
func serveSuite(t *testing.T, labURL string) *httptest.Server {
	t.Helper()
	types := map[string]string{".mjs": "text/javascript; charset=utf-8", ".wasm": "application/wasm", ".json": "application/json"}
	files := func(folder string) http.Handler {
		serve := http.FileServer(http.Dir(folder))
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if kind := types[filepath.Ext(r.URL.Path)]; kind != "" {
				w.Header().Set("Content-Type", kind)
			}
			serve.ServeHTTP(w, r)
		})
	}
	mux := http.NewServeMux()
	mux.Handle("GET /dist/", http.StripPrefix("/dist", files(artefacts(t).dist)))
	mux.Handle("GET /conformance/", http.StripPrefix("/conformance", files("../conformance")))
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, suitePage, labURL)
	})
	page := httptest.NewServer(mux)
	t.Cleanup(page.Close)
	return page
}
