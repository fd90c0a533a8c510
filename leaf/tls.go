package leaf

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync/atomic"

	"github.com/kinopio-hub/kinopio-hub/tlsca"
)

// certificate is what both LAN listeners present. It can be replaced while they run:
// each handshake asks for the current one.
type certificate struct {
	current atomic.Pointer[tls.Certificate]
	status  TLSStatus
}

// openCertificate gets the certificate that the settings ask for, and leaves its
// public chain in the runtime directory. A generated key exists in memory only.
func openCertificate(s *settings, dir *runDir) (*certificate, error) {
	c := &certificate{}
	switch {
	case s.NoWebSocketTLS:
		c.status = TLSStatus{Mode: TLSOff, Trust: trust(TrustSkipped, "TLS is off, so there is nothing to trust", false)}
		return c, nil

	case s.TLS.CertFile != "":
		given, err := tlsca.LoadProvided(s.TLS.CertFile, s.TLS.KeyFile, s.AdvertisedHostname)
		if err != nil {
			return nil, err
		}
		c.status = TLSStatus{Mode: TLSProvided, CertFile: s.TLS.CertFile, NotAfter: &given.NotAfter,
			Trust: trust(TrustExternal, "the certificate was given by the caller; whoever signed it must be trusted by the browsers", false)}
		c.current.Store(&given.TLS)
		return c, nil
	}

	ca, err := tlsca.Open(tlsca.Dir(s.CacheDir), tlsca.Options{Hostnames: []string{s.AdvertisedHostname}, Logger: s.Logger})
	if err != nil {
		return nil, fmt.Errorf("AdvertisedHostname %q: %w", s.AdvertisedHostname, err)
	}
	issued, err := ca.Issue(tlsca.Request{Hostname: s.AdvertisedHostname, IPs: certAddrs(s)})
	if err != nil {
		return nil, fmt.Errorf("LANBindAddress %q: %w", s.LANBindAddress, err)
	}
	if err := os.WriteFile(dir.certFile(), issued.ChainPEM, 0o644); err != nil {
		return nil, fmt.Errorf("write certificate: %w", err)
	}
	detail := "this version does not change trust stores: add caCertFile to those of the browsers that shall use this leaf"
	if s.SkipTrustInstall {
		detail = "switched off by the caller: add caCertFile to the trust stores of the browsers that shall use this leaf"
	}
	c.status = TLSStatus{Mode: TLSGenerated, CertFile: dir.certFile(), CACertFile: ca.RootFile(), NotAfter: &issued.NotAfter,
		Trust: trust(TrustSkipped, detail, true)}
	c.current.Store(&issued.TLS)
	return c, nil
}

func trust(state TrustState, detail string, action bool) TrustStatus {
	return TrustStatus{State: state, Platform: runtime.GOOS, Strategy: "none", Detail: detail, RequiresUserAction: action}
}

// config for a listener, nil when TLS is off.
func (c *certificate) config() *tls.Config {
	if c.status.Mode == TLSOff {
		return nil
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.current.Load(), nil },
	}
}

// certAddrs lists the addresses at which the LAN listeners can be reached: the one
// they bind, or all private ones of this machine when they bind all. Loopback is
// among them, for the browser on this machine.
func certAddrs(s *settings) []netip.Addr {
	addrs := []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
	if !s.lan.IsUnspecified() {
		return append([]netip.Addr{s.lan}, addrs...)
	}
	all, _ := net.InterfaceAddrs() // Without them: the advertised name and loopback.
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Unmap().IsPrivate() {
			addrs = append(addrs, p.Addr())
		}
	}
	return addrs
}
