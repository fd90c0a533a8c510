package leaf

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coder/websocket"
)

// The public address of a leaf is that from which a backbone sees its LAN: hubs at the same one most likely are in the same
// LAN. nats-server tells it to clients, in INFO before anything else, and not to leaf nodes.

const (
	mostPublic     = 8
	publicPatience = 5 * time.Second
	// A LAN's public address may change while the bridge stands.
	publicEvery = 10 * time.Minute
)

// placeOf is a public address as a part of a subject: IPv4 as it is, of IPv6 the first half, which the
// devices of a LAN share; "" for what no two LANs can be told apart by.
func placeOf(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return ""
	}
	ip = ip.Unmap().WithZone("")
	if !ip.IsGlobalUnicast() || ip.IsPrivate() || sharedAddresses.Contains(ip) {
		return ""
	}
	if ip.Is4() {
		return strings.ReplaceAll(ip.String(), ".", "-")
	}
	b := ip.As16()
	return fmt.Sprintf("%x", b[:8])
}

// checkPublic checks what is configured.
func (s *settings) checkPublic() error {
	for _, a := range s.PublicAddresses {
		if placeOf(a) == "" {
			return fieldError("PublicAddresses", a, "not a public IP address: give the one that the internet sees this LAN at, such as 203.0.113.7")
		}
	}
	if len(s.PublicAddresses) > mostPublic {
		return fieldError("PublicAddresses", fmt.Sprint(len(s.PublicAddresses)), fmt.Sprintf("too many: give at most %d", mostPublic))
	}
	if s.BackboneClientServer == "" {
		return nil
	}
	u, err := url.Parse(s.BackboneClientServer)
	if err != nil || u.Hostname() == "" || !slices.Contains([]string{"nats", "tls", "ws", "wss"}, u.Scheme) {
		return fieldError("BackboneClientServer", withoutUserinfo(s.BackboneClientServer), "not a URL: give where the backbone's clients connect, such as nats://backbone.example.com:4222 or wss://backbone.example.com")
	}
	return nil
}

// clientServers are where the backbone may have a listener for clients.
func (s *settings) clientServers() (all []*url.URL) {
	if s.BackboneClientServer != "" {
		u, err := url.Parse(s.BackboneClientServer)
		if err != nil {
			return nil // checkPublic has refused it.
		}
		if u.Port() == "" {
			u.Host = net.JoinHostPort(u.Hostname(), map[string]string{"ws": "80", "wss": "443"}[u.Scheme])
			if strings.HasSuffix(u.Host, ":") {
				u.Host += "4222"
			}
		}
		return []*url.URL{u}
	}
	for _, u := range s.backbone.urls {
		c := *u
		c.User = nil
		if u.Scheme != "ws" && u.Scheme != "wss" {
			c.Scheme, c.Host = "nats", net.JoinHostPort(u.Hostname(), "4222")
		}
		all = append(all, &c)
	}
	return all
}

// probePublic asks the backbone for the leaf's public addresses, beside the bridge. Without credentials: what a server says first is
// enough.
func (l *Leaf) probePublic() {
	s := l.settings()
	if len(s.PublicAddresses) > 0 || len(s.backbone.urls) == 0 {
		return
	}
	l.probes.Go(func() {
		ctx, cancel := context.WithTimeout(l.ctx, publicPatience)
		defer cancel()
		var found []string
		for _, u := range s.clientServers() {
			ip, err := seenAs(ctx, s, u)
			if err != nil {
				s.Logger.Debug("cannot ask the backbone for this LAN's public address", "server", showURL(u), "error", err)
				continue
			}
			if placeOf(ip) != "" && !slices.Contains(found, ip) && len(found) < mostPublic {
				found = append(found, ip)
			}
		}
		if l.ctx.Err() != nil || len(found) == 0 {
			return // What was known is still the best guess.
		}
		l.mu.Lock()
		l.public = found
		l.mu.Unlock()
		l.nudge()
	})
}

// publicAddresses are those that are configured, or were learned.
func (l *Leaf) publicAddresses(s *settings) []string {
	if len(s.PublicAddresses) > 0 {
		return slices.Clone(s.PublicAddresses)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.public)
}

// seenAs connects to a listener for clients, and returns the address that it says it sees.
func seenAs(ctx context.Context, s *settings, u *url.URL) (string, error) {
	var conn io.ReadWriteCloser
	var err error
	if u.Scheme == "ws" || u.Scheme == "wss" {
		transport := &http.Transport{DisableKeepAlives: true}
		if s.backbone.tls != nil {
			transport.TLSClientConfig = s.backbone.tls.Clone()
		}
		var ws *websocket.Conn
		if ws, _, err = websocket.Dial(ctx, u.String(), &websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}}); err == nil {
			ws.SetReadLimit(maxInfoLine)
			conn = websocket.NetConn(ctx, ws, websocket.MessageBinary)
		}
	} else {
		conn, err = (&net.Dialer{}).DialContext(ctx, "tcp", u.Host)
	}
	if err != nil {
		return "", err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	lines := bufio.NewReader(io.LimitReader(conn, 2*maxInfoLine))
	line, err := lines.ReadBytes('\n')
	if err != nil {
		return "", err
	}
	ip, err := clientIP(line)
	if wantsTLS(line) || !errors.Is(err, errNoClientIP) {
		if u.Scheme != "ws" && u.Scheme != "wss" {
			finish(ctx, conn, line, s.backbone.tls)
		}
		return ip, err
	}
	// Behind a proxy that tells it, a server says it after its first PONG, if it lets strangers in.
	if _, err := io.WriteString(conn, "CONNECT {\"verbose\":false,\"pedantic\":false,\"protocol\":1}\r\nPING\r\n"); err != nil {
		return "", err
	}
	for range 4 {
		if line, err = lines.ReadBytes('\n'); err != nil {
			return "", err
		}
		if bytes.HasPrefix(line, []byte("INFO ")) {
			return clientIP(line)
		}
	}
	return "", errNoClientIP
}

var errNoClientIP = errors.New("tells no client_ip")

// clientIP reads client_ip from the line INFO {…}.
func clientIP(line []byte) (string, error) {
	text, ok := bytes.CutPrefix(bytes.TrimSpace(line), []byte("INFO "))
	if !ok {
		return "", errors.New("does not begin with INFO")
	}
	var info struct {
		ClientIP string `json:"client_ip"`
	}
	if err := json.Unmarshal(text, &info); err != nil {
		return "", err
	}
	if _, err := netip.ParseAddr(info.ClientIP); err != nil {
		return "", errNoClientIP
	}
	return info.ClientIP, nil
}
