package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// visit opens a URL in a browser that has a home of its own, and returns when the browser
// has shown the page, or refused to.
type visit func(t *testing.T, home, url string)

func visitors(t *testing.T) map[string]visit {
	t.Helper()
	chromium := tool(t, "chromium", "chromium")
	all := map[string]visit{"Chromium": func(t *testing.T, home, url string) {
		browse(t, home, chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
			"--user-data-dir="+filepath.Join(home, "chromium"),
			"--host-resolver-rules=MAP *.example.com 127.0.0.1, MAP *.local 127.0.0.1", "--dump-dom", url)
	}}
	// Firefox is looked at where it is: not every system has its package.
	if firefox, err := exec.LookPath("firefox-esr"); err == nil {
		all["Firefox"] = func(t *testing.T, home, url string) {
			browse(t, home, firefox, "--headless", "--no-remote", "-P", "test", "--screenshot", filepath.Join(home, "shot.png"), url)
		}
	}
	return all
}

// visitTime is three times what a browser takes for a page that it accepts. Firefox takes no
// picture of a certificate's error page, and waits to be ended.
const visitTime = 12 * time.Second

// browse runs a browser to its end.
func browse(t *testing.T, home, program string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), visitTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = append(os.Environ(), homeOf(home)...)
	cmd.WaitDelay = time.Second
	_ = cmd.Run() // What it has shown is told by the page.
}

func homeOf(home string) []string {
	return []string{"HOME=" + home, "XDG_CONFIG_HOME=" + home + "/.config", "XDG_CACHE_HOME=" + home + "/.cache",
		"XDG_DATA_HOME=" + home + "/.local/share", "KINOPIO_LEAF_CACHE_DIR=" + home + "/cache", "KINOPIO_SKIP_CA_TRUST_INSTALL="}
}

// beacon is a server that pages tell what they could do. A page asks for the picture /hold,
// too, which keeps the browser from being done with the page before it has told.
type beacon struct {
	*httptest.Server
	told chan string
}

func newBeacon(t *testing.T) *beacon {
	b := &beacon{told: make(chan string, 16)}
	heard := make(chan struct{}, 16)
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/hold" {
			b.told <- r.URL.Path
			heard <- struct{}{}
			return
		}
		select {
		case <-heard:
		case <-time.After(patience / 2):
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(b.Close)
	return b
}

// shown says what pages have told since the last call. The browser has ended before.
func (b *beacon) shown() string {
	var all []string
	for {
		select {
		case path := <-b.told:
			all = append(all, path)
		default:
			return strings.Join(all, " ")
		}
	}
}

// A page that the leaf itself serves; it is shown when the browser accepts the leaf's
// https, and tells so when it could open the leaf's wss, too.
func trustPage(beacon string) string {
	return fmt.Sprintf(`<!doctype html><title>leaf</title><img src="%s/hold"><script>
		fetch("/.well-known/kinopio-leader.json").then((answer) => answer.json()).then(({ wssUrl }) => {
			new WebSocket(wssUrl).onmessage = () => { new Image().src = "%s/websocket"; };
		});
	</script>`, beacon, beacon)
}

// resolveHere makes Firefox find hosts on this machine.
func resolveHere(t *testing.T, home string, hosts ...string) {
	t.Helper()
	var profiles []string
	for _, dir := range []string{".mozilla/firefox/*.test", ".config/mozilla/firefox/*.test"} {
		found, _ := filepath.Glob(filepath.Join(home, dir))
		profiles = append(profiles, found...)
	}
	if len(profiles) != 1 {
		t.Fatalf("Firefox made the profiles %v, want one", profiles)
	}
	prefs := fmt.Sprintf("user_pref(\"network.dns.localDomains\", %q);\n", strings.Join(hosts, ","))
	if err := os.WriteFile(filepath.Join(profiles[0], "user.js"), []byte(prefs), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestBrowsersAcceptTheLeafWhileItsRootIsInstalled(t *testing.T) {
	program := artefacts(t).program
	for name, visit := range visitors(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			home := t.TempDir()
			env := homeOf(home)
			if name == "Firefox" {
				browse(t, home, tool(t, "firefox-esr", "firefox-esr"), "--headless", "--no-remote", "-CreateProfile", "test")
				resolveHere(t, home, "www.example.com", "studio.local")
			}
			b := newBeacon(t)
			page := t.TempDir()
			if err := os.WriteFile(filepath.Join(page, "index.html"), []byte(trustPage(b.URL)), 0o644); err != nil {
				t.Fatal(err)
			}
			call(t, env, program, "ca", "install", "--store", "user")
			leaf := run(t, append(env, "KINOPIO_SKIP_CA_TRUST_INSTALL=1"), program, "leaf", "start", "--discovery-namespace", "e2e",
				"--lan-bind-address", "127.0.0.1", "--serve", page, "--json-lines")
			s := awaitLeaf(t, leaf, "start", running)
			leaf.drain()
			origin := strings.TrimSuffix(s.DiscoveryURL, ".well-known/kinopio-leader.json")

			visit(t, home, origin)
			if got := b.shown(); got != "/websocket" {
				t.Errorf("installed: the page told %q, want that it opened the WebSocket", got)
			}
			public, private := thief(t, home, b.URL, "www.example.com"), thief(t, home, b.URL, "studio.local")
			visit(t, home, "https://www.example.com:"+public+"/")
			if got := b.shown(); got != "" {
				t.Error("a certificate for a public name, signed with the stolen key, was accepted")
			}
			visit(t, home, "https://studio.local:"+private+"/") // The same thief, where the root may sign.
			if got := b.shown(); got != "/stolen" {
				t.Errorf("the thief's server proves nothing: for studio.local it told %q", got)
			}
			call(t, env, program, "ca", "uninstall", "--store", "user")
			visit(t, home, origin)
			if got := b.shown(); got != "" {
				t.Error("uninstalled: the leaf was accepted")
			}
		})
	}
}

// thief serves a page for host, with a certificate that was signed with the root's stolen
// key, and returns the port.
func thief(t *testing.T, home, beacon, host string) string {
	t.Helper()
	file, err := os.ReadFile(filepath.Join(home, "cache", "kinopio-hub", "leaf-ca", "root-ca-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	keyBlock, rest := pem.Decode(file)
	rootBlock, _ := pem.Decode(rest)
	rootKey, err := x509.ParsePKCS8PrivateKey(keyBlock.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	root, err := x509.ParseCertificate(rootBlock.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		DNSNames: []string{host}, KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}, root, key.Public(), rootKey)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `<!doctype html><img src="%s/hold"><img src="%s/stolen">`, beacon, beacon)
	}))
	s.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der, root.Raw}, PrivateKey: key}}}
	s.Config.ErrorLog = log.New(io.Discard, "", 0) // It is refused.
	s.StartTLS()
	t.Cleanup(s.Close)
	return fmt.Sprint(s.Listener.Addr().(*net.TCPAddr).Port)
}
