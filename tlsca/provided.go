package tlsca

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/givenfile"
)

// LoadProvided reads a certificate that somebody else signed, with its key, from two
// PEM files, and checks that a server can present it for host: both files are given
// and belong together, it is within its life, it is for servers, and it names
// host. The error says which does not hold.
func LoadProvided(certFile, keyFile, host string) (*Certificate, error) {
	switch {
	case certFile == "" && keyFile == "":
		return nil, errors.New("load certificate: no files given")
	case certFile == "":
		return nil, fmt.Errorf("load certificate: key file %q is given without a certificate file: give both or neither", keyFile)
	case keyFile == "":
		return nil, fmt.Errorf("load certificate: certificate file %q is given without a key file: give both or neither", certFile)
	}
	cert, err := readPEM(certFile)
	if err != nil {
		return nil, fmt.Errorf("load certificate: %w", err)
	}
	key, err := readPEM(keyFile)
	if err != nil {
		return nil, fmt.Errorf("load certificate: key: %w", err)
	}
	defer clear(key)
	c, err := checkProvided(cert, key, host)
	if err != nil {
		return nil, fmt.Errorf("load certificate %s with key %s: %w", certFile, keyFile, err)
	}
	return c, nil
}

// readPEM reads a file that is no larger than a chain and a key can be.
func readPEM(path string) ([]byte, error) {
	data, err := givenfile.ReadAgain(path, maxPEMFile)
	if err == nil {
		data, err = givenfile.WithoutMark(data)
	}
	if err != nil && !strings.Contains(err.Error(), path) {
		err = fmt.Errorf("%s: %w", path, err)
	}
	return data, err
}

// checkProvided checks that a server can present cert for host.
func checkProvided(cert, key []byte, host string) (*Certificate, error) {
	if encrypted(key) {
		return nil, errors.New("the key is encrypted: give one without a passphrase (openssl pkey -in key.pem -out plain.pem), readable by this user alone")
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, err
	}
	leaf := pair.Leaf
	switch now := time.Now(); {
	case now.After(leaf.NotAfter):
		return nil, fmt.Errorf("%w on %s: renew it", ErrExpired, leaf.NotAfter.Format(time.RFC3339))
	case now.Before(leaf.NotBefore):
		return nil, fmt.Errorf("not valid before %s: is this machine's clock right?", leaf.NotBefore.Format(time.RFC3339))
	case leaf.IsCA:
		return nil, errors.New("it is a CA's certificate, which browsers refuse for a server: give one that the CA has signed")
	case len(leaf.ExtKeyUsage)+len(leaf.UnknownExtKeyUsage) > 0 &&
		!slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageServerAuth) && !slices.Contains(leaf.ExtKeyUsage, x509.ExtKeyUsageAny):
		return nil, errors.New("it is not for servers (extended key usage): give one with serverAuth")
	}
	if host != "" {
		if err := leaf.VerifyHostname(hostForVerify(host)); err != nil {
			return nil, fmt.Errorf("it does not cover the advertised hostname %q: %w", host, err)
		}
	}
	var chain []byte
	for _, der := range pair.Certificate {
		chain = append(chain, certPEM(der)...)
	}
	return &Certificate{TLS: pair, ChainPEM: chain, NotAfter: leaf.NotAfter, Fingerprint: fingerprint(leaf.Raw)}, nil
}

// encrypted reports whether a PEM key wants a passphrase, in the old or the new form.
func encrypted(key []byte) bool {
	for {
		block, rest := pem.Decode(key)
		if block == nil {
			return false
		}
		if block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "" {
			return true
		}
		key = rest
	}
}

// hostForVerify writes an address as crypto/x509 reads one.
func hostForVerify(host string) string {
	if addr, err := netip.ParseAddr(host); err == nil {
		return "[" + addr.Unmap().WithZone("").String() + "]"
	}
	return host
}
