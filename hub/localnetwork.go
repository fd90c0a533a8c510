package hub

import (
	"context"
	"fmt"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/transport"
)

// LocalNetwork is what a page does about the permission that browsers demand of a page from
// the internet which wants to reach the local network. Natively it is without effect.
type LocalNetwork string

const (
	// LocalNetworkAsk, the default, looks for a leaf where the permission is granted or not
	// needed, and otherwise waits for [Hub.RequestLocalNetwork].
	LocalNetworkAsk LocalNetwork = "ask"
	// LocalNetworkAuto lets the browser ask its user once a page load, without a click.
	LocalNetworkAuto LocalNetwork = "auto"
	// LocalNetworkNever reaches for nothing that might need the permission, even if it is granted.
	LocalNetworkNever LocalNetwork = "never"
)

// The names of the permission, for other machines of the LAN and for this one, and the one
// that stood for both in the first browsers that had it.
const (
	permissionLocal    = "local-network"
	permissionLoopback = "loopback-network"
	permissionOld      = "local-network-access"
)

const (
	// askTimeout is how long a user may look at the browser's question before the hub gives
	// up the request behind it. Leaves wait as long for a request's headers.
	askTimeout = time.Minute
	// tryAgain is the time between two tries of what the browser probably refuses.
	tryAgain = time.Minute
	// queryTimeout bounds the browser's answer about the state of a permission.
	queryTimeout = 2 * time.Second
)

// A verdict is whether a URL may be reached for.
type verdict int

const (
	mayGo   verdict = iota
	mayTry          // it may, seldom, because the browser probably refuses
	mustAsk         // only after the browser has asked its user
	mayNot
)

// judge says whether a page may reach for address, and if not why. state is asked for the
// permission only when it matters. It is a pure function otherwise.
func judge(policy LocalNetwork, page string, secure bool, address string, state func(name string) string) (verdict, string) {
	from, _ := url.Parse(page)
	to, err := url.Parse(address)
	if from == nil || err != nil || from.Host == to.Host {
		return mayGo, ""
	}
	if where(from.Hostname()) <= onLAN || where(to.Hostname()) == onInternet {
		return mayGo, "" // the browser asks pages from the internet only
	}
	redacted := transport.Redact(address)
	if policy == LocalNetworkNever {
		return mayNot, fmt.Sprintf("%s may be on the local network, and discovery.localNetwork is %q", redacted, policy)
	}
	if !secure {
		return mayTry, fmt.Sprintf("%s is not reached from a page that came by http: browsers allow the local network to pages from https only", redacted)
	}
	var states []string
	switch where(to.Hostname()) {
	case onLoopback:
		states = []string{state(permissionLoopback)}
	case onLAN:
		states = []string{state(permissionLocal)}
	default: // a name may mean either, also one of this machine's own
		states = []string{state(permissionLocal), state(permissionLoopback)}
	}
	all := strings.Join(states, "")
	if all == "" {
		all = state(permissionOld)
	}
	switch {
	case all == "" || strings.Contains(all, "granted"):
		return mayGo, ""
	case strings.Contains(all, "prompt"):
		return mustAsk, fmt.Sprintf("%s may be on the local network: call requestLocalNetwork() from a click, so that the browser asks its user", redacted)
	}
	return mayNot, fmt.Sprintf("the browser refuses %s: the permission for the local network is denied in its settings for this site, or the page is in an iframe without allow=\"local-network; loopback-network\"", redacted)
}

// place is where a host is, as far as its name tells.
type place int

const (
	onLoopback place = iota
	onLAN
	somewhere // a name that may resolve to anything
	onInternet
)

func where(host string) place {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if ip, err := netip.ParseAddr(host); err == nil {
		ip = ip.Unmap()
		switch {
		case ip.IsLoopback():
			return onLoopback
		case ip.IsPrivate(), ip.IsLinkLocalUnicast(), sharedAddresses.Contains(ip):
			return onLAN
		}
		return onInternet
	}
	switch {
	case host == "localhost", strings.HasSuffix(host, ".localhost"):
		return onLoopback
	case strings.HasSuffix(host, ".local"), host != "" && !strings.Contains(host, "."):
		return onLAN
	}
	return somewhere
}

// sharedAddresses are those of carrier-grade NAT, which browsers count as local (RFC 6598).
var sharedAddresses = netip.MustParsePrefix("100.64.0.0/10")

// An access applies judge to the page of one hub, and remembers what it has learned.
type access struct {
	h       *Hub
	reached map[string]bool      // hosts that were reached although the permission is undecided
	failed  map[string]time.Time // when hosts of mayTry were last not reached
}

func (a *access) judge(address string) (verdict, string) {
	page := a.h.cfg.Page
	if page == nil {
		return mayGo, ""
	}
	ctx, cancel := context.WithTimeout(a.h.ctx, queryTimeout)
	defer cancel()
	from, secure := page.URL()
	v, why := judge(a.h.cfg.Discovery.LocalNetwork, from, secure, address, func(name string) string { return page.Permission(ctx, name) })
	switch {
	case v == mustAsk && a.reached[host(address)]:
		return mayGo, ""
	case v == mayTry && a.inCooldown(address):
		return mayNot, why
	}
	return v, why
}

// admit says whether address may be reached for, and why not. With byUser, which is a click, or
// by LocalNetworkAuto once a page load, it makes the browser ask its user and waits for that.
func (a *access) admit(address string, byUser bool) bool {
	v, why := a.judge(address)
	if v == mustAsk && !byUser && a.h.cfg.Discovery.LocalNetwork == LocalNetworkAuto {
		byUser = a.h.cfg.Page.MayPrompt()
	}
	if v == mustAsk && byUser {
		a.h.setDiscovery(DiscoveryPermissionNeeded, "the browser may be asking its user about "+transport.Redact(address))
		err := a.prompt(address)
		if v, why = a.judge(address); v == mustAsk && err == nil {
			a.reached[host(address)] = true // a page from the LAN needs no permission
			v = mayGo
		} else if v == mustAsk {
			a.h.setDiscovery(DiscoveryUnreachable, fmt.Sprintf("%s: %v; the permission for the local network is still undecided: nothing answers there, its certificate is not trusted, or the question was put aside", transport.Redact(address), err))
			return false
		}
	}
	switch v {
	case mustAsk:
		a.h.setDiscovery(DiscoveryPermissionNeeded, why)
		return false
	case mayNot:
		a.h.setDiscovery(DiscoveryPermissionDenied, why)
		return false
	}
	return true
}

// inCooldown says that address was not reached lately and may be tried again after a while.
func (a *access) inCooldown(address string) bool {
	last, failed := a.failed[host(address)]
	return failed && time.Since(last) < tryAgain
}

// prompt makes the browser ask, and returns when it has, or when the question has an answer.
func (a *access) prompt(address string) error {
	ctx, cancel := context.WithTimeout(a.h.ctx, askTimeout)
	defer cancel()
	ended := make(chan error, 1)
	if !a.h.spawn(func() { ended <- a.h.cfg.Page.Prompt(ctx, address) }) {
		return ErrDisposed
	}
	for {
		select {
		case err := <-ended:
			if ctx.Err() != nil {
				err = fmt.Errorf("no answer within %v", askTimeout)
			}
			return err
		case <-a.h.permission:
			if v, _ := a.judge(address); v != mustAsk {
				return nil
			}
		}
	}
}

// blame notes that address was not reached, and says so clearly if the browser is the likely
// cause. The first time in a hub's life that also goes to the log as a warning.
func (a *access) blame(address string) bool {
	v, why := a.judge(address)
	if v != mayTry {
		return false
	}
	if len(a.failed) == 0 {
		a.h.cfg.Logger.Warn("no local network", "why", why)
	}
	a.failed[host(address)] = time.Now()
	a.h.setDiscovery(DiscoveryPermissionDenied, why)
	return true
}

func host(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return address
	}
	return u.Host
}
