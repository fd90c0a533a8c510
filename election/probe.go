package election

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"net/url"
	"sync"
	"syscall"
	"time"
)

const (
	probeEvery    = 5 * time.Second
	probeTimeout  = 1500 * time.Millisecond
	probeFailures = 3 // Running, until a measured backbone counts as unreachable.
	verifyTimeout = 1500 * time.Millisecond
	manifestLimit = 64 << 10
	holdAgain     = time.Second
	refusals      = 2 // Running, as a listener may be replaced.
	refusedAgain  = 10 * time.Millisecond
	manifestPath  = "/.well-known/kinopio-leader.json"
)

// probe measures the backbone every 5 s until ctx ends: a TCP connect, the best of the
// list, in whole milliseconds.
func probe(ctx context.Context, servers []string, tell func(RTT)) {
	if len(servers) == 0 {
		return
	}
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	failures := probeFailures // The first result counts at once.
	for {
		rtt := measure(ctx, servers)
		if rtt != Unmeasured {
			failures = 0
			tell(rtt)
		} else if failures++; failures >= probeFailures {
			tell(Unmeasured)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func measure(ctx context.Context, servers []string) RTT {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	var mu sync.Mutex
	var all sync.WaitGroup
	best := Unmeasured
	for _, s := range servers {
		address, err := dialAddress(s)
		if err != nil {
			continue // Refused by normalize.
		}
		all.Go(func() {
			began := time.Now()
			conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
			if err != nil {
				return
			}
			rtt := RTT(math.Round(float64(time.Since(began)) / float64(time.Millisecond)))
			conn.Close()
			mu.Lock()
			defer mu.Unlock()
			if best == Unmeasured || rtt < best {
				best = rtt
			}
		})
	}
	all.Wait()
	return best
}

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
	if ip := net.ParseIP(host); ip == nil || !ip.IsPrivate() && !ip.IsLoopback() && !ip.IsLinkLocalUnicast() {
		return fmt.Errorf("%s is not on a LAN", host)
	}
	return nil
}

// verify reads the manifest of m's leaf, compares, and returns it.
func (v *verifier) verify(ctx context.Context, m *Manifest) (*Manifest, error) {
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
	if is.NodeID != m.NodeID || is.DiscoveryNamespace != v.namespace || !is.IsLeader {
		return nil, fmt.Errorf("its manifest is that of %q in %q, leading: %v", is.NodeID, is.DiscoveryNamespace, is.IsLeader)
	}
	return &is, nil
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
