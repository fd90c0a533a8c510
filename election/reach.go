package election

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
)

// A reach is the part of a manifest that says whom to trust at its leaf. It is too long for a heartbeat, which
// carries its digest: where the namespace has a secret, that proves what is then read at the leaf. Anybody on the LAN
// may lead a namespace without a secret, so there it counts if this machine trusts the leaf anyway.
type reach struct {
	webTransport json.RawMessage
	rootPEM      string
}

const maxReach = 16 << 10 // Bytes of each of the two; hubs take no more.

func (m *Manifest) reach() reach { return reach{m.WebTransport, m.RootPEM} }

func (m *Manifest) setReach(r reach) { m.WebTransport, m.RootPEM = r.webTransport, r.rootPEM }

func (r reach) check() error {
	switch {
	case len(r.webTransport) > maxReach:
		return errors.New("webTransport is too long")
	case len(r.rootPEM) > maxReach:
		return errors.New("rootPem is too long")
	}
	return nil
}

// digest is the SHA-256 of both, in hexadecimal digits; "" when there is neither.
func (r reach) digest() string {
	if len(r.webTransport) == 0 && r.rootPEM == "" {
		return ""
	}
	var text bytes.Buffer
	if len(r.webTransport) > 0 && json.Compact(&text, r.webTransport) != nil {
		return ""
	}
	text.WriteString("\n" + r.rootPEM)
	sum := sha256.Sum256(text.Bytes())
	return hex.EncodeToString(sum[:])
}

// trusted says that this machine's trust store knows who has served state, which may be nil, as host.
func trusted(state *tls.ConnectionState, host string) bool {
	if state == nil || len(state.PeerCertificates) == 0 {
		return false
	}
	between := x509.NewCertPool()
	for _, c := range state.PeerCertificates[1:] {
		between.AddCert(c)
	}
	_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{DNSName: host, Intermediates: between})
	return err == nil
}
