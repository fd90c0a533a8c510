package election

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"
)

const (
	probeTimeout  = 1500 * time.Millisecond
	verifyTimeout = 1500 * time.Millisecond
	manifestLimit = 64 << 10
	holdAgain     = time.Second
	refusals      = 2 // Running, as a listener may be replaced.
	refusedAgain  = 10 * time.Millisecond
	manifestPath  = "/.well-known/kinopio-leader.json"
)

// verifier looks whether the leaf that a record speaks of is there and leads.
type verifier struct {
	namespace string
	client    *http.Client
}

func newVerifier(namespace string) *verifier {
	return &verifier{namespace, &http.Client{
		Timeout: verifyTimeout,
		Transport: &http.Transport{
			DisableKeepAlives: true,
			DialContext:       (&net.Dialer{Control: lanOnly}).DialContext,
			// It is not asked who signed for the leaf: browsers are, when they connect. What is
			// asked is whether something there speaks for this node.
			TLSClientConfig:        &tls.Config{InsecureSkipVerify: true},
			MaxResponseHeaderBytes: 16 << 10,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// lanOnly keeps what somebody wrote into a datagram from making us connect to the internet.
func lanOnly(_, address string, _ syscall.RawConn) error {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return err
	}
	ip = ip.Unmap().WithZone("")
	if ip.IsPrivate() || ip.IsLoopback() || ip.IsLinkLocalUnicast() || sharedAddresses.Contains(ip) || onLink(ip) {
		return nil
	}
	return fmt.Errorf("%s is not on this LAN", host)
}

// sharedAddresses are those behind a carrier's NAT (RFC 6598).
var sharedAddresses = netip.MustParsePrefix("100.64.0.0/10")

// onLink: some LANs have public addresses; those of this machine's own networks are no internet.
func onLink(ip netip.Addr) bool {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return false
	}
	for _, a := range addresses {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Bits() > 0 && p.Contains(ip) {
			return true
		}
	}
	return false
}

// mostWhy bounds what is told of why a leader was not confirmed: some of that is what somebody else has written.
const mostWhy = 300

// verify is read, with an error that can be printed.
func (v *verifier) verify(ctx context.Context, m *Manifest, proven string) (*Manifest, error) {
	found, err := v.read(ctx, m, proven)
	if err != nil {
		why := strings.Map(func(r rune) rune {
			if unprintable(r) {
				return '\uFFFD'
			}
			return r
		}, err.Error())
		if len(why) > mostWhy-len("…") {
			why = strings.ToValidUTF8(why[:mostWhy-len("…")], "") + "…"
		}
		return nil, errors.New(why)
	}
	return found, nil
}

// read reads the manifest of m's leaf, compares, and returns it. It may say whom to trust if that has the digest that was
// proven, or if this machine trusts who has served it.
func (v *verifier) read(ctx context.Context, m *Manifest, proven string) (*Manifest, error) {
	u, err := url.Parse(m.DiscoveryURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Path != manifestPath || u.User != nil {
		return nil, errors.New("its discoveryUrl is none")
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	response, err := v.client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("its manifest has the status %s", response.Status)
	}
	var is Manifest
	if err := json.NewDecoder(io.LimitReader(response.Body, manifestLimit)).Decode(&is); err != nil {
		return nil, fmt.Errorf("its manifest: %w", err)
	}
	if err := is.check(); err != nil {
		return nil, fmt.Errorf("its manifest: %w", err)
	}
	if err := is.oneHost(u); err != nil {
		return nil, fmt.Errorf("its manifest: %w", err)
	}
	if is.NodeID != m.NodeID || is.DiscoveryNamespace != v.namespace || !is.IsLeader {
		return nil, fmt.Errorf("its manifest is that of %q in %q, leading: %v", is.NodeID, is.DiscoveryNamespace, is.IsLeader)
	}
	if said := is.reach(); said.digest() != proven && !trusted(response.TLS, u.Hostname()) {
		is.setReach(reach{})
	}
	if a, err := netip.ParseAddr(u.Hostname()); err == nil {
		is.inZone(a.Zone())
	}
	return &is, nil
}

// either verifies the first of two manifests of one node that is there; known may be nil.
func (v *verifier) either(ctx context.Context, known, said *Manifest, proven string) (*Manifest, error) {
	if known == nil || known.DiscoveryURL == said.DiscoveryURL {
		return v.verify(ctx, said, proven)
	}
	type answer struct {
		found *Manifest
		err   error
	}
	elsewhere := make(chan answer, 1)
	go func() { // Ends with ctx, and is waited for.
		found, err := v.verify(ctx, said, proven)
		elsewhere <- answer{found, err}
	}()
	found, err := v.verify(ctx, known, proven)
	other := <-elsewhere
	if err == nil {
		return found, nil
	}
	return other.found, other.err
}

// oneHost: a manifest speaks of the host that it was read at, of nobody else, and of no
// weaker protection than it was itself served with.
func (m *Manifest) oneHost(at *url.URL) error {
	if m.WSSURL == "" && m.WebsocketURL == "" {
		return errors.New("wssUrl is missing")
	}
	for _, field := range []struct{ name, value, plain, secure string }{
		{"discoveryUrl", m.DiscoveryURL, "http", "https"},
		{"wssUrl", m.WSSURL, "ws", "wss"},
		{"websocketUrl", m.WebsocketURL, "ws", "wss"},
	} {
		u, err := url.Parse(field.value)
		switch {
		case field.value == "" && field.name != "discoveryUrl": // One of the two is enough.
		case err != nil || u.User != nil || u.Scheme != field.plain && u.Scheme != field.secure || u.Hostname() == "":
			return fmt.Errorf("%s is no %s URL", field.name, field.secure)
		case !strings.EqualFold(bare(u.Hostname()), bare(at.Hostname())):
			return fmt.Errorf("%s has the host %s, and the manifest is that of %s", field.name, u.Hostname(), at.Hostname())
		case at.Scheme == "https" && u.Scheme != field.secure:
			return fmt.Errorf("%s is %s, and the manifest was served with TLS", field.name, u.Scheme)
		}
	}
	return nil
}

// hold keeps a connection to a leader until ctx ends, and returns true when its death is
// proven: the connection broke, and its host, which lives, refuses another.
func hold(ctx context.Context, m *Manifest) bool {
	u, err := url.Parse(m.DiscoveryURL)
	if err != nil {
		return false
	}
	dialer := &net.Dialer{Timeout: probeTimeout, Control: lanOnly}
	held, refused := false, 0
	wait := func(d time.Duration) {
		select {
		case <-ctx.Done():
		case <-time.After(d):
		}
	}
	for ctx.Err() == nil {
		conn, err := dialer.DialContext(ctx, "tcp", u.Host)
		if err != nil {
			if held && errors.Is(err, syscall.ECONNREFUSED) {
				if refused++; refused == refusals {
					return true
				}
				wait(refusedAgain)
				continue
			}
			wait(holdAgain)
			continue
		}
		held, refused = true, 0
		began := time.Now()
		unblock := context.AfterFunc(ctx, func() { conn.Close() })
		_, _ = io.Copy(io.Discard, io.LimitReader(conn, 1<<20)) // However it ends, it has ended.
		unblock()
		conn.Close()
		if time.Since(began) < holdAgain && ctx.Err() == nil {
			wait(refusedAgain) // Somebody who accepts and ends is asked in measure.
		}
	}
	return false
}
