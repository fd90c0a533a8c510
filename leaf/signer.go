package leaf

import (
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base32"
	"fmt"

	"github.com/nats-io/nkeys"
)

// What is signed begins with a label, so that no answer can be taken for another kind.
const (
	answerLabel = "kinopio-hub leaf answer 1"
	ticketLabel = "kinopio-hub leaf ticket 1"

	headerAt        = "Kleaf-At"        // The leaf's time, RFC 3339.
	headerSignature = "Kleaf-Signature" // Base32 of 64 bytes, without padding.

	// minSecret is as in package election.
	minSecret = 16
)

// A signer has the key of a namespace, which all leaves have that know its secret.
type signer struct{ key ed25519.PrivateKey }

// newSigner derives the key: the same secret gives each namespace another one. nil without a secret.
func newSigner(secret, namespace string) (*signer, error) {
	if secret == "" {
		return nil, nil
	}
	if len(secret) < minSecret {
		return nil, fieldError("NamespaceSecret", "(hidden)", fmt.Sprintf("has %d bytes: give at least %d, such as the output of openssl rand -hex 16", len(secret), minSecret))
	}
	seed, err := hkdf.Key(sha256.New, []byte(secret), nil, "kinopio-hub namespace key 1\x00"+namespace, ed25519.SeedSize)
	if err != nil {
		return nil, fmt.Errorf("derive the namespace's key: %w", err)
	}
	return &signer{ed25519.NewKeyFromSeed(seed)}, nil
}

// sign is the signature of label, nonce, time and body, each but the last on a line.
func (s *signer) sign(label, nonce, at string, body []byte) string {
	text := append([]byte(label+"\n"+nonce+"\n"+at+"\n"), body...)
	return base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(ed25519.Sign(s.key, text))
}

// NamespaceKey is the public key that answers of a namespace's leaves are signed by, as hubs take it: an nkey that begins
// with N, of 56 characters. It is made from the namespace's secret, of at least 16 bytes, and its name.
func NamespaceKey(secret, namespace string) (string, error) {
	if err := checkWord("DiscoveryNamespace", namespace, 128, "a name that the nodes of one system share, such as studio"); err != nil {
		return "", err
	}
	if secret == "" {
		return "", fieldError("NamespaceSecret", "", "empty: give the secret that all leaves of the namespace know")
	}
	s, err := newSigner(secret, namespace)
	if err != nil {
		return "", err
	}
	key, err := nkeys.Encode(nkeys.PrefixByteServer, s.key.Public().(ed25519.PublicKey)) // N, as in namespace.
	return string(key), err
}
