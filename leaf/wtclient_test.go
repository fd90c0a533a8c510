package leaf

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/webtransport-go"
)

var errWrongHash = errors.New("the certificate has another hash")

// wtDialer opens sessions as a page does: it trusts the hashes of the manifest, and nothing else.
type wtDialer struct {
	at     WebTransport
	header http.Header
	idle   time.Duration
	opened func(*webtransport.Session) // Called with each session, if not nil.
}

func manifestWT(t *testing.T, l *Leaf) WebTransport {
	t.Helper()
	m := l.Manifest()
	if m == nil || len(m.WebTransport) == 0 {
		t.Fatalf("the manifest has no WebTransport: %+v", m)
	}
	return m.WebTransport[0]
}

func (d wtDialer) session(ctx context.Context) (*http.Response, *webtransport.Session, error) {
	tr := &webtransport.Transport{
		TLSClientConfig: &tls.Config{
			InsecureSkipVerify: true,
			NextProtos:         []string{"h3"},
			VerifyConnection: func(c tls.ConnectionState) error {
				sum := sha256.Sum256(c.PeerCertificates[0].Raw)
				if !slices.Contains(d.at.CertificateHashes, base64.StdEncoding.EncodeToString(sum[:])) {
					return errWrongHash
				}
				return nil
			},
		},
		QUICConfig: &quic.Config{EnableDatagrams: true, EnableStreamResetPartialDelivery: true, MaxIdleTimeout: d.idle},
	}
	return tr.Dial(ctx, d.at.URL, d.header)
}

// Dial is for nats.go, which names an address that means nothing here.
func (d wtDialer) Dial(_, _ string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, session, err := d.session(ctx)
	if err != nil {
		return nil, err
	}
	if d.opened != nil {
		d.opened(session)
	}
	stream, err := session.AcceptStream(ctx)
	if err != nil {
		_ = session.CloseWithError(0, "")
		return nil, err
	}
	return &wtTestConn{stream, session}, nil
}

func (wtDialer) SkipTLSHandshake() bool { return true }

type wtTestConn struct {
	*webtransport.Stream
	session *webtransport.Session
}

func (c *wtTestConn) LocalAddr() net.Addr  { return c.session.LocalAddr() }
func (c *wtTestConn) RemoteAddr() net.Addr { return c.session.RemoteAddr() }
func (c *wtTestConn) Close() error {
	_ = c.Stream.Close()
	return c.session.CloseWithError(0, "")
}

// connectWT is a NATS client over WebTransport.
func connectWT(t *testing.T, l *Leaf, options ...nats.Option) *nats.Conn {
	t.Helper()
	return connect(t, "nats://leaf", append([]nats.Option{nats.SetCustomDialer(wtDialer{at: manifestWT(t, l)})}, options...)...)
}
