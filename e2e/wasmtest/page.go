package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// script runs the test when the browser calls begin; printed awaits what it prints. Not every browser
// tells what is in its console.
const script = `
const decoder = new TextDecoder();
let rest = "", lines = [], end = null, wake = () => {};
function say(text) {
	lines.push(text);
	wake();
}
fs.writeSync = (fd, bytes) => {
	rest += decoder.decode(bytes, {stream: true});
	const at = rest.lastIndexOf("\n");
	if (at >= 0) {
		say(rest.slice(0, at));
		rest = rest.slice(at + 1);
	}
	return bytes.length;
};
addEventListener("error", (event) => say("uncaught in the page: " + (event.error?.stack ?? event.message)));
addEventListener("unhandledrejection", (event) => say("uncaught in the page: " + (event.reason?.stack ?? event.reason)));
for (const level of ["log", "info", "warn", "error", "debug"]) {
	const real = console[level];
	console[level] = (...words) => { say(words.map(String).join(" ")); real.apply(console, words); };
}
function begin() {
	(async () => {
		const go = new Go();
		let code = 0;
		go.exit = (c) => { code = c; };
		go.argv = %s;
		go.env = %s;
		const test = await WebAssembly.instantiateStreaming(fetch("test.wasm"), go.importObject);
		await go.run(test.instance);
		if (rest) say(rest);
		end = { ended: true, code };
	})().catch((error) => { end = { error: String(error) }; }).then(() => wake());
	return true;
}
async function printed() {
	if (!lines.length && !end) await new Promise((yes) => { wake = yes; });
	return { lines: lines.splice(0), ...end };
}
`

// servePage serves the test, Go's glue for it and the page that runs it, on a port of its own.
func servePage(args []string, env map[string]string) (url string, stop func(), err error) {
	root, err := goRoot()
	if err != nil {
		return "", nil, err
	}
	argv, err := json.Marshal(args)
	if err != nil {
		return "", nil, err
	}
	vars, err := json.Marshal(env)
	if err != nil {
		return "", nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprint(w, `<!doctype html><link rel="icon" href="data:,"><script src="wasm_exec.js"></script><script>`)
		fmt.Fprintf(w, script, argv, vars)
		fmt.Fprint(w, "</script>")
	})
	mux.HandleFunc("GET /wasm_exec.js", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, filepath.Join(root, "lib", "wasm", "wasm_exec.js"))
	})
	mux.HandleFunc("GET /test.wasm", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/wasm")
		http.ServeFile(w, r, args[0])
	})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	server := &http.Server{Handler: mux}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(l)
	}()
	stop = func() {
		_ = server.Close()
		<-served
	}
	return "http://" + l.Addr().String() + "/", stop, nil
}

// goRoot asks the go command, which has set GOROOT for what go test runs.
func goRoot() (string, error) {
	if root := os.Getenv("GOROOT"); root != "" {
		return root, nil
	}
	out, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOROOT: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}
