package demo

import (
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/time/rate"

	"github.com/kinopio-hub/kinopio-hub/v3/leaf"
)

const (
	// namespace is the leaf's.
	namespace = "demo"
	// backbonePath is where pages reach the backbone at their own origin, so that whatever brings them the page brings them
	// there, too.
	backbonePath = "/backbone"
	// reportRate and reportBurst bound what guests may have printed in the terminal, in reports a second.
	reportRate, reportBurst = 5, 20
)

// guests is what the demo has for devices that trust nothing of this machine: where they open its page, and what it tells
// them of the leaf, which they find through their session with the backbone.
type guests struct {
	origin       string     // of the page, for them
	secure       bool       // it is https
	address      netip.Addr // of this machine on the LAN
	secret       string     // of the leaf's namespace
	namespaceKey string     // its public half
	token        string     // what their pages must show to report a move
	reports      *rate.Limiter
}

// newGuests checks what cfg says of guests; nil if it wants none. Without a GuestURL the origin is known after listen.
func newGuests(cfg *Config) (*guests, error) {
	if !cfg.Guest && cfg.GuestURL == "" {
		return nil, nil
	}
	g := &guests{secret: rand.Text(), token: rand.Text(), reports: rate.NewLimiter(reportRate, reportBurst)}
	var err error
	if g.namespaceKey, err = leaf.NamespaceKey(g.secret, namespace); err != nil {
		return nil, err
	}
	if g.address, err = lanAddress(cfg.LANBindAddress); err != nil {
		return nil, err
	}
	switch {
	case cfg.GuestURL != "":
		if g.origin, err = guestOrigin(cfg.GuestURL); err != nil {
			return nil, err
		}
		g.secure, cfg.TLS = true, true // a page from https may not open ws:// to others
	case cfg.TLS:
		return nil, &hinted{
			error: fmt.Errorf("--tls with --guest: guests whose page comes by http do not trust the leaf's certificate"),
			hint:  "leave out --tls, or let the page come by https and say from where with --guest-url",
		}
	}
	return g, nil
}

// lanAddress is the address that is given, or that of this machine on its LAN.
func lanAddress(given string) (netip.Addr, error) {
	if given != "" {
		a, err := netip.ParseAddr(given)
		if err != nil || a.IsUnspecified() {
			return a, fmt.Errorf("--lan-bind-address %q: want one IP address of this machine, such as 192.168.1.5", given)
		}
		return a, nil
	}
	a := leaf.LANAddress()
	if a.IsLoopback() {
		return a, &hinted{
			error: fmt.Errorf("this machine has no address on a LAN at which guests could reach it"),
			hint:  "connect it to a network, or name one of its addresses with --lan-bind-address",
		}
	}
	return a, nil
}

// guestOrigin is the origin of an https URL that leads to the page's port.
func guestOrigin(given string) (string, error) {
	u, err := url.Parse(given)
	if err == nil && u.Scheme == "https" && u.Host != "" && u.User == nil && (u.Path == "" || u.Path == "/") && u.RawQuery == "" && u.Fragment == "" {
		if origin, err := leaf.CleanOrigin(strings.TrimSuffix(given, "/")); err == nil {
			return origin, nil
		}
	}
	return "", fmt.Errorf("--guest-url %q: want the https address, without a path, at which a tunnel or a web server hands on this machine's page, such as https://demo.example.com", given)
}

// listen opens the page's port on the LAN, unless the page comes to guests another way.
func (g *guests) listen(port int, anyPort bool) (net.Listener, error) {
	if g.secure {
		return nil, nil
	}
	l, err := net.Listen("tcp", netip.AddrPortFrom(g.address, uint16(port)).String())
	if err != nil && anyPort {
		l, err = net.Listen("tcp", netip.AddrPortFrom(g.address, 0).String())
	}
	if err != nil {
		return nil, &hinted{
			error: fmt.Errorf("serve the page on the LAN at port %d: %w", port, err),
			hint:  "give another port with --port, or another address with --lan-bind-address",
		}
	}
	g.origin = "http://" + l.Addr().String()
	return l, nil
}

// allowed are the origins whose pages may use the backbone and the leaf: the page's own on this machine, and that of guests.
func (g *guests) allowed(own []string) []string {
	if g == nil {
		return own
	}
	return append(slices.Clone(own), g.origin)
}

// isGuest says whether a request comes from a guest's page, and not from one on this machine; false for ok: from neither. Own are the
// origins of the page on this machine. What comes from the LAN is a guest's, and what a tunnel hands on is, whichever host they name.
func (g *guests) isGuest(own []string, r *http.Request) (guest, ok bool) {
	isOwn := slices.Contains(own, "http://"+r.Host)
	if g == nil {
		return false, isOwn
	}
	_, host, _ := strings.Cut(g.origin, "://")
	if strings.EqualFold(r.Host, host) {
		return true, true
	}
	if at, _ := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); at != nil && !at.IP.IsLoopback() {
		return true, false
	}
	return isOwn && (r.Header.Get("X-Forwarded-For") != "" || r.Header.Get("Forwarded") != ""), isOwn
}

// mayGuests says that a request is for what guests may have: the page and what it is made of, its server, and its reports. The buttons and
// what happens on this machine are not for them.
func mayGuests(r *http.Request) bool {
	switch path := r.URL.Path; {
	case path == "/", path == "/"+moduleScript, path == "/"+moduleWasm, path == backbonePath, strings.HasPrefix(path, "/page/"):
		return r.Method == http.MethodGet || r.Method == http.MethodHead
	case path == "/report":
		return r.Method == http.MethodPost
	}
	return false
}

// proxyBackbone hands WebSockets of the pages on to the backbone.
func (d *demo) proxyBackbone(origins []string) (http.Handler, error) {
	to, err := url.Parse(strings.Replace(d.backbone.websocketURL, "ws", "http", 1))
	if err != nil {
		return nil, err
	}
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(to)
		r.Out.URL.Path = "/"
	}}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !slices.Contains(origins, r.Header.Get("Origin")) {
			http.Error(w, "only the demo page may do this", http.StatusForbidden)
			return
		}
		proxy.ServeHTTP(w, r)
	}), nil
}

// websockets are the places at origins where pages open WebSockets: not every browser takes 'self' to name them.
func websockets(origins []string) (all []string) {
	for _, o := range origins {
		all = append(all, strings.Replace(o, "http", "ws", 1))
	}
	return all
}

// guestText is what the terminal says of how guests come.
func guestText(g *guestLinks, port int) string {
	if g.Secure {
		return "Guests come to the leaf with nothing installed: by WebTransport, known by the hash of the leaf's certificate, which they\n" +
			"  get through their session with the backbone, signed. " + g.URL + " has to lead to http://localhost:" + strconv.Itoa(port) + ",\n" +
			"  WebSockets included. Chromium asks its user for the local network: the page has a button for it."
	}
	return "This page comes to guests by plain http, where browsers have no WebTransport: they come to the leaf by a plain\n" +
		"  WebSocket, not encrypted. By WebTransport, encrypted and with nothing installed, they come where the page has an https\n" +
		"  address: let a tunnel or a web server hand http://localhost:" + strconv.Itoa(port) + " on, and start with --guest-url https://…"
}
