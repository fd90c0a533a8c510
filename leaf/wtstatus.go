package leaf

import (
	"encoding/json"
	"net/netip"
	"os"
	"path/filepath"
	"time"
)

// WebTransport is one way to a leaf by WebTransport.
type WebTransport struct {
	URL string `json:"url"` // https, with the IP address of the leaf.
	// CertificateHashes are the SHA-256 of the certificates that are shown there, now and next, in
	// base64: what a browser is given as serverCertificateHashes.
	CertificateHashes []string `json:"certificateHashes"`
}

// WebTransportStatus tells of the WebTransport listener.
type WebTransportStatus struct {
	Enabled   bool           `json:"enabled"`   // It listens.
	Error     string         `json:"error"`     // Why it does not, null in JSON when it does or is not wanted.
	Endpoints []WebTransport `json:"endpoints"` // One for each LAN address.
	Sessions  int            `json:"sessions"`
	Addresses map[string]int `json:"addresses"` // Clients' IP addresses, and how many sessions each has.
}

// MarshalJSON: see [Status.MarshalJSON].
func (w WebTransportStatus) MarshalJSON() ([]byte, error) {
	type fields WebTransportStatus
	return json.Marshal(struct {
		fields
		Error *string `json:"error"`
	}{fields(w), given(w.Error)})
}

// webTransport describes the listener of srv, which may be nil.
func (l *Leaf) webTransport(s *settings, wt *wtListener, failed error) WebTransportStatus {
	status := WebTransportStatus{Endpoints: []WebTransport{}, Addresses: map[string]int{}}
	switch {
	case wt == nil && failed != nil:
		status.Error = failed.Error()
	case wt == nil || ended(wt.done):
	default:
		status.Enabled = true
		for _, addr := range lanAddrs(s) {
			status.Endpoints = append(status.Endpoints, WebTransport{URL: wtURL(addr, wt.port), CertificateHashes: l.wtCerts.hashes()})
		}
		status.Addresses = wt.addresses()
		for _, n := range status.Addresses {
			status.Sessions += n
		}
	}
	return status
}

// openWebTransport starts the listener beside srv, which nobody else has yet. That it cannot
// listen keeps nothing else from running; it is tried again.
func (l *Leaf) openWebTransport(s *settings, srv *natsServer) {
	if s.NoWebTransport {
		return
	}
	wt, err := listenWT(s, l.wtCerts, l.origins)
	if err != nil {
		s.Logger.Warn("no WebTransport: pages come by WebSocket", "error", err)
	}
	srv.wt, srv.wtFailed = wt, err
}

// wtAgain is the time between two attempts to listen for WebTransport.
const wtAgain = 10 * time.Second

// keepWebTransport renews the certificates and starts a listener again that has ended. It belongs to
// the watcher.
func (l *Leaf) keepWebTransport(now time.Time) {
	if l.wtCerts == nil {
		return
	}
	if err := l.wtCerts.keep(now); err != nil {
		l.log.note(err)
	}
	l.mu.Lock()
	srv := l.srv
	works := srv == nil || srv.wt != nil && !ended(srv.wt.done)
	l.mu.Unlock()
	if works || now.Before(l.wtNext) {
		return
	}
	l.wtNext = now.Add(wtAgain)
	l.life.Lock()
	defer l.life.Unlock()
	if l.srv != srv || l.ctx.Err() != nil {
		return // It is on its way, or nothing shall start any more.
	}
	if srv.wt != nil {
		srv.wt.stop()
		l.log.note(srv.wt.failure())
	}
	wt, err := listenWT(l.set, l.wtCerts, l.origins)
	l.mu.Lock()
	srv.wt, srv.wtFailed = wt, err
	l.mu.Unlock()
}

// wtDir is where the certificates are kept, "" for nowhere.
func wtDir(s *settings) string {
	cache := s.CacheDir
	if cache == "" {
		var err error
		if cache, err = os.UserCacheDir(); err != nil {
			return ""
		}
	}
	return filepath.Join(cache, "kinopio-hub", "leaf-webtransport")
}

// lanAddrs are the addresses at which the LAN listeners are reached by others: the one they
// bind, or all private ones of this machine when they bind all.
func lanAddrs(s *settings) []netip.Addr {
	if !s.lan.IsUnspecified() {
		return []netip.Addr{s.lan}
	}
	var addrs []netip.Addr
	for _, a := range certAddrs(s) {
		if !a.IsLoopback() {
			addrs = append(addrs, a)
		}
	}
	if len(addrs) == 0 {
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	}
	return addrs
}
