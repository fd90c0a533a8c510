package leaf

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/tlsca"
)

const (
	// How often the caller's files are looked at for a new certificate.
	lookFiles = 10 * time.Second
	// After a certificate could not be renewed.
	renewAgain = time.Minute
)

// certificate is what both LAN listeners present. It can be replaced while they run:
// each handshake asks for the current one, and no connection is cut.
type certificate struct {
	current  atomic.Pointer[tls.Certificate]
	ca       *tlsca.CA // nil unless generated.
	certFile string    // Where the public chain of a generated one is left.

	mu     sync.Mutex
	status TLSStatus
	due    time.Time // When to look for a new one; zero: never.
	made   time.Time // When the current one was set.
	stamp  string    // What the caller's files were when they were read.
}

// openCertificate gets the certificate that the settings ask for, and leaves its
// public chain in the runtime directory. A generated key exists in memory only.
func openCertificate(s *settings, dir *runDir) (*certificate, error) {
	c := &certificate{certFile: dir.certFile()}
	switch {
	case s.NoWebSocketTLS:
		c.status = TLSStatus{Mode: TLSOff, Trust: trust(TrustSkipped, "TLS is off, so there is nothing to trust", false)}
		return c, nil
	case s.TLS.CertFile != "":
		c.status = TLSStatus{Mode: TLSProvided, CertFile: s.TLS.CertFile,
			Trust: trust(TrustExternal, "the certificate was given by the caller; whoever signed it must be trusted by the browsers", false)}
		if err := c.load(s); err != nil {
			return nil, &ConfigError{Field: "TLS", Value: s.TLS.CertFile, Problem: err.Error(), Err: err}
		}
		return c, nil
	}
	var err error
	if c.ca, err = openCA(s); err != nil {
		return nil, err
	}
	c.status = TLSStatus{Mode: TLSGenerated, CertFile: c.certFile, CACertFile: c.ca.RootFile(),
		Trust: trust(TrustSkipped, "no trust store was to be changed: kinopio-hub ca install does it, or add caCertFile to those of the browsers that shall use this leaf", true)}
	return c, c.issue(s)
}

// issue makes a certificate for where s says that the leaf is.
func (c *certificate) issue(s *settings) error {
	request := tlsca.Request{Hostname: s.AdvertisedHostname, IPs: certAddrs(s)}
	issued, err := c.ca.Issue(request)
	if errors.Is(err, tlsca.ErrExpired) { // Or the clock was wrong when the root was made.
		if c.ca, err = openCA(s); err == nil {
			issued, err = c.ca.Issue(request)
		}
	}
	if err != nil {
		return caError(s, err)
	}
	c.copyOut(s, issued.ChainPEM)
	begin := issued.TLS.Leaf.NotBefore
	due := begin.Add(issued.NotAfter.Sub(begin) * 2 / 3)
	if soon := time.Now().Add(renewAgain); due.Before(soon) {
		due = soon // One that is of no use is not made again all the time.
	}
	c.set(issued, due, "")
	return nil
}

func openCA(s *settings) (*tlsca.CA, error) {
	ca, err := tlsca.Open(tlsca.Dir(s.CacheDir), tlsca.Options{Hostnames: []string{s.AdvertisedHostname}, Logger: s.Logger})
	if err != nil {
		return nil, caError(s, err)
	}
	return ca, nil
}

// caError says which field an error of the CA is about: the name or address that it may not sign for,
// wherever that came from, or else the place where it is.
func caError(s *settings, err error) error {
	switch {
	case errors.Is(err, tlsca.ErrConstrained) && s.autoHost:
		return &ConfigError{Field: "LANBindAddress", Value: s.LANBindAddress, Problem: err.Error(), Err: err}
	case errors.Is(err, tlsca.ErrConstrained):
		return &ConfigError{Field: "AdvertisedHostname", Value: s.AdvertisedHostname, Problem: err.Error(), Err: err}
	case errors.Is(err, tlsca.ErrClock):
		return err
	}
	return &ConfigError{Field: "CacheDir", Value: s.CacheDir, Problem: err.Error(), Err: err}
}

// copyOut leaves the public chain in the runtime directory, for whoever wants to look. A disk
// that is full and a directory that was cleaned up keep nobody from a new certificate.
func (c *certificate) copyOut(s *settings, chain []byte) {
	err := os.MkdirAll(filepath.Dir(c.certFile), 0o700)
	if err == nil {
		err = replaceFile(c.certFile, chain, 0o644)
	}
	if err != nil {
		s.Logger.Warn("the copy of the certificate is not written", "error", err)
	}
}

// load reads the caller's files.
func (c *certificate) load(s *settings) error {
	stamp := fileStamp(s.TLS)
	given, err := tlsca.LoadProvided(s.TLS.CertFile, s.TLS.KeyFile, s.AdvertisedHostname)
	if err != nil {
		return err
	}
	c.set(given, time.Now().Add(lookFiles), stamp)
	return nil
}

func (c *certificate) set(cert *tlsca.Certificate, due time.Time, stamp string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.current.Store(&cert.TLS)
	c.status.NotAfter, c.status.Fingerprint, c.due, c.made, c.stamp = &cert.NotAfter, cert.Fingerprint, due, time.Now().Round(0), stamp
}

// keep renews what is due: a generated certificate at two thirds of its life, one of
// the caller's when its files have changed. On an error the old one stays, and it is
// tried again.
func (c *certificate) keep(s *settings) error {
	now := time.Now()
	c.mu.Lock()
	mode, due, stamp, again := c.status.Mode, c.due, c.stamp, c.made.Add(renewAgain)
	if now.Before(c.made) {
		again = now.Add(-1) // By a clock that has been set back since.
	}
	c.mu.Unlock()
	// A clock that was fast when the certificate was made has been set back.
	early := mode == TLSGenerated && now.Before(c.current.Load().Leaf.NotBefore) && now.After(again)
	if mode == TLSOff || now.Before(due) && !early {
		return nil
	}
	var err error
	if mode == TLSGenerated {
		err = c.issue(s)
	} else if fileStamp(s.TLS) != stamp {
		err = c.load(s)
	} else {
		c.later(now.Add(lookFiles))
	}
	if err != nil {
		c.later(now.Add(renewAgain))
		return fmt.Errorf("renew certificate: %w", err)
	}
	return nil
}

func (c *certificate) later(due time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.due = due
}

func (c *certificate) shown() TLSStatus {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.status
}

func trust(state TrustState, detail string, action bool) TrustStatus {
	return TrustStatus{State: state, Platform: runtime.GOOS, Strategy: "none", Detail: detail, RequiresUserAction: action}
}

// config for a listener, nil when TLS is off.
func (c *certificate) config() *tls.Config {
	if c.status.Mode == TLSOff { // The mode is constant.
		return nil
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current.Load(), nil },
	}
}

// fileStamp changes when one of the files does.
func fileStamp(f TLSFiles) string {
	stamp := ""
	for _, name := range []string{f.CertFile, f.KeyFile} {
		if info, err := os.Stat(name); err == nil {
			stamp += fmt.Sprint(info.ModTime().UnixNano(), " ", info.Size(), " ")
		}
	}
	return stamp
}

// replaceFile writes a file so that a reader sees the old or the new one.
func replaceFile(path string, data []byte, mode os.FileMode) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(data)
	err = errors.Join(err, tmp.Chmod(mode), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		os.Remove(tmp.Name())
	}
	return err
}

// certAddrs lists the addresses at which the LAN listeners can be reached: the one
// they bind, or all private ones of this machine when they bind all. Loopback is
// among them, for the browser on this machine.
func certAddrs(s *settings) []netip.Addr {
	addrs := []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
	// What listens at a public address, because that was asked for, is reached by its name.
	public := (lanAddr{addr: s.lan}).kind() < 0 && !s.lan.IsLoopback()
	if public && s.AdvertisedHostname != s.lan.String() {
		return addrs
	}
	if !s.lan.IsUnspecified() {
		return append([]netip.Addr{s.lan}, addrs...)
	}
	all, _ := net.InterfaceAddrs() // Without them: the advertised name and loopback.
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil && (lanAddr{addr: p.Addr().Unmap()}).kind() >= 0 {
			addrs = append(addrs, p.Addr())
		}
	}
	return addrs
}
