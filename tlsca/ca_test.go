package tlsca

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

// otherProcess makes the test binary open a CA instead of running tests.
const otherProcess = "KINOPIO_TEST_OPEN_CA"

func TestMain(m *testing.M) {
	if dir := os.Getenv(otherProcess); dir != "" {
		ca, err := Open(dir, Options{})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Print(ca.Fingerprint())
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func open(t *testing.T, dir string, hostnames ...string) *CA {
	t.Helper()
	ca, err := Open(dir, Options{Hostnames: hostnames})
	if err != nil {
		t.Fatal(err)
	}
	return ca
}

func TestRootIsMadeOnceAndUsedAgain(t *testing.T) {
	dir := Dir(t.TempDir())
	first, second := open(t, dir), open(t, dir)
	if first.Fingerprint() != second.Fingerprint() {
		t.Error("a second Open made another root")
	}
	onDisk, err := os.ReadFile(first.RootFile())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(onDisk, first.RootPEM()) {
		t.Error("RootFile does not hold RootPEM")
	}
	if bytes.Contains(onDisk, []byte("PRIVATE")) {
		t.Error("RootFile holds the key")
	}
	if life := time.Until(first.NotAfter()); life < 3600*24*time.Hour || life > 3660*24*time.Hour {
		t.Errorf("the root lives for %v, want ten years", life)
	}
}

func TestRootIsConstrainedCritically(t *testing.T) {
	root := open(t, t.TempDir(), "studio.example").Root()
	if root.PublicKeyAlgorithm != x509.ECDSA || root.PublicKey.(*ecdsa.PublicKey).Curve != elliptic.P256() {
		t.Error("the root's key is not ECDSA P-256")
	}
	nameConstraints := []int{2, 5, 29, 30}
	for _, e := range root.Extensions {
		if e.Id.Equal(nameConstraints) && !e.Critical {
			t.Error("name constraints are not critical")
		}
	}
	for _, want := range []string{"local", "localhost", "studio.example"} {
		if !strings.Contains(" "+strings.Join(root.PermittedDNSDomains, " ")+" ", " "+want+" ") {
			t.Errorf("%s is not permitted: %v", want, root.PermittedDNSDomains)
		}
	}
	if len(root.PermittedIPRanges) != len(privateRanges) {
		t.Errorf("permitted ranges: %v", root.PermittedIPRanges)
	}
}

// A thief has the root's key and signs what Issue would refuse.
func TestStolenKeyCannotSignForTheInternet(t *testing.T) {
	ca := open(t, t.TempDir())
	for _, c := range []struct {
		name string
		ip   string
		want bool
	}{
		{name: "example.com"}, {name: "www.google.com"}, {name: "local.example.com"}, {name: "notlocal"},
		{ip: "8.8.8.8"}, {ip: "172.32.0.1"}, {ip: "2001:4860:4860::8888"},
		{name: "studio.local", want: true}, {name: "localhost", want: true},
		{ip: "10.1.2.3", want: true}, {ip: "172.16.0.1", want: true}, {ip: "192.168.1.7", want: true},
		{ip: "169.254.9.9", want: true}, {ip: "127.0.0.1", want: true}, {ip: "::1", want: true},
		{ip: "fd00::7", want: true}, {ip: "fe80::1", want: true},
	} {
		key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
		host := c.name
		if c.ip != "" {
			host = c.ip
			template.IPAddresses = []net.IP{net.ParseIP(c.ip)}
		} else {
			template.DNSNames = []string{c.name}
		}
		der, err := x509.CreateCertificate(rand.Reader, template, ca.Root(), key.Public(), ca.key)
		if err != nil {
			t.Fatal(err)
		}
		leaf, _ := x509.ParseCertificate(der)
		pool := x509.NewCertPool()
		pool.AddCert(ca.Root())
		verifyHost := host
		if strings.Contains(host, ":") {
			verifyHost = "[" + host + "]"
		}
		_, err = leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: verifyHost})
		if (err == nil) != c.want {
			t.Errorf("%s: verified = %v (%v), want %v", host, err == nil, err, c.want)
		}
	}
}

func TestIssuedCertificateServesItsNames(t *testing.T) {
	ca := open(t, t.TempDir(), "studio.example")
	cert, err := ca.Issue(Request{Hostname: "studio.example", IPs: []netip.Addr{
		netip.MustParseAddr("192.168.1.7"), netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("::ffff:192.168.1.7"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	leaf := cert.TLS.Leaf
	if got := fmt.Sprint(leaf.DNSNames, leaf.IPAddresses); got != "[studio.example localhost] [192.168.1.7 127.0.0.1]" {
		t.Errorf("SANs: %s", got)
	}
	if leaf.NotAfter.Sub(leaf.NotBefore) > 30*24*time.Hour || !cert.NotAfter.Equal(leaf.NotAfter) {
		t.Errorf("life: %v to %v", leaf.NotBefore, leaf.NotAfter)
	}
	if leaf.KeyUsage != x509.KeyUsageDigitalSignature || len(leaf.ExtKeyUsage) != 1 || leaf.ExtKeyUsage[0] != x509.ExtKeyUsageServerAuth {
		t.Errorf("usage: %v %v", leaf.KeyUsage, leaf.ExtKeyUsage)
	}
	if len(cert.TLS.Certificate) != 2 || len(cert.Fingerprint) != 64 || bytes.Count(cert.ChainPEM, []byte("BEGIN CERTIFICATE")) != 2 {
		t.Error("the chain is not certificate and root")
	}

	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca.RootPEM())
	for _, host := range []string{"studio.example", "localhost", "192.168.1.7", "127.0.0.1"} {
		client, server := net.Pipe()
		go tls.Server(server, &tls.Config{Certificates: []tls.Certificate{cert.TLS}}).Handshake()
		if err := tls.Client(client, &tls.Config{RootCAs: pool, ServerName: host}).Handshake(); err != nil {
			t.Errorf("%s: %v", host, err)
		}
		client.Close()
		server.Close()
	}
}

func TestAddressAsHostnameIsAnAddressSAN(t *testing.T) {
	cert, err := open(t, t.TempDir()).Issue(Request{Hostname: "10.0.0.9"})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(cert.TLS.Leaf.DNSNames, cert.TLS.Leaf.IPAddresses); got != "[localhost] [10.0.0.9]" {
		t.Errorf("SANs: %s", got)
	}
}

func TestNamesOutsideTheConstraintsAreRefusedClearly(t *testing.T) {
	ca := open(t, t.TempDir())
	for _, c := range []struct {
		r    Request
		want string
	}{
		{Request{Hostname: "shop.example.com"}, `hostname "shop.example.com"`},
		{Request{Hostname: "8.8.8.8"}, `address "8.8.8.8"`},
		{Request{IPs: []netip.Addr{netip.MustParseAddr("2001:db8::1")}}, `address "2001:db8::1"`},
	} {
		_, err := ca.Issue(c.r)
		if !errors.Is(err, ErrConstrained) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "use") {
			t.Errorf("%+v: %v", c.r, err)
		}
	}
	for _, bad := range []string{"a b", "-x.local", "x..local", "1.2.3.4.5", strings.Repeat("a", 64) + ".local"} {
		if _, err := ca.Issue(Request{Hostname: bad}); err == nil || !strings.Contains(err.Error(), "hostname") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := ca.Issue(Request{IPs: []netip.Addr{netip.IPv4Unspecified()}}); err == nil {
		t.Error("0.0.0.0 went into a certificate")
	}
}

func TestExistingRootThatDoesNotCoverANameSaysSo(t *testing.T) {
	dir := t.TempDir()
	open(t, dir)
	_, err := Open(dir, Options{Hostnames: []string{"studio.example"}})
	if !errors.Is(err, ErrConstrained) || !strings.Contains(err.Error(), "studio.example") || !strings.Contains(err.Error(), "remove") {
		t.Errorf("got %v", err)
	}
}

func TestSingleWordThatMayBeATopLevelDomainIsNotPermitted(t *testing.T) {
	for _, c := range []struct {
		machine string
		names   []string
		want    string
	}{
		{"dev", nil, "[local localhost]"},
		{"studio-7", nil, "[local localhost studio-7]"},
		{"ci3", []string{"Leaf.Example.", "leaf.example", "x.leaf.example"}, "[local localhost ci3 leaf.example]"},
		{"mac.local", []string{"10.0.0.1"}, "[local localhost]"},
		{"not a name", nil, "[local localhost]"},
		{"xn--p1ai", nil, "[local localhost]"},
	} {
		got, err := permittedDNS(c.machine, c.names)
		if err != nil || fmt.Sprint(got) != c.want {
			t.Errorf("%q %v: %v (%v), want %s", c.machine, c.names, got, err, c.want)
		}
	}
	if _, err := permittedDNS("", []string{"app"}); !errors.Is(err, ErrConstrained) || !strings.Contains(err.Error(), "app.local") {
		t.Errorf("app: %v", err)
	}
}

func TestFilesAreForTheOwnerAlone(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no mode bits")
	}
	dir := filepath.Join(t.TempDir(), "ca")
	open(t, dir)
	mode := func(path string) fs.FileMode {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Mode().Perm()
	}
	key := filepath.Join(dir, keyFileName)
	if mode(dir) != 0o700 || mode(key) != 0o600 {
		t.Errorf("modes: dir %v, key %v", mode(dir), mode(key))
	}
	os.Chmod(key, 0o644)
	os.Chmod(dir, 0o755)
	open(t, dir)
	if mode(dir) != 0o700 || mode(key) != 0o600 {
		t.Errorf("modes were not tightened: dir %v, key %v", mode(dir), mode(key))
	}
}

func TestConcurrentOpensGetOneRoot(t *testing.T) {
	dir := t.TempDir()
	var mu sync.Mutex
	roots := map[string]int{}
	var wg sync.WaitGroup
	note := func(fingerprint string) {
		mu.Lock()
		defer mu.Unlock()
		roots[fingerprint]++
	}
	for range 8 {
		wg.Go(func() {
			ca, err := Open(dir, Options{})
			if err != nil {
				t.Error(err)
				return
			}
			note(ca.Fingerprint())
		})
	}
	for range 3 {
		wg.Go(func() {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), otherProcess+"="+dir)
			out, err := cmd.Output()
			if err != nil {
				t.Errorf("other process: %v", err)
				return
			}
			note(string(out))
		})
	}
	wg.Wait()
	if len(roots) != 1 {
		t.Errorf("roots: %v, want one", roots)
	}
}

func TestDamagedFileIsAClearErrorAndStays(t *testing.T) {
	good := t.TempDir()
	open(t, good)
	whole, err := os.ReadFile(filepath.Join(good, keyFileName))
	if err != nil {
		t.Fatal(err)
	}
	keyBlock, certBlock := pem.Decode(whole)
	otherDir := t.TempDir()
	open(t, otherDir)
	other, _ := os.ReadFile(filepath.Join(otherDir, keyFileName))
	otherKey, _ := pem.Decode(other)

	for name, data := range map[string][]byte{
		"empty":             {},
		"not PEM":           []byte("hello\n"),
		"cut short":         whole[:len(whole)/2],
		"key only":          pem.EncodeToMemory(keyBlock),
		"certificate only":  certBlock,
		"another's key":     append(pem.EncodeToMemory(otherKey), certBlock...),
		"garbage in blocks": []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"),
		"too large":         bytes.Repeat([]byte("x"), maxPEMFile+1),
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, keyFileName)
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := Open(dir, Options{})
			if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), path) {
				t.Errorf("got %v", err)
			}
			if now, _ := os.ReadFile(path); !bytes.Equal(now, data) {
				t.Error("the damaged file was replaced")
			}
		})
	}
}

func TestUnconstrainedRootIsRefused(t *testing.T) {
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, _ := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	pkcs8, _ := x509.MarshalPKCS8PrivateKey(key)
	_, _, err := parseRoot(append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), certPEM(der)...))
	if err == nil || !strings.Contains(err.Error(), "whole internet") {
		t.Errorf("got %v", err)
	}
}

func TestPublicCopyIsWrittenAgain(t *testing.T) {
	dir := t.TempDir()
	ca := open(t, dir)
	os.Remove(ca.RootFile())
	open(t, dir)
	if data, err := os.ReadFile(ca.RootFile()); err != nil || !bytes.Equal(data, ca.RootPEM()) {
		t.Errorf("after removal: %v", err)
	}
}

func TestExpiryIsHonoured(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		ca := open(t, dir)
		time.Sleep(time.Until(ca.NotAfter()) - 24*time.Hour) // The bubble's clock: no time passes.
		cert, err := open(t, dir).Issue(Request{})
		if err != nil {
			t.Fatal(err)
		}
		if cert.NotAfter.After(ca.NotAfter()) {
			t.Error("a certificate outlives its root")
		}
		time.Sleep(48 * time.Hour)
		if _, err := Open(dir, Options{}); !errors.Is(err, ErrExpired) {
			t.Errorf("got %v, want ErrExpired", err)
		}
	})
}

func TestOpenSaysWhatIsWrongWithTheDirectory(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	os.WriteFile(file, nil, 0o600)
	for _, dir := range []string{"", file, filepath.Join(file, "below")} {
		if _, err := Open(dir, Options{}); err == nil || !strings.HasPrefix(err.Error(), "open CA") {
			t.Errorf("%q: %v", dir, err)
		}
	}
}

func FuzzRootFileNeverPanics(f *testing.F) {
	dir := f.TempDir()
	if _, err := Open(dir, Options{}); err != nil {
		f.Fatal(err)
	}
	good, _ := os.ReadFile(filepath.Join(dir, keyFileName))
	f.Add(good)
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		key, root, err := parseRoot(data)
		if err == nil && (key == nil || root == nil) {
			t.Error("no error and no root")
		}
	})
}
