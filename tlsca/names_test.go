package tlsca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

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
