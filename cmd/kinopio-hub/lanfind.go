package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/election/mdns"
	"github.com/kinopio-hub/kinopio-hub/v3/leaf"
	"github.com/kinopio-hub/kinopio-hub/v3/tlsca"
)

const (
	lanFind       = 5 * time.Second // For a leaf on the LAN to be heard and to answer.
	lanManifest   = 2 * time.Second // For its manifest.
	lanAsk        = 500 * time.Millisecond
	lanAtOnce     = 32  // Manifests that are asked for side by side.
	lanCandidates = 256 // Announcements that are followed up: anybody on the LAN may make more.
	manifestLimit = 64 << 10
)

// A lanFinder finds the leaf that leads a namespace on the LAN.
type lanFinder struct {
	namespace string
	tls       *tls.Config // whom to trust
	secrets   bool        // the leaf is shown credentials
	named     bool        // whom to trust was named by --ca-file
}

// find returns the URL of the leaf's WebSocket. Anybody on the LAN can say that he is one: what counts is a certificate that this
// machine trusts, for the host that is connected to.
func (f *lanFinder) find(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, lanFind)
	defer cancel()
	ears, err := mdns.Open(mdns.Config{QueryInterval: lanAsk})
	if err != nil {
		return "", &hinted{fmt.Errorf("look for a leaf of %q by multicast DNS: %w", f.namespace, err), "name a server: --server wss://leaf.local:8443"}
	}
	defer ears.Close()
	type outcome struct {
		url string
		err error
	}
	outcomes := make(chan outcome, lanCandidates)
	tried, running := map[string]bool{}, 0
	var why error
	for {
		select {
		case a, more := <-ears.Announcements():
			if !more {
				return "", f.notFound(why)
			}
			at := fmt.Sprint(a.Host, a.Address, a.Port, a.DiscoveryProtocol, a.Epoch)
			if a.Goodbye || a.Namespace != f.namespace || tried[at] || len(tried) >= lanCandidates || running >= lanAtOnce {
				continue
			}
			tried[at] = true
			running++
			go func() {
				url, err := f.ask(ctx, a.Leaf)
				outcomes <- outcome{url, err}
			}()
		case o := <-outcomes:
			running--
			if o.err == nil {
				return o.url, nil
			}
			if ctx.Err() == nil || why == nil {
				why = o.err
			}
		case <-ctx.Done():
			return "", f.notFound(why)
		}
	}
}

func (f *lanFinder) notFound(why error) error {
	var unknown x509.UnknownAuthorityError
	switch {
	case why == nil:
		return &hinted{fmt.Errorf("no leaf of %q was heard on the LAN within %v", f.namespace, lanFind),
			"see that kinopio-hub leaf auto runs there and that the network carries multicast, or name a server: --server"}
	case errors.As(why, &unknown):
		return &hinted{fmt.Errorf("the leaf of %q that was heard on the LAN cannot be trusted: %w", f.namespace, why),
			"take its root from that machine (kinopio-hub ca export > root.pem) and give --ca-file root.pem"}
	}
	return &hinted{fmt.Errorf("the leaf of %q that was heard on the LAN cannot be used: %w", f.namespace, why), "name a server: --server"}
}

// ask reads the manifest of a leaf that was announced.
func (f *lanFinder) ask(ctx context.Context, said mdns.Leaf) (string, error) {
	host := said.Host
	if host == "" {
		host = said.Address.String()
	}
	fail := func(format string, args ...any) (string, error) {
		return "", fmt.Errorf("%s: %w", host, fmt.Errorf(format, args...))
	}
	switch {
	case said.DiscoveryProtocol != "https":
		return fail("it has no TLS, so that nobody can tell whose it is; --server names it all the same")
	case !onLAN(said.Address):
		return fail("its address %v is not on a LAN", said.Address)
	case f.secrets && !f.named && !privateHost(host):
		return fail("it is shown no credentials, as others can have a certificate for a name of theirs: give --ca-file with its root, or --server")
	}
	ctx, cancel := context.WithTimeout(ctx, lanManifest)
	defer cancel()
	address := url.URL{Scheme: "https", Host: net.JoinHostPort(host, fmt.Sprint(said.Port)), Path: leaf.ManifestPath}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return fail("%w", err)
	}
	response, err := f.client(netip.AddrPortFrom(said.Address, said.Port)).Do(request)
	if inner, ok := errors.AsType[*url.Error](err); ok {
		err = inner.Err
	}
	if err != nil {
		return fail("its manifest: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fail("its manifest has the status %s", response.Status)
	}
	var m leaf.Manifest
	if err := json.NewDecoder(io.LimitReader(response.Body, manifestLimit)).Decode(&m); err != nil {
		return fail("its manifest: %w", err)
	}
	now := time.Now()
	if served, err := http.ParseTime(response.Header.Get("Date")); err == nil {
		now = served // Its clock has set the end, and judges it.
	}
	if err := f.check(&m, host, now); err != nil {
		return fail("its manifest: %w", err)
	}
	return m.WSSURL, nil
}

// check says why a manifest that host has served is not that of the leaf that leads.
func (f *lanFinder) check(m *leaf.Manifest, host string, now time.Time) error {
	expires, err := time.Parse(time.RFC3339, m.ExpiresAt)
	switch {
	case m.Version != "1":
		return fmt.Errorf("version %q: want \"1\"", m.Version)
	case err != nil:
		return fmt.Errorf("expiresAt: %w", err)
	case expires.Before(now.Truncate(time.Second)):
		return fmt.Errorf("it expired at %s", m.ExpiresAt)
	case m.DiscoveryNamespace != f.namespace:
		return fmt.Errorf("it is of %q", m.DiscoveryNamespace)
	case !m.IsLeader:
		return errors.New("it does not lead")
	}
	to, err := url.Parse(m.WSSURL)
	if err != nil || to.Scheme != "wss" || to.User != nil || !strings.EqualFold(to.Hostname(), host) {
		return fmt.Errorf("wssUrl %q: want a wss URL of %s", m.WSSURL, host)
	}
	return nil
}

// client connects to one address, whatever the host's name is.
func (f *lanFinder) client(to netip.AddrPort) *http.Client {
	var dialer net.Dialer
	return &http.Client{
		Transport: &http.Transport{
			DisableKeepAlives: true,
			TLSClientConfig:   f.tls.Clone(),
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, "tcp", to.String())
			},
			MaxResponseHeaderBytes: 16 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// onLAN: what somebody wrote into a datagram leads nowhere else.
func onLAN(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast()
}

// privateHost: for these no public authority signs.
func privateHost(host string) bool {
	if a, err := netip.ParseAddr(host); err == nil {
		return onLAN(a)
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "localhost" || strings.HasSuffix(host, ".local")
}

// lanTrust adds the root of this machine's own CA, if it has one, to the system's.
func lanTrust(getenv env) (*x509.CertPool, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool() // There is none on this system.
	}
	dir := getenv("KINOPIO_LEAF_CACHE_DIR")
	if dir == "" {
		if dir, err = os.UserCacheDir(); err != nil {
			return roots, nil // Nor can there be a CA.
		}
	}
	pem, err := os.ReadFile(filepath.Join(tlsca.Dir(dir), "root-ca.pem"))
	switch {
	case errors.Is(err, os.ErrNotExist):
		return roots, nil
	case err != nil:
		return nil, fmt.Errorf("read this machine's own root: %w", err)
	}
	roots.AppendCertsFromPEM(pem)
	return roots, nil
}
