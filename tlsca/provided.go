package tlsca

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"
)

// LoadProvided reads a certificate that somebody else signed, with its key, from two
// PEM files, and checks that a server can present it for host: both files are given
// and belong together, it is within its life, and it names host.
func LoadProvided(certFile, keyFile, host string) (*Certificate, error) {
	switch {
	case certFile == "" && keyFile == "":
		return nil, errors.New("load certificate: no files given")
	case certFile == "":
		return nil, fmt.Errorf("load certificate: key file %q is given without a certificate file: give both or neither", keyFile)
	case keyFile == "":
		return nil, fmt.Errorf("load certificate: certificate file %q is given without a key file: give both or neither", certFile)
	}
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		return nil, fmt.Errorf("load certificate %s with key %s: %w", certFile, keyFile, err)
	}
	leaf := pair.Leaf
	if leaf == nil {
		if leaf, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
			return nil, fmt.Errorf("load certificate %s: %w", certFile, err)
		}
		pair.Leaf = leaf
	}
	switch now := time.Now(); {
	case now.After(leaf.NotAfter):
		return nil, fmt.Errorf("load certificate %s: %w on %s: renew it", certFile, ErrExpired, leaf.NotAfter.Format(time.RFC3339))
	case now.Before(leaf.NotBefore):
		return nil, fmt.Errorf("load certificate %s: not valid before %s: is this machine's clock right?", certFile, leaf.NotBefore.Format(time.RFC3339))
	}
	if host != "" {
		if err := leaf.VerifyHostname(host); err != nil {
			return nil, fmt.Errorf("load certificate %s: it does not cover the advertised hostname %q: %w", certFile, host, err)
		}
	}
	var chain []byte
	for _, der := range pair.Certificate {
		chain = append(chain, certPEM(der)...)
	}
	return &Certificate{TLS: pair, ChainPEM: chain, NotAfter: leaf.NotAfter, Fingerprint: fingerprint(leaf.Raw)}, nil
}
