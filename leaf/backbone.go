package leaf

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
)

// A transport mode: how a leafnode connection is carried. One remote of nats-server
// can use one mode only, and several remotes would be several bridges at once.
type backboneMode string

const (
	modePlain backboneMode = "nats://"
	modeTLS   backboneMode = "tls://"
	modeWS    backboneMode = "ws://"
	modeWSS   backboneMode = "wss://"
)

// backbone is the list of backbone servers, ready for nats-server, and as it may be shown.
type backbone struct {
	mode    backboneMode
	urls    []*url.URL
	shown   []string // Without credentials and query.
	secrets []string // What must not appear in a log line.
	options BackboneOptions
	tls     *tls.Config // nil without TLS.
}

func parseBackbone(servers []string) (backbone, error) {
	var b backbone
	for _, raw := range servers {
		u, mode, err := parseBackboneURL(raw)
		if err != nil {
			return backbone{}, err
		}
		if b.mode != "" && b.mode != mode {
			return backbone{}, fieldError("BackboneServers", showURL(u),
				fmt.Sprintf("of another kind than %s: give URLs of one kind only (all nats://, all tls://, all ws:// or all wss://)", b.shown[0]))
		}
		b.mode = mode
		if slices.ContainsFunc(b.urls, func(have *url.URL) bool { return have.String() == u.String() }) {
			continue
		}
		b.urls = append(b.urls, u)
		b.shown = append(b.shown, showURL(u))
		if u.User != nil {
			b.secrets = append(b.secrets, u.User.String())
			if password, ok := u.User.Password(); ok {
				b.secrets = append(b.secrets, password)
			} else {
				b.secrets = append(b.secrets, u.User.Username()) // A token.
			}
		}
	}
	b.secrets = slices.DeleteFunc(b.secrets, func(s string) bool { return s == "" })
	return b, nil
}

func parseBackboneURL(raw string) (*url.URL, backboneMode, error) {
	const right = "give a URL such as nats://backbone.example.com:7422, tls://…, ws://… or wss://…"
	text := strings.TrimSpace(raw)
	if !strings.Contains(text, "://") {
		text = "nats-leaf://" + text
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, "", fieldError("BackboneServers", withoutUserinfo(raw), "not a URL: "+right)
	}
	if u.Hostname() == "" {
		return nil, "", fieldError("BackboneServers", withoutUserinfo(raw), "has no host: "+right)
	}
	var mode backboneMode
	port := fmt.Sprint(server.DEFAULT_LEAFNODE_PORT)
	switch u.Scheme = strings.ToLower(u.Scheme); u.Scheme {
	case "nats", "nats-leaf":
		mode, u.Scheme = modePlain, "nats-leaf"
	case "tls":
		mode = modeTLS
	case "ws":
		mode, port = modeWS, "80"
	case "wss":
		mode, port = modeWSS, "443"
	default:
		return nil, "", fieldError("BackboneServers", showURL(u), "unknown scheme: "+right)
	}
	if u.Port() == "" {
		u.Host = net.JoinHostPort(u.Hostname(), port)
	}
	if _, err := net.LookupPort("tcp", u.Port()); err != nil {
		return nil, "", fieldError("BackboneServers", showURL(u), "its port is not one: "+right)
	}
	return u, mode, nil
}

// remotes is the one bridge to the backbone, or none. It belongs to an account of the
// leaf, "" for the only one.
func (b backbone) remotes(account string) []*server.RemoteLeafOpts {
	if len(b.urls) == 0 {
		return nil
	}
	remote := &server.RemoteLeafOpts{LocalAccount: account, Credentials: b.options.CredentialsFile,
		FirstInfoTimeout: greetTimeout, TLSTimeout: greetTimeout.Seconds()}
	for _, u := range b.urls {
		c := *u
		remote.URLs = append(remote.URLs, &c)
	}
	remote.Compression.Mode = b.options.Compression
	// The scheme alone does not make nats-server use TLS.
	if b.tls != nil {
		remote.TLS, remote.TLSConfig, remote.TLSHandshakeFirst = true, b.tls.Clone(), b.options.TLSFirst
	}
	return []*server.RemoteLeafOpts{remote}
}

// showURL is u without what may be secret.
func showURL(u *url.URL) string {
	shown := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}
	if shown.Scheme == "nats-leaf" {
		shown.Scheme = "nats"
	}
	return shown.String()
}

// withoutUserinfo is for text that is not a URL: it drops what may be credentials.
func withoutUserinfo(raw string) string {
	at := strings.LastIndexByte(raw, '@')
	if at < 0 {
		return raw
	}
	if scheme, _, ok := strings.Cut(raw, "://"); ok && !strings.Contains(scheme, "@") {
		return scheme + "://" + raw[at+1:]
	}
	return raw[at+1:]
}
