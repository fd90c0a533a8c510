//go:build unix

package leaf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/kinopio-hub/kinopio-hub/v3/tlsca"
)

// What is no file is not served, and nobody waits for it.
func TestPipesInTheWebAppAreNotOpened(t *testing.T) {
	dir := t.TempDir()
	for name, make := range map[string]func(string) error{
		"pipe": func(path string) error { return syscall.Mkfifo(path, 0o600) },
		"link": func(path string) error { return os.Symlink("pipe", path) },
		"sub":  func(path string) error { return os.Mkdir(path, 0o700) },
		"socket": func(path string) error {
			ln, err := net.Listen("unix", path)
			if err == nil {
				t.Cleanup(func() { ln.Close() })
			}
			return err
		},
	} {
		if err := make(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "sub", "index.html"), 0o600); err != nil {
		t.Fatal(err)
	}
	// Nor is there a list of files where the index cannot be shown.
	if err := errors.Join(os.Mkdir(filepath.Join(dir, "dot"), 0o700), os.WriteFile(filepath.Join(dir, "dot", ".env"), []byte("SECRET=1"), 0o600),
		os.Symlink(".env", filepath.Join(dir, "dot", "index.html"))); err != nil {
		t.Fatal(err)
	}
	c := config(t)
	c.ServeDir = dir
	l, _ := startLeaf(t, c)
	client := httpClient(t, l)
	client.Timeout = patience
	origin := strings.TrimSuffix(l.Status().DiscoveryURL, ManifestPath)
	for _, path := range []string{"/pipe", "/link", "/socket", "/sub/", "/sub/index.html", "/dot/", "/dot/index.html"} {
		res, err := client.Get(origin + path)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusNotFound && res.StatusCode != http.StatusMovedPermanently {
			t.Errorf("%s: %s", path, res.Status)
		}
	}
}

// With allowed origins, a page whose name was pointed here is of none of them: it gets no file either.
func TestWebAppIsAtNoHostThatAPageBrings(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "index.html"), []byte("<h1>app"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := config(t)
	c.ServeDir, c.AllowedOrigins = dir, []string{"https://app.example.com"}
	l, _ := startLeaf(t, c)
	origin := strings.TrimSuffix(l.Status().DiscoveryURL, ManifestPath)
	for host, want := range map[string]int{"": 200, "localhost": 200, "app.example.com": 200, "evil.example": http.StatusMisdirectedRequest, "evil.example:80": http.StatusMisdirectedRequest} {
		req, err := http.NewRequest("GET", origin+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		if host != "" {
			req.Host = host
		}
		res, err := httpClient(t, l).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%s: %s, want %d", host, res.Status, want)
		}
	}
}

// Files in the cache that are none keep no leaf from starting.
func TestPipesInTheCacheStopNoLeaf(t *testing.T) {
	c := config(t)
	first, err := Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	root := first.Status().TLS.CACertFile
	first.Stop(t.Context())
	if err := errors.Join(os.Remove(root), syscall.Mkfifo(root, 0o600), syscall.Mkfifo(filepath.Join(filepath.Dir(root), "trust.json"), 0o600)); err != nil {
		t.Fatal(err)
	}
	started := make(chan error, 1)
	go func() {
		l, err := Start(t.Context(), c)
		if err == nil {
			l.cert.ca.CheckTrust(t.Context(), tlsca.TrustOptions{Kinds: []string{"none"}})
			l.Stop(t.Context())
		}
		started <- err
	}()
	select {
	case err := <-started:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(patience):
		t.Fatal("a pipe is waited for")
	}
	if info, err := os.Lstat(root); err != nil || !info.Mode().IsRegular() {
		t.Errorf("the public copy of the root is %v, %v", info, err)
	}
}

// PEM files, too, come from editors and shells of Windows.
func TestCertificatesAreReadAsEditorsOfWindowsWriteThem(t *testing.T) {
	ca, err := tlsca.Open(tlsca.Dir(t.TempDir()), tlsca.Options{})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	files := TLSFiles{CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem")}
	provide(t, ca, files)
	pem := map[string]string{}
	for _, name := range []string{files.CertFile, files.KeyFile, ca.RootFile()} {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		pem[filepath.Base(name)] = string(data)
	}
	creds := newRealm(t).creds
	data, err := os.ReadFile(creds)
	if err != nil {
		t.Fatal(err)
	}
	for name, write := range map[string]func(string) []byte{
		"a mark": func(s string) []byte { return []byte("\ufeff" + s) },
		"UTF-16": func(s string) (b []byte) {
			for _, unit := range utf16.Encode([]rune("\ufeff" + s)) {
				b = binary.LittleEndian.AppendUint16(b, unit)
			}
			return b
		},
	} {
		t.Run(name, func(t *testing.T) {
			for file, path := range map[string]string{"cert.pem": files.CertFile, "key.pem": files.KeyFile, filepath.Base(ca.RootFile()): filepath.Join(dir, "root.pem")} {
				if err := os.WriteFile(path, write(pem[file]), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			c := config(t)
			c.TLS, c.LANBindAddress = files, "127.0.0.1"
			c.BackboneServers, c.Backbone.CAFile = []string{"tls://127.0.0.1:1"}, filepath.Join(dir, "root.pem")
			c.Backbone.CertFile, c.Backbone.KeyFile = files.CertFile, files.KeyFile
			if err := c.Check(); err != nil {
				t.Error(err)
			}
			if err := os.WriteFile(creds, write(string(data)), 0o600); err != nil {
				t.Fatal(err)
			}
			// nats-server reads them again by itself: what it cannot read is refused now.
			err := checkCredentials(creds)
			if utf16 := name == "UTF-16"; utf16 != (err != nil) || utf16 && !strings.Contains(err.Error(), "UTF-16") {
				t.Errorf("credentials: %v", err)
			}
		})
	}
}

// What leaf start would find out when it listens, Check says before anybody elects this node.
func TestCheckFindsPortsAndAddressesThatCannotBeHad(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	port := taken.Addr().(*net.TCPAddr).Port
	for name, set := range map[string]func(*Config){
		"client": func(c *Config) { c.Ports.Client = port }, "websocket": func(c *Config) { c.Ports.WebSocket = port },
		"discovery": func(c *Config) { c.Ports.Discovery = port }, "monitor": func(c *Config) { c.Ports.Monitor = port },
	} {
		c := config(t)
		c.LANBindAddress = "127.0.0.1"
		set(&c)
		var listen *ListenError
		if err := c.Check(); !errors.As(err, &listen) || !errors.Is(err, ErrPortInUse) || listen.Role != name {
			t.Errorf("%s: %v", name, err)
		}
	}
	c := config(t)
	c.LANBindAddress = "10.255.77.1"
	if err := c.Check(); !errors.Is(err, ErrNotHere) {
		t.Errorf("an address of nobody's: %v", err)
	}
	// Nobody has asked for an address that was detected, and that the system is only about to give.
	c = config(t)
	c.LANBindAddress, c.Ports.Discovery = "", freePort(t)
	c.lookup = &lanLookup{detect: func() netip.Addr { return netip.MustParseAddr("10.255.77.1") }, present: func() []lanAddr { return nil }, next: nextLAN, every: time.Second}
	if err := c.Check(); err != nil {
		t.Errorf("an address that was detected: %v", err)
	}
	c = config(t)
	c.LANBindAddress = "127.0.0.1"
	if err := c.Check(); err != nil {
		t.Error(err)
	}
	c.Ports.WebSocket = freePort(t)
	if err := c.Check(); err != nil { // It gives back what it takes.
		t.Error(err)
	}
	if ln, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", c.Ports.WebSocket)); err != nil {
		t.Error(err)
	} else {
		ln.Close()
	}
}
