package leaf

import (
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/kinopio-hub/kinopio-hub/v3/tlsca"
)

// serial of the certificate that a new client is shown.
func serial(t *testing.T, l *Leaf) string {
	t.Helper()
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", at(l.Status().Ports.WebSocket), trusting(t, l))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].SerialNumber.String()
}

// crowd connects many clients by WebSocket. Each calls gone when its connection ends.
func crowd(t *testing.T, l *Leaf, gone func()) []*nats.Conn {
	t.Helper()
	clients := 1000 // As make leaf-test runs it.
	if raceDetector {
		clients = 100 // Each costs 25 times as much there.
	}
	url, secure := l.Status().WSSURL, nats.Secure(trusting(t, l))
	conns := make([]*nats.Conn, clients)
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := worker; i < clients; i += 8 {
				nc, err := nats.Connect(url, secure, nats.NoReconnect(), nats.Timeout(patience),
					nats.DisconnectErrHandler(func(*nats.Conn, error) { gone() }))
				if err != nil {
					t.Error(err)
					return
				}
				conns[i] = nc
			}
		})
	}
	wg.Wait()
	t.Cleanup(func() {
		for _, nc := range conns {
			if nc != nil {
				nc.Close()
			}
		}
	})
	if t.Failed() {
		t.FailNow()
	}
	return conns
}

func TestRenewalCutsNoClient(t *testing.T) {
	l, seen := startLeaf(t, config(t))
	s := l.Status()
	var cut atomic.Int32
	conns := crowd(t, l, func() { cut.Add(1) })
	before, begin := serial(t, l), time.Now()
	l.cert.later(time.Now())
	l.nudge()
	seen.await(t, "another certificate", func(now Status) bool { return now.TLS.Fingerprint != s.TLS.Fingerprint })
	if serial(t, l) == before {
		t.Error("a new client is shown the old certificate")
	}
	for _, nc := range conns {
		if err := nc.FlushTimeout(patience); err != nil {
			t.Error(err)
		}
	}
	if n := cut.Load(); n > 0 {
		t.Errorf("%d of %d clients were cut", n, len(conns))
	}
	t.Logf("%d clients, %d cut; a new one and an answer to each after %v", len(conns), cut.Load(), time.Since(begin).Round(time.Millisecond))
}

func TestCertificateIsRenewedAtTwoThirdsOfItsLife(t *testing.T) {
	cache, run := t.TempDir(), t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))) // The bubble's clock begins at 2000, when no root is made.
		s, err := Config{DiscoveryNamespace: "test", LANBindAddress: "127.0.0.1", CacheDir: cache}.normalize()
		if err != nil {
			t.Fatal(err)
		}
		c, err := openCertificate(s, &runDir{path: run})
		if err != nil {
			t.Fatal(err)
		}
		first := c.current.Load()
		keep := func() *tls.Certificate {
			t.Helper()
			if err := c.keep(s); err != nil {
				t.Fatal(err)
			}
			return c.current.Load()
		}
		time.Sleep(tlsca.Lifetime*2/3 - 2*time.Hour) // The bubble's clock: no time passes.
		if keep() != first {
			t.Error("renewed too early")
		}
		time.Sleep(2 * time.Hour)
		second := keep()
		if second == first {
			t.Fatal("not renewed")
		}
		if left := time.Until(second.Leaf.NotAfter); left < tlsca.Lifetime-2*time.Hour {
			t.Errorf("the new one lives for %v", left)
		}
		if keep() != second {
			t.Error("renewed twice")
		}

		good := s.AdvertisedHostname // One that cannot be signed for is tried again later.
		s.AdvertisedHostname = "8.8.8.8"
		time.Sleep(tlsca.Lifetime * 2 / 3)
		if err := c.keep(s); err == nil {
			t.Error("no error")
		}
		if keep() != second {
			t.Error("tried again at once")
		}
		s.AdvertisedHostname = good
		time.Sleep(2 * renewAgain)
		if keep() == second {
			t.Error("not tried again")
		}
	})
}

func TestCertificateOfTheCallerIsReadAgainWhenItsFileChanges(t *testing.T) {
	dir := t.TempDir()
	ca, err := tlsca.Open(filepath.Join(dir, "ca"), tlsca.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := config(t)
	c.TLS = TLSFiles{CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem")}
	first := provide(t, ca, c.TLS)
	l, seen := startLeaf(t, c)
	second := provide(t, ca, c.TLS)
	l.cert.later(time.Now())
	l.nudge()
	seen.await(t, "the new certificate", func(s Status) bool { return s.TLS.Fingerprint == second.Fingerprint })
	if first.Fingerprint == second.Fingerprint {
		t.Fatal("the test made one certificate")
	}

	os.WriteFile(c.TLS.KeyFile, []byte("half a k"), 0o600) // As it is while somebody copies it.
	l.cert.later(time.Now())
	l.nudge()
	seen.await(t, "the reason", func(s Status) bool { return strings.Contains(s.LastError, "renew certificate") })
	if l.Status().TLS.Fingerprint != second.Fingerprint {
		t.Error("the good certificate is gone")
	}
}

// systemd-tmpfiles removes what was not touched for days, and disks are full at times. The copy of the
// certificate is for people who want to look.
func TestRenewalNeedsNoRuntimeDirectory(t *testing.T) {
	for name, spoil := range map[string]func(dir string) error{
		"cleaned up": os.RemoveAll,
		"no place for a directory": func(dir string) error {
			if err := os.RemoveAll(dir); err != nil {
				return err
			}
			return os.WriteFile(dir, nil, 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := config(t)
			l, seen := startLeaf(t, c)
			s := l.Status()
			if err := spoil(c.RuntimeDir); err != nil {
				t.Fatal(err)
			}
			l.cert.later(time.Now())
			l.nudge()
			seen.await(t, "another certificate", func(now Status) bool { return now.TLS.Fingerprint != s.TLS.Fingerprint })
			if _, err := os.Stat(s.TLS.CertFile); name == "cleaned up" && err != nil {
				t.Errorf("the copy is not made again: %v", err)
			}
			stopNow(l)
		})
	}
}
