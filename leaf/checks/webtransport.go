package checks

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net"
	"net/url"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/quic-go/quic-go"

	"github.com/kinopio-hub/kinopio-hub/v3/leaf"
)

const (
	mostLooked = 4  // leaves whose ways are looked at
	mostWays   = 8  // of each
	hashLife   = 14 // days: browsers take no certificate by its hash that lives for longer
)

// webTransport is about the ways of pages that trust no CA: whether the address answers by UDP, and shows a certificate
// whose hash the manifest has. All are looked at side by side, within Wait.
func (r *run) webTransport(ctx context.Context, answers []*nats.Msg) Check {
	const name = "webtransport"
	if len(answers) == 0 {
		return Check{name, Skipped, "there is no answer", ""}
	}
	ctx, cancel := context.WithTimeout(ctx, r.Wait)
	defer cancel()
	looked, found := 0, make(chan Check)
	for _, m := range answers[:min(len(answers), mostLooked)] {
		manifest, err := manifestOf(m)
		if err != nil {
			return Check{name, Skipped, err.Error(), ""} // another check says what to do
		}
		if len(manifest.WebTransport) == 0 {
			return Check{name, Warning, manifest.NodeID + " has no WebTransport: pages that do not trust its CA do not come to it", "see webTransport.error of its status, and start it without --no-webtransport"}
		}
		for _, way := range manifest.WebTransport[:min(len(manifest.WebTransport), mostWays)] {
			looked++
			go func() { found <- lookAt(ctx, name, manifest, way) }()
		}
	}
	var all []Check
	for range looked {
		all = append(all, <-found)
	}
	slices.SortFunc(all, func(a, b Check) int { return severity(a.State) - severity(b.State) })
	if len(all) > 1 && all[0].State == OK {
		good := slices.IndexFunc(append(slices.Clone(all), Check{}), func(c Check) bool { return c.State != OK })
		all[0].Detail = fmt.Sprintf("%d of %d addresses answer with a certificate of the manifest", good, len(all))
	}
	return all[0]
}

// severity orders what is told, the worst first. That an address was not reached says less than that another one was.
func severity(s State) int { return slices.Index([]State{Fault, Warning, OK, Skipped}, s) }

func lookAt(ctx context.Context, name string, manifest *leaf.Manifest, way leaf.WebTransport) Check {
	who := fmt.Sprintf("%s at %s", manifest.NodeID, way.URL)
	u, err := url.Parse(way.URL)
	if err != nil || u.Scheme != "https" || u.Port() == "" {
		return Check{name, Fault, fmt.Sprintf("the manifest of %s names %q for WebTransport, which is no https URL with a port", manifest.NodeID, way.URL), "somebody else than a leaf answers"}
	}
	shown, err := certificateAt(ctx, u.Host)
	if err != nil {
		return silent(ctx, name, who, manifest, err)
	}
	sum := sha256.Sum256(shown.Raw)
	hash := base64.StdEncoding.EncodeToString(sum[:])
	now := time.Now()
	switch {
	case !slices.Contains(way.CertificateHashes, hash):
		return Check{name, Fault, fmt.Sprintf("%s shows the certificate %s, made for use from %s on, and its manifest has the hashes %q", who, hash, shown.NotBefore.UTC().Format(time.RFC3339), way.CertificateHashes),
			"the hashes are too old, or another leaf has that address now: hand on the manifest that the leaf has now (it renews them every few days), and let nobody cache it"}
	case now.Before(shown.NotBefore) || now.After(shown.NotAfter):
		return Check{name, Fault, fmt.Sprintf("%s shows a certificate that is good from %s to %s; here it is %s", who, shown.NotBefore.UTC().Format(time.RFC3339), shown.NotAfter.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339)), "set the clocks of the leaf and of this machine"}
	case shown.NotAfter.Sub(shown.NotBefore) > hashLife*24*time.Hour:
		return Check{name, Fault, fmt.Sprintf("%s shows a certificate that lives for %v: browsers take none by its hash that lives for more than %d days", who, shown.NotAfter.Sub(shown.NotBefore), hashLife), "let the leaf make its own"}
	}
	return Check{name, OK, who + " answers with a certificate of the manifest", ""}
}

// silent says why an address may not have answered: a firewall, or it is elsewhere.
func silent(ctx context.Context, name, who string, manifest *leaf.Manifest, cause error) Check {
	if u, err := url.Parse(manifest.WSSURL); err == nil {
		// The time is over by now: this has one of its own.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		if c, err := (&net.Dialer{}).DialContext(ctx, "tcp", u.Host); err == nil {
			_ = c.Close()
			return Check{name, Fault, fmt.Sprintf("%s does not answer by UDP (%v), and %s does by TCP", who, cause, manifest.WSSURL), "let firewalls on the leaf's machine and in between pass UDP to that port; pages that trust the leaf's CA come by WebSocket meanwhile"}
		}
	}
	return Check{name, Skipped, fmt.Sprintf("%s cannot be reached from this machine, by UDP or by TCP: it is in another LAN, or gone", who), ""}
}

// certificateAt is what a QUIC server shows. Nothing is sent to it but the handshake.
func certificateAt(ctx context.Context, address string) (shown *x509.Certificate, err error) {
	config := &tls.Config{
		InsecureSkipVerify: true, // it is looked at here, and by its hash
		NextProtos:         []string{"h3"},
		VerifyConnection: func(c tls.ConnectionState) error {
			shown = c.PeerCertificates[0]
			return nil
		},
	}
	conn, err := quic.DialAddr(ctx, address, config, nil)
	if err != nil {
		return nil, err
	}
	return shown, conn.CloseWithError(0x100, "") // H3_NO_ERROR
}
