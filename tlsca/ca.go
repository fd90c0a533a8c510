package tlsca

import (
	"cmp"
	"context"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/filelock"
)

const (
	keyFileName  = "root-ca-key.pem"
	rootFileName = "root-ca.pem"
	lockFileName = "root-ca.lock"

	lockWait  = 10 * time.Second
	lockRetry = 5 * time.Millisecond
)

// The causes that callers may branch on, with errors.Is.
var (
	// ErrDamaged: a file of the CA is there but cannot be used. It is never replaced
	// by itself, because a new root has to be trusted anew; remove the directory to
	// start again.
	ErrDamaged = errors.New("damaged CA file")
	// ErrLinked: a link stands where a file of the CA should be. It is not followed, as what it
	// leads to may be replaced by others.
	ErrLinked = errors.New("a link in the place of a CA file")
	// ErrConstrained: a name or address that the root may not sign for.
	ErrConstrained = errors.New("outside the name constraints of the root")
	// ErrExpired: the root's ten years, or a given certificate's life, are over; or the root
	// was made by a clock that was wrong. Opening the CA again makes a new root.
	ErrExpired = errors.New("certificate has expired")
	// ErrClock: this machine's clock shows a time before this program was made, so no root
	// can be made.
	ErrClock = errors.New("this machine's clock is wrong")
)

// Options of [Open]. The zero value is useful.
type Options struct {
	// Hostnames are DNS names that certificates will be issued for, beside localhost,
	// names below .local and this machine's name. They are written into a new root's
	// constraints; a root that exists must already cover them. IP addresses here are
	// ignored unless they are outside the private ranges, which is an error.
	Hostnames []string

	// Logger hears about a new root and about repaired file modes. nil is silent.
	Logger *slog.Logger
}

// CA is an opened root. It is safe for concurrent use and needs no closing.
type CA struct {
	dir     string
	root    *x509.Certificate
	rootPEM []byte
	key     *ecdsa.PrivateKey
}

// Dir is where, below the cache directory of a user or of an application, the leaf's
// CA lives: <cacheRoot>/kinopio-hub/leaf-ca.
func Dir(cacheRoot string) string {
	return filepath.Join(cacheRoot, "kinopio-hub", "leaf-ca")
}

// Open returns the root kept in dir, making the directory and the root when they are
// not there. Any number of goroutines and processes may open one directory at the
// same time; they get the same root.
//
// A root whose time is over, that was made by a wrong clock, or that may sign for more than
// roots made now, is replaced by a new one, which must then be trusted anew; its certificate
// (not its key) is kept until [CA.InstallTrust] or [CA.RemoveTrust] has taken it out of the
// trust stores.
//
// Errors wrap [ErrDamaged], [ErrLinked], [ErrClock] or [ErrConstrained] where that is the cause.
func Open(dir string, o Options) (*CA, error) {
	if dir == "" {
		return nil, errors.New("open CA: directory is empty: give an absolute path, such as tlsca.Dir(cacheRoot)")
	}
	log := o.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	if err := privateDir(dir, log); err != nil {
		return nil, fmt.Errorf("open CA %s: %w", dir, err)
	}
	lock, keepable, err := hold(dir, log)
	if err != nil {
		return nil, fmt.Errorf("open CA %s: %w", dir, err)
	}
	defer lock.Release()

	ca, err := load(dir, log)
	switch {
	case errors.Is(err, os.ErrNotExist) && keepable != nil:
		err = keepable
	case errors.Is(err, os.ErrNotExist):
		ca, err = create(dir, o.Hostnames, log)
	case err == nil && keepable == nil:
		why := cmp.Or(untimely(ca.root, time.Now()), unlimited(ca.root))
		if why != "" && !time.Now().Before(earliest()) {
			ca, err = ca.replace(why, o.Hostnames, log)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open CA %s: %w", dir, err)
	}
	if err := ca.publishRoot(log); err != nil { // A copy: the root itself is there.
		log.Warn("the public copy of the root is not written", "error", err)
	}
	for _, h := range o.Hostnames {
		if err := ca.Permits(h); err != nil {
			return nil, fmt.Errorf("open CA %s: %w", dir, err)
		}
	}
	return ca, nil
}

// hold takes the directory's lock. Where nothing can be written, keepable says so: the root that is
// there is good enough. Where the system locks no files, others may make a root at the same time.
func hold(dir string, log *slog.Logger) (lock *filelock.Lock, keepable, err error) {
	lock = filelock.New(filepath.Join(dir, lockFileName), 0)
	ctx, cancel := context.WithTimeout(context.Background(), lockWait)
	defer cancel()
	switch err := lock.Wait(ctx, lockRetry); {
	case errors.Is(err, context.DeadlineExceeded):
		return nil, nil, fmt.Errorf("lock %s: another process has held it for %v", lockFileName, lockWait)
	case unwritable(err):
		log.Warn("the CA's directory cannot be written; the root in it is used as it is", "dir", dir, "error", err)
		return lock, err, nil
	case err != nil:
		return nil, nil, fmt.Errorf("lock %s: %w", lockFileName, err)
	}
	if why := lock.Missing(); why != nil {
		log.Warn("nothing keeps other programs from this CA's files while this one makes a root", "dir", dir, "error", why)
	}
	return lock, nil, nil
}

// unwritable tells whether an error is that of a place where this user can write nothing now.
func unwritable(err error) bool {
	return errors.Is(err, syscall.EROFS) || errors.Is(err, os.ErrPermission) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// RootPEM returns a copy of the root certificate, PEM encoded.
func (ca *CA) RootPEM() []byte { return append([]byte(nil), ca.rootPEM...) }

// RootFile is the path of the root certificate without its key: the file to add to a
// trust store.
func (ca *CA) RootFile() string { return filepath.Join(ca.dir, rootFileName) }

// Root returns the root certificate. It must not be changed.
func (ca *CA) Root() *x509.Certificate { return ca.root }

// Fingerprint is the lower-case hexadecimal SHA-256 of the root certificate.
func (ca *CA) Fingerprint() string { return fingerprint(ca.root.Raw) }

// NotAfter is when the root ends.
func (ca *CA) NotAfter() time.Time { return ca.root.NotAfter }

func fingerprint(der []byte) string {
	sum := sha256.Sum256(der)
	return hex.EncodeToString(sum[:])
}

func certPEM(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
