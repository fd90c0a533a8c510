package tlsca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/givenfile"
)

// nowhere is a domain that can never exist (RFC 2606). To permit it alone is to exclude all there
// are, and understood by everybody; OpenSSL takes an empty exclusion for none.
const nowhere = "invalid"

const (
	rootYears = 10
	// A device on the LAN whose clock is slow must accept what was signed just now.
	backdate = time.Hour
	// Larger than any file written here; what is larger is not ours.
	maxPEMFile = 64 << 10
)

// create makes a new root in dir. The caller holds the lock.
func create(dir string, hostnames []string, log *slog.Logger) (*CA, error) {
	machine, _ := os.Hostname() // Without a name there is one fewer to permit.
	permitted, err := permittedDNS(machine, hostnames)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make key: %w", err)
	}
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	if now.Before(earliest()) {
		return nil, fmt.Errorf("make root: %w: it shows %s, and this program was made later: set the clock, as a root made now would end before it is needed", ErrClock, now.UTC().Format(time.DateTime))
	}
	// Each root has a subject of its own: stores tell certificates apart by it.
	subject := fmt.Sprintf("Kinopio leaf CA %x", serial.Bytes()[:4])
	if machine != "" && len(machine) <= 35 { // The common name ends at 64 characters.
		subject += " (" + machine + ")"
	}
	template := &x509.Certificate{
		SerialNumber:                serial,
		Subject:                     pkix.Name{CommonName: subject, Organization: []string{"KinopioHub"}},
		NotBefore:                   now.Add(-backdate),
		NotAfter:                    now.AddDate(rootYears, 0, 0),
		KeyUsage:                    x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		BasicConstraintsValid:       true,
		IsCA:                        true,
		MaxPathLenZero:              true,
		PermittedDNSDomainsCritical: true, // Makes the whole extension critical, addresses too.
		PermittedDNSDomains:         permitted,
		PermittedIPRanges:           permittedIPs(),
		// A stolen key is of no use for anything but servers: no e-mail, no clients, no code.
		ExtKeyUsage:             []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		PermittedEmailAddresses: []string{nowhere},
		PermittedURIDomains:     []string{nowhere},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("sign root: %w", err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("encode key: %w", err)
	}
	file := append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), certPEM(der)...)
	if err := writeFile(filepath.Join(dir, keyFileName), file, 0o600); err != nil {
		return nil, err
	}
	log.Info("made a new root CA", "dir", dir, "fingerprint", fingerprint(der), "names", permitted)
	return load(dir, log)
}

// load reads the root in dir; the error wraps os.ErrNotExist when there is none.
func load(dir string, log *slog.Logger) (*CA, error) {
	path := filepath.Join(dir, keyFileName)
	info, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		return nil, fmt.Errorf("%w: %s is not followed, as what it leads to may be replaced by others: put the file itself there, or name the directory in which it is", ErrLinked, path)
	case !info.Mode().IsRegular() || info.Size() > maxPEMFile:
		return nil, damaged(path, "is not a regular file of at most 64 KiB")
	}
	if err := keepPrivate(path, info, 0o600, log); err != nil {
		return nil, err
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	key, root, err := parseRoot(data)
	if err != nil {
		return nil, damaged(path, err.Error())
	}
	return &CA{dir: dir, root: root, rootPEM: certPEM(root.Raw), key: key}, nil
}

// parseRoot reads the two blocks of the key file and checks that they are a root as
// create makes it. What is not constrained is refused: it was not made here.
func parseRoot(data []byte) (*ecdsa.PrivateKey, *x509.Certificate, error) {
	var key *ecdsa.PrivateKey
	var root *x509.Certificate
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			break
		}
		data = rest
		switch {
		case block.Type == "PRIVATE KEY" && key == nil:
			parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if err != nil {
				return nil, nil, fmt.Errorf("private key: %w", err)
			}
			k, ok := parsed.(*ecdsa.PrivateKey)
			if !ok || k.Curve != elliptic.P256() {
				return nil, nil, errors.New("private key is not ECDSA P-256")
			}
			key = k
		case block.Type == "CERTIFICATE" && root == nil:
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, nil, fmt.Errorf("certificate: %w", err)
			}
			root = c
		default:
			return nil, nil, fmt.Errorf("unexpected PEM block %q", block.Type)
		}
	}
	switch {
	case key == nil:
		return nil, nil, errors.New("has no private key")
	case root == nil:
		return nil, nil, errors.New("has no certificate")
	case !key.PublicKey.Equal(root.PublicKey):
		return nil, nil, errors.New("key and certificate do not belong together")
	case !root.IsCA || !root.BasicConstraintsValid:
		return nil, nil, errors.New("certificate is not a CA")
	case !root.PermittedDNSDomainsCritical || len(root.PermittedDNSDomains) == 0 || len(root.PermittedIPRanges) == 0:
		return nil, nil, errors.New("certificate has no critical name constraints, so it could sign for the whole internet")
	}
	return key, root, nil
}

// publishRoot keeps the public copy equal to the root itself.
func (ca *CA) publishRoot(log *slog.Logger) error {
	path := ca.RootFile()
	have, err := givenfile.ReadAgain(path, maxPEMFile) // What is no file is replaced.
	if err == nil && string(have) == string(ca.rootPEM) {
		return nil
	}
	if err == nil {
		log.Warn("the public copy of the root differed and was written again", "file", path)
	}
	return writeFile(path, ca.rootPEM, 0o644)
}

func damaged(path, why string) error {
	return fmt.Errorf("%w: %s: %s: restore it, or remove the directory to make a new root, which browsers must then trust",
		ErrDamaged, path, why)
}

func newSerial() (*big.Int, error) {
	b := make([]byte, 16)
	if _, err := rand.Read(b); err != nil {
		return nil, fmt.Errorf("make serial number: %w", err)
	}
	b[0] = b[0]&0x7f | 0x40 // Positive, and always 16 bytes long.
	return new(big.Int).SetBytes(b), nil
}
