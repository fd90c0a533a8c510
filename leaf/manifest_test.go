package leaf

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestManifestIsAsOnTheWire(t *testing.T) {
	c := config(t)
	c.NodeID = "node-1"
	c.BackboneServers = []string{"nats://user:secret@127.0.0.1:1"}
	l, _ := startLeaf(t, c)
	client := httpClient(t, l)
	res, err := client.Get(l.Status().DiscoveryURL)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(res.Body)
	res.Body.Close()
	for name, want := range map[string]string{
		"Content-Type": "application/json; charset=utf-8", "Access-Control-Allow-Origin": "*", "Access-Control-Expose-Headers": "Date", "Cache-Control": "no-store",
	} {
		if got := res.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}

	var m map[string]any
	if err := json.Unmarshal(body, &m); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	s := l.Status()
	for name, want := range map[string]any{
		"version": "1", "leaderEpoch": 0.0, "advertisedHostname": "127.0.0.1",
		"websocketUrl": s.WSSURL, "wssUrl": s.WSSURL, "discoveryUrl": s.DiscoveryURL,
		"bridgeState": "connecting", "backboneRttMs": nil, "nodeId": "node-1", "discoveryNamespace": "test",
		"isLeader": true, "candidateRole": "leader",
	} {
		if got, ok := m[name]; !ok || got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
	if got := fmt.Sprint(m["fallbackServers"]); got != "[nats://127.0.0.1:1]" {
		t.Errorf("fallbackServers: %s", got)
	}
	if !strings.HasPrefix(s.WSSURL, "wss://127.0.0.1:") || !strings.HasSuffix(s.DiscoveryURL, ManifestPath) {
		t.Errorf("URLs: %s %s", s.WSSURL, s.DiscoveryURL)
	}
	text, _ := m["expiresAt"].(string)
	if !regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`).MatchString(text) {
		t.Errorf("expiresAt: %q, want RFC 3339 UTC with milliseconds", text)
	}
	if expires, _ := time.Parse(time.RFC3339, text); time.Until(expires) > manifestLife || time.Until(expires) < manifestLife-3*time.Second {
		t.Errorf("expiresAt: %q, want about %v from now", text, manifestLife)
	}
}

func TestManifestWithoutBackboneHasAnEmptyList(t *testing.T) {
	l, _ := startLeaf(t, config(t))
	data, _ := json.Marshal(l.Manifest())
	if !strings.Contains(string(data), `"fallbackServers":[]`) {
		t.Errorf("%s", data)
	}
}

func TestManifestHandlerAnswersThreeMethods(t *testing.T) {
	h := ManifestHandler(func() *Manifest { return &Manifest{Version: "1"} })
	for method, want := range map[string]int{"GET": 200, "HEAD": 200, "OPTIONS": 204, "POST": 405, "PUT": 405, "DELETE": 405, "PATCH": 405, "TRACE": 405, "BREW": 405} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest(method, ManifestPath, nil))
		if w.Code != want {
			t.Errorf("%s: %d, want %d", method, w.Code, want)
		}
		if w.Header().Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("%s: no CORS", method)
		}
		if want == 405 && w.Header().Get("Allow") != "GET, HEAD, OPTIONS" {
			t.Errorf("%s: Allow %q", method, w.Header().Get("Allow"))
		}
	}
}

func TestManifestHandlerWithoutLeaderAnswers204(t *testing.T) {
	w := httptest.NewRecorder()
	ManifestHandler(func() *Manifest { return nil }).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if w.Code != 204 || w.Body.Len() > 0 {
		t.Errorf("%d %q", w.Code, w.Body)
	}
}

// What a server sees that stands open on a LAN. After each the manifest is still there.
func TestDiscoverySurvivesAnyRequest(t *testing.T) {
	l, _ := startLeaf(t, config(t))
	s, conf := l.Status(), trusting(t, l)
	client := httpClient(t, l)
	for _, request := range []string{
		"GET // HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /// HTTP/1.0\r\n\r\n",
		"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET * HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET http://other.example/.well-known/kinopio-leader.json HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET http:// HTTP/1.1\r\nHost: x\r\n\r\n",
		"CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /..%2f..%2fetc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET /?" + strings.Repeat("a", 100_000) + " HTTP/1.1\r\nHost: x\r\n\r\n",
		"GET / HTTP/9.9\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
		"\x00\x01\x02\r\n\r\n",
		"\r\n\r\n\r\n",
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
		strings.Repeat("X", 200_000),
	} {
		c, err := tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", at(s.Ports.Discovery), conf)
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(patience))
		io.WriteString(c, request)
		c.CloseWrite()
		io.Copy(io.Discard, bufio.NewReader(c))
		c.Close()

		res, err := client.Get(s.DiscoveryURL)
		if err != nil {
			t.Fatalf("after %.60q: %v", request, err)
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if res.StatusCode != 200 {
			t.Errorf("after %.60q: %s", request, res.Status)
		}
	}
}

func TestOtherPathsAreNotFound(t *testing.T) {
	l, _ := startLeaf(t, config(t))
	client := httpClient(t, l)
	for _, path := range []string{"/", "//", ManifestPath + "/", "/.well-known", "//.well-known/kinopio-leader.json"} {
		res, err := client.Get("https://" + at(l.Status().Ports.Discovery) + path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		res.Body.Close()
		if res.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s, want 404", path, res.Status)
		}
	}
}

// The bytes are a raw request, as they come from a socket.
func FuzzManifestHandler(f *testing.F) {
	h := ManifestHandler(func() *Manifest { return &Manifest{Version: "1", CandidateRole: "leader"} })
	for _, seed := range []string{"GET // HTTP/1.1\r\nHost: x\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
		"HEAD http://[::1]:1/x HTTP/1.1\r\nHost: x\r\n\r\n", "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		req, err := http.ReadRequest(bufio.NewReader(strings.NewReader(string(raw))))
		if err != nil {
			return
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, req)
		switch w.Code {
		case 200, 204, 405:
		default:
			t.Errorf("%q: %d", raw, w.Code)
		}
		if w.Code == 200 && req.Method != "HEAD" && !json.Valid(w.Body.Bytes()) {
			t.Errorf("%q: not JSON", raw)
		}
	})
}

// A page whose name was pointed at a leaf is of one origin with its manifest, so it names no origin.
func TestManifestIsAtNoHostThatAPageBrings(t *testing.T) {
	for host, ok := range map[string]bool{
		"127.0.0.1:8080": true, "[::1]:8080": true, "[fe80::1]": true, "localhost:8080": true, "studio.local": true, "STUDIO.local.:1": true, "app.example.com:444": true, "192.168.1.7": true,
		"evil.example.com": false, "127.0.0.1.evil.example.com:8080": false, "local": false, "": false, "app.example.com.evil.com": false, "xlocal": false,
	} {
		for origins, want := range map[string]int{"": http.StatusOK, "https://app.example.com": map[bool]int{true: http.StatusOK, false: http.StatusMisdirectedRequest}[ok]} {
			r := httptest.NewRequest(http.MethodGet, ManifestPath, nil)
			r.Host = host
			w := httptest.NewRecorder()
			ManifestHandler(func() *Manifest { return &Manifest{} }, slices.DeleteFunc([]string{origins}, func(o string) bool { return o == "" })...).ServeHTTP(w, r)
			if w.Code != want || want != http.StatusOK && strings.Contains(w.Body.String(), "wssUrl") {
				t.Errorf("host %q for %q: %d, want %d", host, origins, w.Code, want)
			}
		}
	}
}
