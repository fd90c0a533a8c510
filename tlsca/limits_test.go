package tlsca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// stolen signs a certificate as somebody would who has the root's key.
func stolen(t *testing.T, ca *CA, change func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := newSerial()
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: "x"}, NotBefore: time.Now().Add(-time.Minute),
		NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature}
	change(template)
	der, err := x509.CreateCertificate(rand.Reader, template, ca.root, key.Public(), ca.key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestStolenKeyIsGoodForLocalServersOnly(t *testing.T) {
	ca := open(t, t.TempDir())
	pool := x509.NewCertPool()
	pool.AddCert(ca.Root())
	uri, err := url.Parse("spiffe://cluster.example/admin")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		usage   x509.ExtKeyUsage
		purpose string // As openssl calls it.
		change  func(*x509.Certificate)
		good    bool
	}{
		"a leaf":              {x509.ExtKeyUsageServerAuth, "sslserver", func(c *x509.Certificate) { c.DNSNames = []string{"leaf.local"} }, true},
		"a site":              {x509.ExtKeyUsageServerAuth, "sslserver", func(c *x509.Certificate) { c.DNSNames = []string{"bank.example.com"} }, false},
		"a public address":    {x509.ExtKeyUsageServerAuth, "sslserver", func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(8, 8, 8, 8)} }, false},
		"an e-mail address":   {x509.ExtKeyUsageEmailProtection, "smimesign", func(c *x509.Certificate) { c.EmailAddresses = []string{"boss@example.com"} }, false},
		"an e-mail to server": {x509.ExtKeyUsageServerAuth, "sslserver", func(c *x509.Certificate) { c.EmailAddresses = []string{"boss@example.com"} }, false},
		"a client":            {x509.ExtKeyUsageClientAuth, "sslclient", func(c *x509.Certificate) { c.DNSNames = []string{"leaf.local"} }, false},
		"a URI":               {x509.ExtKeyUsageServerAuth, "sslserver", func(c *x509.Certificate) { c.URIs = []*url.URL{uri} }, false},
		"code":                {x509.ExtKeyUsageCodeSigning, "codesign", func(c *x509.Certificate) {}, false},
	} {
		t.Run(name, func(t *testing.T) {
			cert := stolen(t, ca, func(template *x509.Certificate) {
				template.ExtKeyUsage = []x509.ExtKeyUsage{c.usage}
				c.change(template)
			})
			_, err := cert.Verify(x509.VerifyOptions{Roots: pool, KeyUsages: []x509.ExtKeyUsage{c.usage}})
			if (err == nil) != c.good {
				t.Errorf("crypto/x509: %v", err)
			}
			if runtime.GOOS != "linux" {
				return
			}
			file := filepath.Join(t.TempDir(), "cert.pem")
			if err := os.WriteFile(file, certPEM(cert.Raw), 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := exec.CommandContext(t.Context(), "openssl", "verify", "-x509_strict", "-CAfile", ca.RootFile(), "-purpose", c.purpose, file).CombinedOutput()
			if (err == nil) != c.good {
				t.Errorf("openssl: %v: %s", err, out)
			}
			if _, refused := errors.AsType[*exec.ExitError](err); err != nil && !refused {
				t.Errorf("openssl did not run: %v", err)
			}
		})
	}
}

// olderRoot writes a root into dir as it would have been made by others or at another time.
func olderRoot(t *testing.T, dir string, begin, end time.Time, change func(*x509.Certificate)) *x509.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := newSerial()
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: serial, Subject: pkix.Name{CommonName: "Kinopio leaf CA"}, NotBefore: begin, NotAfter: end,
		KeyUsage: x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
		PermittedDNSDomainsCritical: true, PermittedDNSDomains: []string{"local", "localhost", "studio.example.com"}, PermittedIPRanges: permittedIPs(),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}, PermittedEmailAddresses: []string{nowhere}, PermittedURIDomains: []string{nowhere}}
	change(template)
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, keyFileName), append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), certPEM(der)...), 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func TestRootThatCannotBeUsedIsReplacedAndTakenOut(t *testing.T) {
	now, same := time.Now(), func(*x509.Certificate) {}
	day := 24 * time.Hour
	for name, c := range map[string]struct {
		begin, end time.Time
		change     func(*x509.Certificate)
		replaced   bool
	}{
		"as they are made":                  {now.Add(-day), now.Add(100 * day), same, false},
		"for any use":                       {now.Add(-day), now.Add(100 * day), func(c *x509.Certificate) { c.ExtKeyUsage = nil }, true},
		"for e-mail":                        {now.Add(-day), now.Add(100 * day), func(c *x509.Certificate) { c.PermittedEmailAddresses = nil }, true},
		"for URIs":                          {now.Add(-day), now.Add(100 * day), func(c *x509.Certificate) { c.PermittedURIDomains = nil }, true},
		"made in 1970":                      {time.Unix(0, 0), time.Unix(0, 0).AddDate(10, 0, 0), same, true},
		"made in 2069":                      {time.Date(2069, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2079, 1, 1, 0, 0, 0, 0, time.UTC), same, true},
		"made by a clock a little too fast": {now.Add(20 * day), now.Add(100 * day), same, false},
		"at its end":                        {now.Add(-100 * day), now.Add(-day), same, true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			old := olderRoot(t, dir, c.begin, c.end, c.change)
			ca := open(t, dir)
			if got := ca.Fingerprint() != fingerprint(old.Raw); got != c.replaced {
				t.Fatalf("replaced: %v", got)
			}
			if cert, err := ca.Issue(Request{Hostname: "studio.example.com"}); err != nil { // The names in use stay.
				t.Error(err)
			} else if !cert.NotAfter.After(time.Now()) || cert.TLS.Leaf.NotBefore.Before(ca.Root().NotBefore) {
				t.Errorf("a certificate from %v to %v", cert.TLS.Leaf.NotBefore, cert.NotAfter)
			}
			if !c.replaced {
				return
			}
			data, err := os.ReadFile(filepath.Join(dir, previousFileName))
			if err != nil || strings.Contains(string(data), "PRIVATE") {
				t.Errorf("what is kept of the old root: %v", err)
			}
			a, b := &rootsStore{name: "a", has: map[string]bool{fingerprint(old.Raw): true}}, &rootsStore{name: "b", has: map[string]bool{}}
			o := TrustOptions{Stores: []Store{a, b}}
			if got := ca.InstallTrust(t.Context(), o); got.State != TrustInstalled {
				t.Fatalf("%+v", got)
			}
			for _, s := range []*rootsStore{a, b} {
				if len(s.has) != 1 || !s.has[ca.Fingerprint()] {
					t.Errorf("store %s has %v", s.name, s.has)
				}
			}
			if left := open(t, dir).Previous(); len(left) != 0 {
				t.Errorf("%d old roots are remembered although no store has one", len(left))
			}
		})
	}
}

func TestUninstallFindsReplacedRootsAndWhatAPersonWantedStays(t *testing.T) {
	dir := t.TempDir()
	end := time.Now().Add(time.Hour)
	old := olderRoot(t, dir, end.Add(-48*time.Hour), end, func(c *x509.Certificate) { c.ExtKeyUsage = nil })
	store := &rootsStore{name: "a", has: map[string]bool{fingerprint(old.Raw): true}}
	o := TrustOptions{Stores: []Store{store}}
	if got := open(t, dir).RemoveTrust(t.Context(), o); got.State != TrustSkipped || len(store.has) != 0 {
		t.Errorf("%+v, and the store has %v", got, store.has)
	}
	// Another replacement: it was taken out, and stays out.
	olderRoot(t, dir, end.Add(-48*time.Hour), end, func(c *x509.Certificate) { c.ExtKeyUsage = nil })
	ca, err := load(dir, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ca.remember(ca.recall(), trustMemory{Fingerprint: ca.Fingerprint(), Removed: true}, slog.New(slog.DiscardHandler))
	o.Automatic = true
	if got := open(t, dir).InstallTrust(t.Context(), o); got.State != TrustSkipped || len(store.has) != 0 {
		t.Errorf("after «ca uninstall» a new root was installed: %+v", got)
	}
}

func TestNoRootIsMadeByAClockThatIsWrong(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) { // The bubble's clock begins at 2000.
		if _, err := Open(dir, Options{}); !errors.Is(err, ErrClock) || !strings.Contains(err.Error(), "2000-01-01") {
			t.Errorf("%v", err)
		}
		if _, err := os.Stat(filepath.Join(dir, keyFileName)); err == nil {
			t.Error("a root was made")
		}
		// One that is there is not given up for it.
		old := olderRoot(t, dir, earliest(), earliest().AddDate(10, 0, 0), func(*x509.Certificate) {})
		ca := open(t, dir)
		if ca.Fingerprint() != fingerprint(old.Raw) {
			t.Error("the root was replaced")
		}
		if cert, err := ca.Issue(Request{}); err != nil || cert.TLS.Leaf.NotBefore.Before(old.NotBefore) {
			t.Errorf("%v", err)
		}
	})
}

func TestProgramsWithMoreRightsAreTheSystems(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere nothing is run by sudo")
	}
	mine := t.TempDir()
	for _, name := range []string{"rm", "sudo", "install"} {
		if err := os.WriteFile(filepath.Join(mine, name), []byte("#!/bin/sh\nexit 0\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", mine+":"+os.Getenv("PATH"))
	for _, name := range []string{"rm", "install"} {
		if path, err := (system{}).Find(name); err != nil || strings.HasPrefix(path, mine) {
			t.Errorf("%s is %s, %v", name, path, err)
		}
	}
	no := false
	m := Machine{Elevate: true, Prompt: true, admin: &no}.normalize()
	if c, err := m.asAdmin(Command{Path: filepath.Join(mine, "rm")}); !errors.Is(err, ErrNeedsRights) {
		t.Errorf("%v is run with more rights: %v", c, err)
	}
}
