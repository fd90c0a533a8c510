package hub

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/plainjson"
	"github.com/kinopio-hub/kinopio-hub/v3/transport"
)

const (
	manifestPath  = "/.well-known/kinopio-leader.json"
	manifestLimit = 64 << 10                        // bytes
	httpTime      = "Mon, 02 Jan 2006 15:04:05 GMT" // RFC 9110, 5.6.7
)

// manifest is what a hub needs of the document that a leaf serves.
type manifest struct {
	version         string
	expiresAt       string
	websocketURL    string
	wssURL          string
	fallbackServers []string
	bridgeState     string
	notLeader       bool // says of itself that it is not the leader
	reach           transport.Reach
}

func parseManifest(body []byte) (m manifest, err error) {
	r, err := plainjson.Read(body)
	if err != nil {
		return m, err
	}
	m = manifest{
		version:         r.Text("version"),
		expiresAt:       r.Text("expiresAt"),
		websocketURL:    r.Text("websocketUrl"),
		wssURL:          r.Text("wssUrl"),
		fallbackServers: r.Texts("fallbackServers"),
		bridgeState:     r.Text("bridgeState"),
		notLeader:       r.Has("isLeader") && !r.Bool("isLeader"),
		reach:           readReach(r),
	}
	return m, r.Err()
}

// errNoLeader: the place where manifests are served says that there is no leaf. That is no failure.
var errNoLeader = errors.New("no leader")

// errNoBackbone: the leaf is cut off from everybody on the backbone.
var errNoBackbone = errors.New("the leaf has no connection to its backbone")

// errNoAnswer: nothing came from that place.
var errNoAnswer = errors.New("no answer")

// fetchManifest asks for the manifest and returns the leaf that it names, also with errNoBackbone.
func (h *Hub) fetchManifest(ctx context.Context, web fetcher) (target, error) {
	address := h.cfg.Discovery.ManifestURL
	ctx, cancel := context.WithTimeout(ctx, h.cfg.Discovery.SwitchTimeout)
	defer cancel()
	fail := func(err error) (target, error) {
		return target{}, fmt.Errorf("manifest %s: %w", transport.Redact(address), err)
	}
	got, err := web.fetch(ctx, address)
	if err != nil {
		return fail(fmt.Errorf("%w: %w", errNoAnswer, err))
	}
	switch got.status {
	case 200:
	case 204, 404:
		return target{}, errNoLeader
	default:
		return fail(fmt.Errorf("HTTP status %d", got.status))
	}
	now := time.Now()
	if served, err := time.Parse(httpTime, got.date); err == nil {
		now = served // the leaf's clock set the expiry, so it also judges it
	}
	leaf, err := readManifest(got.body, got.contentType, now, h.cfg.Discovery.RequireBackbone)
	if err == nil || errors.Is(err, errNoBackbone) {
		leaf.url = onLinkOf(leaf.url, address)
		if may := mayLeadTo(leaf.url, address, h.cfg.Servers); may != nil {
			return fail(fmt.Errorf("wssUrl = %q: %w", transport.Redact(leaf.url), may))
		}
		h.cfg.leaves.addManifest(leaf.url, got.body)
		if !mayTell(address) {
			leaf.reach = transport.Reach{}
		}
	}
	if err != nil && !errors.Is(err, errNoLeader) {
		_, err = fail(err)
	}
	return leaf, err
}

// mediaType is what a Content-Type says, without its parameters.
func mediaType(contentType string) string {
	media, _, _ := strings.Cut(contentType, ";")
	return strings.ToLower(strings.TrimSpace(media))
}

// readManifest finds the leaf to connect to in a manifest, at the time now of who served it. With
// errNoBackbone it has found it, and it is not good enough.
func readManifest(body []byte, contentType string, now time.Time, require Backbone) (target, error) {
	fail := func(format string, args ...any) (target, error) { return target{}, fmt.Errorf(format, args...) }
	if len(body) > manifestLimit {
		return fail("more than %d bytes", manifestLimit)
	}
	m, err := parseManifest(body)
	if err != nil {
		if media := mediaType(contentType); media != "" && media != "application/json" {
			return fail("is %s, want application/json", media)
		}
		return fail("is no JSON object of a leaf: %w", err)
	}
	if m.version != "1" {
		return fail(`version = %q: want "1"`, m.version)
	}
	expires, err := time.Parse(time.RFC3339, m.expiresAt)
	if err != nil {
		return fail("expiresAt = %q: want a time such as 2030-01-02T15:04:05.000Z", m.expiresAt)
	}
	// Date has whole seconds: the expiry may not be judged more finely.
	if expires.Before(now.Truncate(time.Second)) {
		return fail("expired at %s", m.expiresAt)
	}
	if m.notLeader {
		return target{}, errNoLeader
	}
	address := m.wssURL
	if address == "" {
		address = m.websocketURL
	}
	leaf, err := canonicalURL(address)
	if err == nil {
		var u *url.URL
		if u, err = url.Parse(leaf); err == nil && u.Scheme != "ws" && u.Scheme != "wss" {
			err = errors.New("want a ws or wss URL")
		} else if err == nil && u.User != nil {
			err = errors.New("want no credentials in it")
		}
	}
	if err != nil {
		return fail("wssUrl = %q: %w", transport.Redact(address), err)
	}
	// A leaf without a way to its backbone would cut the hub off from everybody there. A leaf of
	// kinopio-hub 2.1.0 does not say whether it has one: whether marks come through decides.
	found := target{url: leaf, via: viaLeaf, alone: m.bridgeState != "" && m.bridgeState != "connected", unproven: m.bridgeState == "", reach: m.reach}
	hasBackbone := len(m.fallbackServers) > 0 || m.bridgeState == "connecting" || m.bridgeState == "error"
	switch {
	case !found.alone:
	case require == BackboneAlways && !hasBackbone:
		return found, fmt.Errorf("bridgeState = %q: %w, and has none: whoever is on the configured servers would not be heard there. discovery.requireBackbone is for a LAN of its own", m.bridgeState, errNoBackbone)
	case require == BackboneAlways, require == BackboneConfigured && hasBackbone:
		return found, fmt.Errorf("bridgeState = %q: %w", m.bridgeState, errNoBackbone)
	}
	return found, nil
}

// onLinkOf is the leaf's URL as this host writes it: in a link-local address such as fe80::1%eth0 the
// zone is each host's own name for the link, and the manifest came by it.
func onLinkOf(leaf, address string) string {
	to, err := url.Parse(leaf)
	if err != nil || !strings.HasPrefix(to.Hostname(), "fe80:") {
		return leaf
	}
	from, err := url.Parse(address)
	if err != nil || !strings.HasPrefix(strings.ToLower(from.Hostname()), "fe80:") {
		return leaf
	}
	host, _, _ := strings.Cut(to.Hostname(), "%")
	if _, zone, ok := strings.Cut(from.Hostname(), "%"); ok {
		host += "%" + zone
	}
	to.Host = "[" + host + "]:" + to.Port() // which a canonical URL has
	return to.String()
}

// mayLeadTo says why the manifest at address may not send the hub to a leaf: one on the internet is
// none, unless the manifest comes from the same host; and who speaks TLS goes on to.
func mayLeadTo(leaf, address string, servers []string) error {
	to, err := url.Parse(leaf)
	if err != nil {
		return err
	}
	from, err := url.Parse(address)
	if err != nil {
		return err
	}
	if err := toASCII(from); err != nil {
		return err
	}
	at := where(to.Hostname())
	dotless := at == onLAN && !strings.ContainsAny(to.Hostname(), ".:") // May be a top-level domain.
	if !strings.EqualFold(to.Hostname(), from.Hostname()) && (at > onLAN || dotless) {
		return fmt.Errorf("want a leaf at a private, loopback or link-local address, at a name below .local, or at the manifest's own host %s", from.Hostname())
	}
	if to.Scheme == "wss" || at == onLoopback {
		return nil
	}
	secure := from.Scheme == "https"
	for _, s := range servers {
		secure = secure || strings.HasPrefix(s, "wss:") || strings.HasPrefix(s, "tls:")
	}
	if secure {
		return errors.New("want wss, as the manifest or the configured servers use TLS")
	}
	return nil
}
