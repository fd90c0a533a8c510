package tlsca

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
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

func TestExpiryIsHonoured(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(earliest().Add(time.Hour))) // The bubble's clock begins at 2000.
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
		if _, err := ca.Issue(Request{}); !errors.Is(err, ErrExpired) {
			t.Errorf("got %v, want ErrExpired", err)
		}
		if again := open(t, dir); again.Fingerprint() == ca.Fingerprint() || !again.NotAfter().After(time.Now()) {
			t.Error("there is no new root in the place of one that has ended")
		}
	})
}
