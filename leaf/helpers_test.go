package leaf

import (
	"crypto/x509"
	"encoding/pem"
	"net/netip"
	"os"
	"testing"

	"github.com/kinopio-hub/kinopio-hub/v3/tlsca"
)

// provide writes a certificate for 127.0.0.1 as a caller would have it.
func provide(t *testing.T, ca *tlsca.CA, files TLSFiles) *tlsca.Certificate {
	t.Helper()
	cert, err := ca.Issue(tlsca.Request{IPs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}})
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(cert.TLS.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		files.CertFile: cert.ChainPEM,
		files.KeyFile:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}),
	} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert
}
