package leaf

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/gofrs/flock"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/givenfile"
)

const wtLockPatience = 2 * time.Second

// readShared takes what is in the file, and keeps other leaves out of it until unlock.
func (c *wtCerts) readShared() (unlock func()) {
	if c.file == "" {
		return func() {}
	}
	dir := filepath.Dir(c.file)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return c.alone(err)
	}
	for _, path := range []string{c.file, c.file + ".lock"} {
		if err := regular(path); err != nil {
			return c.alone(err)
		}
	}
	lock := flock.New(c.file+".lock", flock.SetFlag(os.O_CREATE|os.O_RDWR|safely), flock.SetPermissions(0o600))
	deadline := time.Now().Add(wtLockPatience)
	for {
		ok, err := lock.TryLock()
		if ok {
			break
		}
		if err == nil && time.Now().Before(deadline) {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		lock.Close()
		if err == nil {
			err = fmt.Errorf("another process holds %s for %v", lock.Path(), wtLockPatience)
		}
		return c.alone(err)
	}
	data, err := readPrivate(c.file)
	switch {
	case errors.Is(err, os.ErrNotExist):
	case err != nil:
		c.log.Warn("the WebTransport certificates are made anew", "error", err)
	default:
		present, next, err := parseWTCerts(data, c.times)
		if err != nil {
			c.log.Warn("the WebTransport certificates are made anew", "file", c.file, "error", err)
			break
		}
		c.present, c.next = present, next
	}
	return func() { lock.Close() }
}

// alone goes on without the file.
func (c *wtCerts) alone(err error) func() {
	c.log.Warn("the WebTransport certificates are not kept: hubs that were here learn of new ones when this leaf is started again", "error", err)
	c.file = ""
	return func() {}
}

// readPrivate reads a file with a key, which nobody else may read.
func readPrivate(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("%s may be read by others (mode %v)", path, info.Mode().Perm())
	}
	return givenfile.ReadAgain(path, mostGiven)
}

func (c *wtCerts) writeShared() {
	if c.file == "" {
		return
	}
	var data []byte
	for _, cert := range []*wtCert{c.present, c.next} {
		key, err := x509.MarshalPKCS8PrivateKey(cert.tls.PrivateKey)
		if err != nil {
			c.alone(err)
			return
		}
		data = append(data, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.tls.Certificate[0]})...)
		data = append(data, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})...)
	}
	if err := replaceFile(c.file, data, 0o600); err != nil {
		c.log.Warn("the WebTransport certificates are not written", "error", err)
	}
}

// parseWTCerts reads the present and the next certificate, each followed by its key.
func parseWTCerts(data []byte, times wtTimes) (present, next *wtCert, err error) {
	var certs []*wtCert
	for len(certs) < 2 {
		var cert, key *pem.Block
		cert, data = pem.Decode(data)
		key, data = pem.Decode(data)
		if cert == nil || key == nil || cert.Type != "CERTIFICATE" || key.Type != "PRIVATE KEY" {
			return nil, nil, errors.New("want two certificates, each followed by its key")
		}
		private, err := x509.ParsePKCS8PrivateKey(key.Bytes)
		if err != nil {
			return nil, nil, err
		}
		ec, ok := private.(*ecdsa.PrivateKey)
		if !ok {
			return nil, nil, errors.New("want ECDSA keys")
		}
		one, err := readWTCert(cert.Bytes, ec, times)
		if err != nil {
			return nil, nil, err
		}
		certs = append(certs, one)
	}
	return certs[0], certs[1], nil
}
