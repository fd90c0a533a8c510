package leaf

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"path/filepath"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
)

// wtTimes are those of certificates that browsers accept by their hash, at most two weeks from
// their first to their last moment (W3C WebTransport, "custom certificate requirements"), and of sessions.
type wtTimes struct {
	life time.Duration // From the first moment to the last.
	back time.Duration // So long before its use a certificate begins: clocks of others are slow.
	turn time.Duration // For so long it is the present one.
	idle time.Duration // Of silence, after which a peer is gone. Sleeping devices come back as new ones.
	ping time.Duration // Between the server's pings.
}

var wtUsual = wtTimes{life: 13 * 24 * time.Hour, back: 12 * time.Hour, turn: 4 * 24 * time.Hour, idle: 4 * time.Second, ping: pingInterval}

// wtCert is one certificate, and its SHA-256 as browsers are told it.
type wtCert struct {
	tls  tls.Certificate
	hash string // Base64.
	use  time.Time
}

// wtCerts are the certificate of the WebTransport listener and the one that will follow it, whose
// hash is published long before it is shown to anybody. They outlive the leaf in a file that only
// its user can read, so that hubs come back to a leaf that was started again; leaves that
// share a cache directory share them.
type wtCerts struct {
	times wtTimes
	file  string // "": they live as long as the leaf.
	log   *slog.Logger

	mu            sync.Mutex
	present, next *wtCert
}

// openWTCerts reads what is in dir, and makes what is missing. Without a directory that can be
// written the certificates live as long as the leaf.
func openWTCerts(dir string, times wtTimes, log *slog.Logger) (*wtCerts, error) {
	c := &wtCerts{times: times, log: log}
	if dir != "" {
		c.file = filepath.Join(dir, "webtransport.pem")
	}
	return c, c.keep(time.Now())
}

// keep makes the next certificate the present one when it is time, and a new next one.
func (c *wtCerts) keep(now time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.good(now, c.present, c.next) {
		return nil
	}
	unlock := c.readShared()
	defer unlock()
	if c.good(now, c.present, c.next) { // Another leaf was first.
		return nil
	}
	present, next := c.present, c.next
	if !c.usable(now, present) || !now.Before(present.use.Add(c.times.turn)) {
		present = nil
		if c.usable(now, next) && now.Before(next.use.Add(c.times.turn)) {
			present = next
		}
		next = nil
	}
	var err error
	if present == nil {
		if present, err = newWTCert(now, c.times); err != nil {
			return err
		}
	}
	if next == nil {
		if next, err = newWTCert(present.use.Add(c.times.turn), c.times); err != nil {
			return err
		}
	}
	c.present, c.next = present, next
	c.writeShared()
	return nil
}

// good says that nothing has to be made.
func (c *wtCerts) good(now time.Time, present, next *wtCert) bool {
	return c.usable(now, present) && next != nil && now.Before(present.use.Add(c.times.turn))
}

// usable says that a browser would accept it, also by a clock that differs a little.
func (c *wtCerts) usable(now time.Time, cert *wtCert) bool {
	if cert == nil {
		return false
	}
	leaf := cert.tls.Leaf
	return !now.Before(leaf.NotBefore) && now.Before(leaf.NotAfter.Add(-c.times.back/2)) &&
		leaf.NotAfter.Sub(leaf.NotBefore) <= c.times.life
}

// hashes are what browsers are told: those of the present and of the next certificate.
func (c *wtCerts) hashes() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return []string{c.present.hash, c.next.hash}
}

// shown is the certificate for a handshake of this moment.
func (c *wtCerts) shown() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &c.present.tls
}

// resetKey lets a leaf that was killed and started again, at the same port, tell its old sessions that they
// are over. It is as secret as the key that it is made of.
func (c *wtCerts) resetKey() *quic.StatelessResetKey {
	c.mu.Lock()
	defer c.mu.Unlock()
	private, err := c.present.tls.PrivateKey.(*ecdsa.PrivateKey).Bytes()
	if err != nil {
		return nil // They end by themselves, later.
	}
	key := quic.StatelessResetKey(sha256.Sum256(append([]byte("kinopio-hub stateless reset "), private...)))
	return &key
}

// config is for a QUIC listener.
func (c *wtCerts) config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS13,
		NextProtos:     []string{"h3"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.shown(), nil },
	}
}

// newWTCert makes a certificate that is used from use on: ECDSA with P-256, which every browser takes.
func newWTCert(use time.Time, times wtTimes) (*wtCert, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make WebTransport key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("make WebTransport certificate: %w", err)
	}
	begin := use.Add(-times.back).UTC().Truncate(time.Second)
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: "kinopio-hub leaf"},
		DNSNames:     []string{"kinopio-hub-leaf.local"},
		NotBefore:    begin,
		NotAfter:     begin.Add(times.life),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make WebTransport certificate: %w", err)
	}
	return readWTCert(der, key, times)
}

func readWTCert(der []byte, key *ecdsa.PrivateKey, times wtTimes) (*wtCert, error) {
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	if public, ok := leaf.PublicKey.(*ecdsa.PublicKey); !ok || key.Curve != elliptic.P256() || !public.Equal(key.Public()) {
		return nil, errors.New("key and certificate do not belong together")
	}
	sum := sha256.Sum256(der)
	return &wtCert{
		tls:  tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf},
		hash: base64.StdEncoding.EncodeToString(sum[:]),
		use:  leaf.NotBefore.Add(times.back),
	}, nil
}
