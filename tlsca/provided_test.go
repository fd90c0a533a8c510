package tlsca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
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
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	encryptedKey := write("encrypted.key", pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte{1}}))
	rootKey := filepath.Join(dir, keyFileName)
	rootCert := filepath.Join(dir, rootFileName)
	clientCert, clientKey := clientOnly(t, write)
	huge := write("huge.pem", make([]byte, maxPEMFile+1))
	for _, c := range []struct{ cert, key, host, want string }{
		{cert, "", "a.local", "give both or neither"},
		{"", key, "a.local", "give both or neither"},
		{cert, otherKey, "a.local", "does not match"},
		{cert, key, "b.local", "does not cover"},
		{cert, filepath.Join(dir, "none"), "a.local", "none"},
		{key, key, "a.local", "a.key"},
		{cert, encryptedKey, "a.local", "encrypted"},
		{rootCert, rootKey, "a.local", "CA's certificate"},
		{clientCert, clientKey, "a.local", "not for servers"},
		{huge, key, "a.local", "larger"},
	} {
		if _, err := LoadProvided(c.cert, c.key, c.host); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: got %v", c, err)
		}
	}
}

// clientOnly writes a certificate that is for clients and names a.local.
func clientOnly(t *testing.T, write func(string, []byte) string) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"a.local"},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return write("client.crt", certPEM(der)), write("client.key", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}

func TestProvidedCertificateMustBeWithinItsLife(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(earliest().Add(time.Hour)))
		cert, key := provide(t, dir, "a", "a.local")
		time.Sleep(Lifetime) // The bubble's clock: no time passes.
		if _, err := LoadProvided(cert, key, "a.local"); !errors.Is(err, ErrExpired) {
			t.Errorf("got %v, want ErrExpired", err)
		}
	})
}

func FuzzProvidedFilesNeverPanic(f *testing.F) {
	dir := f.TempDir()
	ca, err := Open(dir, Options{})
	if err != nil {
		f.Fatal(err)
	}
	file, _ := os.ReadFile(filepath.Join(dir, keyFileName))
	f.Add(ca.RootPEM(), file)
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"), []byte("-----BEGIN RSA PRIVATE KEY-----\nDEK-Info: x\n\n-----END RSA PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, cert, key []byte) {
		c, err := checkProvided(cert, key, "a.local")
		if err == nil && c.TLS.Leaf == nil {
			t.Error("no error and no certificate")
		}
	})
}
