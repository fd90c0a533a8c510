package hub

import (
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
	"unicode"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/plainjson"
	"github.com/kinopio-hub/kinopio-hub/v3/transport"
)

// What leaves sign: label, nonce, time and body, each but the last on a line.
const (
	answerLabel = "kinopio-hub leaf answer 1"
	ticketLabel = "kinopio-hub leaf ticket 1"

	headerAt        = "Kleaf-At"
	headerSignature = "Kleaf-Signature"
)

var (
	errOtherKey = errors.New("not signed by the key in discovery.namespaceKey: the leaf has another namespace secret or none (kinopio-hub leaf key prints its key), or somebody else answers")
	errUnsigned = errors.New("not signed, and discovery.namespaceKey wants that: the leaf was started without the namespace secret, or somebody else answers")
)

// parseNamespaceKey reads what kinopio-hub leaf key prints: an nkey that begins with N. nil for "".
func parseNamespaceKey(text string) (ed25519.PublicKey, error) {
	if text == "" {
		return nil, nil
	}
	raw, err := nkeyText.DecodeString(text)
	if err != nil || len(raw) != 1+ed25519.PublicKeySize+2 || raw[0] != nkeyNamespace || binary.LittleEndian.Uint16(raw[len(raw)-2:]) != crc16(raw[:len(raw)-2]) {
		return nil, errNamespaceKey
	}
	return raw[1 : len(raw)-2], nil
}

const nkeyNamespace = 13 << 3

var errNamespaceKey = errors.New("the public key of a namespace as kinopio-hub leaf key prints it, which begins with N and has 56 characters")

// verify checks the signature of an answer, if there is a key, and returns the leaf's time.
func verify(key ed25519.PublicKey, label, nonce string, header Header, body []byte) (at time.Time, err error) {
	said := header.Get(headerAt)
	if at, err = time.Parse(time.RFC3339, said); err != nil {
		return at, fmt.Errorf("the answer has no time in its header %s", headerAt)
	}
	if key == nil {
		return at, nil
	}
	text := header.Get(headerSignature)
	if text == "" {
		return at, errUnsigned
	}
	signature, err := nkeyText.DecodeString(text)
	if err != nil || len(signature) != ed25519.SignatureSize || !ed25519.Verify(key, append([]byte(label+"\n"+nonce+"\n"+said+"\n"), body...), signature) {
		return at, errOtherKey
	}
	return at, nil
}

// readAnswer takes an answer to the question with nonce.
func (f *finder) readAnswer(nonce string, header Header, body []byte) (one candidate, err error) {
	h := f.h
	at, err := verify(f.key, answerLabel, nonce, header, body)
	if err != nil {
		return one, err
	}
	leaf, err := readManifest(body, "", at, h.cfg.Discovery.RequireBackbone)
	if err != nil && !errors.Is(err, errNoBackbone) {
		return one, fmt.Errorf("manifest: %w", err)
	}
	if wrong := checkAnsweredURL(leaf.url, h.cfg.Servers); wrong != nil {
		return one, fmt.Errorf("manifest: wssUrl = %q: %w", transport.Redact(leaf.url), wrong)
	}
	says, wrong := readLeafInfo(body)
	switch {
	case wrong != nil:
		return one, fmt.Errorf("manifest: %w", wrong)
	case says.namespace != h.cfg.Discovery.Namespace:
		return one, fmt.Errorf("manifest: discoveryNamespace = %q: want %q", says.namespace, h.cfg.Discovery.Namespace)
	}
	leaf.node = says.node
	if f.key != nil {
		f.markProven(leaf)
	}
	return candidate{target: leaf, err: err, says: says, near: f.nearness(leaf, says.addresses)}, nil
}

// markProven remembers that a signed answer has named leaf.
func (f *finder) markProven(leaf target) {
	if len(f.proven) >= 2*maxAnswers {
		f.proven = map[string]transport.Reach{}
	}
	f.proven[leaf.key()] = leaf.reach
}

// checkProven says why a leaf that a manifest at a URL names is not believed: with a namespace key only leaves count that have
// signed an answer.
func (f *finder) checkProven(leaf target) error {
	if f.key == nil {
		return nil
	}
	for key, reach := range f.proven { // in another LAN another leaf may have that URL, but not its certificate
		if url, _, _ := strings.Cut(key, " "); url == leaf.url && (leaf.reach == reach || leaf.reach == transport.Reach{}) {
			return nil
		}
	}
	return fmt.Errorf("%s, which the manifest names, has not shown the key in discovery.namespaceKey over the session", leaf)
}

func (f *finder) nearness(leaf target, addresses []string) nearness {
	switch at := f.h.where(); {
	case at.via == viaLeaf && at.is(leaf):
		return currentLeaf
	case f.place == "":
		return unknownPlace
	}
	near := unknownPlace
	for _, a := range addresses {
		switch place := placeOf(a); {
		case place == f.place:
			return samePlace
		case place != "" && isPlaceOfIPv4(place) == isPlaceOfIPv4(f.place):
			near = otherPlace // of the other kind each LAN has another one
		}
	}
	return near
}

// isPlaceOfIPv4 says of which kind the address is that placeOf has made place of.
func isPlaceOfIPv4(place string) bool { return strings.Contains(place, "-") }

// checkAnsweredURL is mayLeadTo for an answer, which comes from no host: the leaf is on the LAN.
func checkAnsweredURL(leaf string, servers []string) error {
	secure := "http://leaf.invalid"
	for _, s := range servers {
		if strings.HasPrefix(s, "wss:") || strings.HasPrefix(s, "tls:") {
			secure = "https://leaf.invalid"
		}
	}
	if err := mayLeadTo(leaf, secure, servers); err != nil {
		return errors.New(strings.Replace(err.Error(), ", at a name below .local, or at the manifest's own host leaf.invalid", " or at a name below .local", 1))
	}
	return nil
}

// A leafInfo is what a manifest says besides where the leaf is.
type leafInfo struct {
	node, namespace string
	addresses       []string
	tickets         bool
}

func readLeafInfo(body []byte) (says leafInfo, err error) {
	r, err := plainjson.Read(body)
	if err != nil {
		return says, err
	}
	says = leafInfo{r.Text("nodeId"), r.Text("discoveryNamespace"), r.Texts("publicAddresses"), r.Bool("tickets")}
	says.addresses = says.addresses[:min(len(says.addresses), 16)]
	return says, r.Err()
}

// placeOf is a public address as a part of a subject: IPv4 as it is, of IPv6 the first half, which the
// devices of a LAN share; "" for what no two LANs can be told apart by. Leaves make the same of it.
func placeOf(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return ""
	}
	ip = ip.Unmap().WithZone("")
	if !ip.IsGlobalUnicast() || ip.IsPrivate() || sharedAddresses.Contains(ip) {
		return ""
	}
	b := ip.AsSlice()
	if len(b) == 4 {
		return fmt.Sprintf("%d-%d-%d-%d", b[0], b[1], b[2], b[3])
	}
	return fmt.Sprintf("%x", b[:8])
}

// checkNamespace refuses what cannot be.
func (d *Discovery) checkNamespace() error {
	if d.Namespace == "" && d.NamespaceKey != "" {
		return configError("Discovery.NamespaceKey", d.NamespaceKey, "a Discovery.Namespace, whose key it is")
	}
	if len(d.Namespace) > 128 || strings.ContainsFunc(d.Namespace, func(r rune) bool { return unicode.IsSpace(r) || unicode.IsControl(r) || r == unicode.ReplacementChar }) {
		return configError("Discovery.Namespace", d.Namespace, "the name that leaves are started with (--discovery-namespace), of at most 128 bytes, without blanks and control characters")
	}
	if _, err := parseNamespaceKey(d.NamespaceKey); err != nil {
		return configError("Discovery.NamespaceKey", d.NamespaceKey, err.Error())
	}
	return nil
}
