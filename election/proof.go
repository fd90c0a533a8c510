package election

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
)

// minSecret is the shortest secret in bytes: whoever records heartbeats can try secrets
// without being noticed.
const minSecret = 16

// proofKey proves that a packet comes from somebody who knows the namespace's secret.
type proofKey struct{ key []byte }

// newProofKey derives the key of a namespace, so that the same secret in two of them
// gives packets that only one accepts. An empty secret gives nil.
func newProofKey(secret, namespace string) (*proofKey, error) {
	if secret == "" {
		return nil, nil
	}
	if len(secret) < minSecret {
		return nil, fmt.Errorf("it has %d bytes: give at least %d, such as the output of openssl rand -hex 16", len(secret), minSecret)
	}
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte("kinopio-hub election 1\x00" + namespace))
	return &proofKey{h.Sum(nil)}, nil
}

func (k *proofKey) sum(context string, data []byte) []byte {
	var h hash.Hash = hmac.New(sha256.New, k.key)
	h.Write([]byte(context + "\x00"))
	h.Write(data)
	return h.Sum(nil)
}

// The proof is the last field of the object, so that what it covers are the bytes
// before it, whatever a JSON library makes of them.
const (
	proofOpen  = `,"mac":"`
	proofClose = `"}`
	proofSize  = len(proofOpen) + 2*sha256.Size + len(proofClose)
)

// seal appends a proof to a JSON object that has fields.
func (k *proofKey) seal(object []byte) []byte {
	body := object[:len(object)-1]
	sealed := append(bytes.Clone(body), proofOpen...)
	sealed = hex.AppendEncode(sealed, k.sum("heartbeat", body))
	return append(sealed, proofClose...)
}

// looksSealed tells whether data ends as with a proof, whatever that proves.
func looksSealed(data []byte) bool {
	return len(data) >= proofSize && bytes.HasPrefix(data[len(data)-proofSize:], []byte(proofOpen)) && bytes.HasSuffix(data, []byte(proofClose))
}

// sealed tells whether data ends with a valid proof.
func (k *proofKey) sealed(data []byte) bool {
	if len(data) < proofSize {
		return false
	}
	body, proof := data[:len(data)-proofSize], data[len(data)-proofSize:]
	proof, ok := bytes.CutPrefix(proof, []byte(proofOpen))
	if !ok {
		return false
	}
	if proof, ok = bytes.CutSuffix(proof, []byte(proofClose)); !ok {
		return false
	}
	mac := make([]byte, sha256.Size)
	if _, err := hex.Decode(mac, proof); err != nil {
		return false
	}
	return hmac.Equal(mac, k.sum("heartbeat", body))
}
