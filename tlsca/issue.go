package tlsca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"
)

// Lifetime is how long a certificate of [CA.Issue] lives at most, the hour by which
// its beginning is dated back included.
const Lifetime = 30 * 24 * time.Hour

// Request says what a server certificate is for. localhost is always among the names.
type Request struct {
	// Hostname is the name or the address that clients will use. Empty: none beside
	// localhost and IPs.
	Hostname string
	// IPs are the addresses that clients may use; each becomes one iPAddress SAN.
	IPs []netip.Addr
}

// Certificate is a server's certificate with its key, which exists in memory only.
type Certificate struct {
	// TLS is what a server presents: the certificate, then the root.
	TLS tls.Certificate
	// ChainPEM is the same chain, PEM encoded, without the key.
	ChainPEM []byte
	// NotAfter is when it ends; ask for another well before.
	NotAfter time.Time
	// Fingerprint is the lower-case hexadecimal SHA-256 of the certificate.
	Fingerprint string
}

// Issue signs a new server certificate with a new ECDSA P-256 key. An address outside
// the root's constraints is an error that wraps [ErrConstrained].
func (ca *CA) Issue(r Request) (*Certificate, error) {
	names, addrs, err := ca.subjects(r)
	if err != nil {
		return nil, fmt.Errorf("issue certificate: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("issue certificate: make key: %w", err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, fmt.Errorf("issue certificate: %w", err)
	}
	if why := untimely(ca.root, time.Now()); why != "" {
		return nil, fmt.Errorf("issue certificate: root %s: %w: %s", ca.RootFile(), ErrExpired, why)
	}
	begin := time.Now().Add(-backdate)
	if begin.Before(ca.root.NotBefore) { // The clock is slow: others will say so of what begins before its root.
		begin = ca.root.NotBefore
	}
	end := begin.Add(Lifetime)
	if end.After(ca.root.NotAfter) {
		end = ca.root.NotAfter
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		// The blanks keep old verifiers from reading the common name as a DNS name.
		Subject:               pkix.Name{CommonName: "Kinopio leaf at " + firstName(r), Organization: []string{"KinopioHub"}},
		NotBefore:             begin,
		NotAfter:              end,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
		DNSNames:              names,
		IPAddresses:           addrs,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.root, key.Public(), ca.key)
	if err != nil {
		return nil, fmt.Errorf("issue certificate: sign: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("issue certificate: %w", err)
	}
	return &Certificate{
		TLS:         tls.Certificate{Certificate: [][]byte{der, ca.root.Raw}, PrivateKey: key, Leaf: leaf},
		ChainPEM:    append(certPEM(der), ca.rootPEM...),
		NotAfter:    leaf.NotAfter,
		Fingerprint: fingerprint(der),
	}, nil
}

// subjects turns a request into its SANs: no name twice, no address among the names.
func (ca *CA) subjects(r Request) (names []string, ips []net.IP, err error) {
	addrs := slices.Clone(r.IPs)
	names = []string{"localhost"}
	if r.Hostname != "" {
		if addr, err := netip.ParseAddr(r.Hostname); err == nil {
			addrs = append([]netip.Addr{addr}, addrs...)
		} else if err := ca.Permits(r.Hostname); err != nil {
			return nil, nil, err
		} else if name, _ := cleanDNS(r.Hostname); name != "localhost" {
			names = append([]string{name}, names...)
		}
	}
	seen := map[netip.Addr]bool{}
	for _, a := range addrs {
		a = a.Unmap().WithZone("")
		if !a.IsValid() || a.IsUnspecified() {
			return nil, nil, fmt.Errorf("address %q: cannot stand in a certificate: use the address that clients connect to", a)
		}
		if err := ca.permitsAddr(a); err != nil {
			return nil, nil, err
		}
		if !seen[a] {
			seen[a] = true
			ips = append(ips, a.AsSlice())
		}
	}
	return names, ips, nil
}

func firstName(r Request) string {
	switch {
	case r.Hostname != "" && len(r.Hostname) <= 40: // The common name ends at 64 characters.
		return r.Hostname
	case r.Hostname == "" && len(r.IPs) > 0:
		return r.IPs[0].String()
	}
	return "this machine"
}
