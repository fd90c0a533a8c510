package leaf

import (
	"crypto/ed25519"
	"encoding/base32"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// FindSubject is where a few leaves of a namespace answer, by their manifests, over their bridges.
func FindSubject(namespace string) string { return reserved + "find." + word(namespace) + ".any" }

// NewsSubject is where leaves of a namespace tell hubs of changes.
func NewsSubject(namespace string) string { return reserved + "news." + word(namespace) }

// NamesSubject is where leaves answer by the name of their namespace.
const NamesSubject = reserved + "names"

// Errors of [AnsweredAt].
var (
	ErrNoTime   = errors.New("the answer has no time in its header " + headerAt)
	ErrUnsigned = errors.New("the answer is not signed: the leaf was started without the namespace secret, or somebody else answers")
	ErrOtherKey = errors.New("the answer is not signed by that key: the leaf has another namespace secret, or somebody else answers")
)

// AnsweredAt is the leaf's time in its answer to the question with nonce. If key, which [NamespaceKey] makes, is not
// empty, the signature is checked: ErrUnsigned, ErrOtherKey.
func AnsweredAt(m *nats.Msg, nonce, key string) (time.Time, error) {
	said := first(m.Header[headerAt])
	at, err := time.Parse(time.RFC3339, said)
	if err != nil {
		return at, ErrNoTime
	}
	if key == "" {
		return at, nil
	}
	raw, err := nkeys.Decode(nkeys.PrefixByteServer, []byte(key))
	if err != nil {
		return at, fmt.Errorf("the key of the namespace: %w; want what kinopio-hub leaf key prints", err)
	}
	text := first(m.Header[headerSignature])
	if text == "" {
		return at, ErrUnsigned
	}
	signature, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(text)
	if err != nil || len(raw) != ed25519.PublicKeySize || !ed25519.Verify(raw, append([]byte(answerLabel+"\n"+nonce+"\n"+said+"\n"), m.Data...), signature) {
		return at, ErrOtherKey
	}
	return at, nil
}

func first(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[0]
}
