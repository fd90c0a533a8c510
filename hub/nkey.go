package hub

import (
	"crypto/ed25519"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"strings"
)

// The two things that a client needs of NATS's keys: the user key of a seed, and both parts of a
// credentials file. github.com/nats-io/nkeys has them, too, but a page would download a fifth more
// for the regular expression with which that reads the file.
// https://docs.nats.io/reference/reference-protocols/nats-protocol and nkeys' README have the format.

// Prefixes of an encoded key, such that its text begins with S and U.
const (
	nkeySeed = 18 << 3
	nkeyUser = 20 << 3
)

var (
	nkeyText = base32.StdEncoding.WithPadding(base32.NoPadding)

	errSeed  = errors.New("not the seed of a user nkey, which begins with SU")
	errCreds = errors.New("not a credentials file: want a user JWT and its nkey seed, each between two lines of dashes")
)

// userKey reads the seed of a user nkey: base32 of two bytes that say so, 32 bytes, and their
// checksum.
func userKey(seed string) (ed25519.PrivateKey, error) {
	raw, err := nkeyText.DecodeString(strings.TrimSpace(seed))
	if err != nil || len(raw) != 2+ed25519.SeedSize+2 {
		return nil, errSeed
	}
	body, sum := raw[:len(raw)-2], raw[len(raw)-2:]
	if binary.LittleEndian.Uint16(sum) != crc16(body) || body[0] != nkeySeed|nkeyUser>>5 || body[1] != nkeyUser&31<<3 {
		return nil, errSeed
	}
	return ed25519.NewKeyFromSeed(body[2:]), nil
}

// publicName is how a server knows the key: "U…".
func publicName(key ed25519.PrivateKey) string {
	raw := append([]byte{nkeyUser}, key.Public().(ed25519.PublicKey)...)
	return nkeyText.EncodeToString(binary.LittleEndian.AppendUint16(raw, crc16(raw)))
}

// crc16 is the checksum of XMODEM: CCITT's polynomial, from 0.
func crc16(b []byte) (sum uint16) {
	for _, c := range b {
		sum ^= uint16(c) << 8
		for range 8 {
			carry := sum&0x8000 != 0
			if sum <<= 1; carry {
				sum ^= 0x1021
			}
		}
	}
	return sum
}

// splitCreds reads a credentials file: what stands alone between two lines of dashes is first the
// user's JWT and then the seed of the user's key.
func splitCreds(text string) (jwt string, key ed25519.PrivateKey, err error) {
	var lines, parts []string
	for line := range strings.Lines(text) {
		lines = append(lines, strings.TrimSpace(line))
	}
	for i := 0; i+2 < len(lines); i++ {
		if isRule(lines[i]) && lines[i+1] != "" && !isRule(lines[i+1]) && isRule(lines[i+2]) {
			parts = append(parts, lines[i+1])
			i += 2
		}
	}
	if len(parts) < 2 {
		return "", nil, errCreds
	}
	if key, err = userKey(parts[1]); err != nil {
		return "", nil, err
	}
	return parts[0], key, nil
}

// isRule: "-----BEGIN NATS USER JWT-----".
func isRule(line string) bool {
	return len(line) >= 6 && strings.HasPrefix(line, "---") && strings.HasSuffix(line, "---")
}
