package tlsca

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// provide writes a certificate for host as a caller would have it.
func provide(t *testing.T, dir, name, host string) (certFile, keyFile string) {
	t.Helper()
	cert, err := open(t, dir, host).Issue(Request{Hostname: host})
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(cert.TLS.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")
	os.WriteFile(certFile, cert.ChainPEM, 0o600)
	os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600)
	return certFile, keyFile
}

func TestProvidedCertificateMustFit(t *testing.T) {
	dir := t.TempDir()
	cert, key := provide(t, dir, "a", "a.local")
	_, otherKey := provide(t, dir, "b", "b.local")
	if c, err := LoadProvided(cert, key, "a.local"); err != nil || len(c.TLS.Certificate) != 2 {
		t.Fatalf("a fitting pair: %v", err)
	}
	for _, c := range []struct{ cert, key, host, want string }{
		{cert, "", "a.local", "give both or neither"},
		{"", key, "a.local", "give both or neither"},
		{cert, otherKey, "a.local", "does not match"},
		{cert, key, "b.local", "does not cover"},
		{cert, filepath.Join(dir, "none"), "a.local", "none"},
		{key, key, "a.local", "a.key"},
	} {
		if _, err := LoadProvided(c.cert, c.key, c.host); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: got %v", c, err)
		}
	}
}

func TestProvidedCertificateMustBeWithinItsLife(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		cert, key := provide(t, dir, "a", "a.local")
		time.Sleep(Lifetime) // The bubble's clock: no time passes.
		if _, err := LoadProvided(cert, key, "a.local"); !errors.Is(err, ErrExpired) {
			t.Errorf("got %v, want ErrExpired", err)
		}
	})
}
