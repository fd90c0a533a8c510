package leaf

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestServeDirServesAWebAppAndNothingElse(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "secret.txt")
	os.WriteFile(outside, []byte("outside"), 0o600)
	dir := t.TempDir()
	for name, text := range map[string]string{
		"index.html": "<h1>app</h1>", "app.wasm": "\x00asm", ".env": "SECRET=1", ".well-known/other.json": "{}",
		ManifestPath: "a file of this name", "bare/file.js": "1", ".git/config": "x",
	} {
		path := filepath.Join(dir, name)
		os.MkdirAll(filepath.Dir(path), 0o755)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if runtime.GOOS != "windows" { // Where making a link needs a right.
		if err := os.Symlink(outside, filepath.Join(dir, "link.txt")); err != nil {
			t.Fatal(err)
		}
		for name, to := range map[string]string{"dot.txt": ".env", "dots": ".git", "shown.js": "bare/file.js", "loop": "loop", "wellknown": ".well-known"} {
			if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	c := config(t)
	c.ServeDir = dir
	l, _ := startLeaf(t, c)
	client := httpClient(t, l)
	origin := strings.TrimSuffix(l.Status().DiscoveryURL, ManifestPath)
	for path, want := range map[string]struct {
		status int
		holds  string
	}{
		"/":                       {200, "<h1>app"},
		"/app.wasm":               {200, "\x00asm"},
		"/.well-known/other.json": {200, "{}"},
		ManifestPath:              {200, `"version":"1"`}, // Never a file.
		"/bare/file.js":           {200, "1"},
		"/bare/":                  {404, ""}, // No list of files.
		"/.env":                   {404, ""},
		"/.git/config":            {404, ""},
		"/link.txt":               {404, ""}, // It leads out.
		"/dot.txt":                {404, ""}, // What has no way in has none by a link.
		"/dots/config":            {404, ""},
		"/loop":                   {404, ""},
		"/shown.js":               {200, "1"},
		"/wellknown/other.json":   {200, "{}"},
		"/none":                   {404, ""},
		"/..%2f..%2fetc/passwd":   {404, ""},
		"//":                      {200, "<h1>app"},
	} {
		res, err := client.Get(origin + path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != want.status || !strings.Contains(string(body), want.holds) || strings.Contains(string(body), "outside") {
			t.Errorf("%s: %s %.80q, want %d", path, res.Status, body, want.status)
		}
		if path == "/app.wasm" && res.Header.Get("Content-Type") != "application/wasm" {
			t.Errorf("%s: Content-Type %q", path, res.Header.Get("Content-Type"))
		}
	}
	res, err := client.Post(origin+"/", "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode < 400 {
		t.Errorf("POST: %s", res.Status)
	}
}

func TestOnlyAllowedOriginsMayReadTheManifest(t *testing.T) {
	c := config(t)
	c.AllowedOrigins = []string{"https://App.example.com:443/", "http://dev.example.com:3000"}
	l, _ := startLeaf(t, c)
	own := strings.TrimSuffix(l.Status().DiscoveryURL, ManifestPath)
	for origin, allowed := range map[string]bool{
		"https://app.example.com": true, "http://dev.example.com:3000": true, own: true,
		"https://evil.example": false, "http://app.example.com": false, "https://app.example.com.evil.example": false, "null": false, "": false,
	} {
		req, _ := http.NewRequest("GET", l.Status().DiscoveryURL, nil)
		if origin != "" {
			req.Header.Set("Origin", origin)
		}
		res, err := httpClient(t, l).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		got := res.Header.Get("Access-Control-Allow-Origin")
		if (allowed && got != origin) || (!allowed && got != "") {
			t.Errorf("%q: Access-Control-Allow-Origin %q, allowed: %v", origin, got, allowed)
		}
		if res.Header.Get("Vary") != "Origin" {
			t.Errorf("%q: Vary %q", origin, res.Header.Get("Vary"))
		}
	}
}

// The bytes are a raw request, as they come from a socket.
func FuzzWebAppServesItsFolderAlone(f *testing.F) {
	const secret = "n0t-t0-be-served"
	dir := f.TempDir()
	for name, text := range map[string]string{"secret.txt": secret, "app/index.html": "<h1>app", "app/.env": secret, "app/sub/.git/config": secret, "app/sub/file.js": "1"} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		os.MkdirAll(filepath.Dir(path), 0o755)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			f.Fatal(err)
		}
	}
	if runtime.GOOS != "windows" { // Where making a link needs a right.
		if err := os.Symlink(filepath.Join(dir, "secret.txt"), filepath.Join(dir, "app", "link")); err != nil {
			f.Fatal(err)
		}
	}
	h, err := newWebHandler(&settings{Config: Config{ServeDir: filepath.Join(dir, "app")}},
		func() *Manifest { return &Manifest{Version: "1"} }, func() []string { return []string{"https://app.example.com"} })
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(h.close)
	for _, target := range []string{"//", "/", "*", "/..%2fsecret.txt", "/../secret.txt", "/.env", "/sub/../.env", "/sub/%2egit/config", "/link", "/link/", `/..\secret.txt`,
		"/index.html", "/sub", "http://x/../secret.txt", "/%00", ManifestPath, "/./.env", "/sub//.git/config", "/.well-known/../.env"} {
		f.Add([]byte("GET " + target + " HTTP/1.1\r\nHost: x\r\n\r\n"))
	}
	f.Add([]byte("GET /.env HTTP/1.1\r\nHost: x\r\nRange: bytes=0-\r\nIf-None-Match: *\r\nOrigin: null\r\n\r\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		req, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
		if err != nil {
			return
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		if strings.Contains(w.Body.String(), secret) {
			t.Errorf("%q is answered with %q", raw, w.Body)
		}
		if to := w.Header().Get("Location"); strings.HasPrefix(to, "//") || strings.Contains(to, ":") {
			t.Errorf("%q is sent on to %q", raw, to)
		}
	})
}
