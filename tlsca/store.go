package tlsca

import (
	"context"
	"crypto/sha1"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"strings"
)

// The causes for which a store was left as it is, with errors.Is.
var (
	// ErrNeedsRights: only an administrator may edit the store, and this process is
	// none and may not become one.
	ErrNeedsRights = errors.New("needs administrator rights")
	// ErrNeedsPerson: the system asks somebody at the screen before the store is
	// edited, and nobody was to be asked.
	ErrNeedsPerson = errors.New("needs somebody who answers the system's question")
	// ErrNoTool: the program that edits the store is not installed.
	ErrNoTool = errors.New("program is not installed")
)

// Store is one place where programs of this machine look up whom to trust. Its
// methods may be called from any goroutine. ctx bounds each, processes included; a
// store that would be left damaged may end first what it has begun.
type Store interface {
	// Info tells which store it is. It is constant.
	Info() StoreInfo
	// Contains asks the store itself whether the anchor is there and trusted.
	Contains(ctx context.Context, a Anchor) (bool, error)
	// Install adds the anchor as a root for servers. Adding it again is no error.
	Install(ctx context.Context, a Anchor) error
	// Remove takes the anchor out. Nothing else is touched.
	Remove(ctx context.Context, a Anchor) error
}

// StoreInfo describes a [Store].
type StoreInfo struct {
	// Kind is what strategies are named after: nss, system, keychain or windows-root.
	Kind string
	// Name is for people: whose store, and where.
	Name string
	// Browsers reports whether a browser reads it.
	Browsers bool
	// Shared reports whether it belongs to all users of the machine.
	Shared bool
	// Asks reports whether editing it makes the system ask a person.
	Asks bool
}

// Anchor is the root certificate, without its key, as stores take it.
type Anchor struct {
	Name        string // Unique to this root, so that no other certificate is meant by it.
	File        string // PEM.
	DER         []byte
	SHA1        string // Upper-case hexadecimal: an index into stores, no security.
	Fingerprint string // Lower-case hexadecimal SHA-256.
}

// Anchor returns what a [Store] needs to know of the root.
func (ca *CA) Anchor() Anchor { return anchorOf(ca.root, ca.RootFile()) }

func anchorOf(root *x509.Certificate, file string) Anchor {
	fp := fingerprint(root.Raw)
	sum := sha1.Sum(root.Raw)
	return Anchor{
		Name:        "Kinopio leaf CA " + fp[:16],
		File:        file,
		DER:         root.Raw,
		SHA1:        strings.ToUpper(hex.EncodeToString(sum[:])),
		Fingerprint: fp,
	}
}

// fileName is the anchor's name in directories of certificates.
func (a Anchor) fileName() string { return "kinopio-leaf-ca-" + a.Fingerprint[:16] + ".crt" }
