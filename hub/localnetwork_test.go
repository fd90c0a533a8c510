package hub

import (
	"strings"
	"testing"
)

func TestPermissionIsAskedForWhereABrowserDoes(t *testing.T) {
	const site = "https://app.example.com/a"
	states := func(local, loopback string) map[string]string {
		return map[string]string{permissionLocal: local, permissionLoopback: loopback}
	}
	for _, c := range []struct {
		policy        LocalNetwork
		page, address string
		insecure      bool
		states        map[string]string
		want          verdict
	}{
		// From the internet to the LAN and to this machine: the permission of each.
		{LocalNetworkAsk, site, "wss://192.168.1.2:443", false, states("prompt", "granted"), mustAsk},
		{LocalNetworkAsk, site, "wss://192.168.1.2:443", false, states("granted", "denied"), mayGo},
		{LocalNetworkAsk, site, "wss://10.0.0.1:443", false, states("denied", "granted"), mayNot},
		{LocalNetworkAsk, site, "wss://[fd00::1]:443", false, states("prompt", "prompt"), mustAsk},
		{LocalNetworkAsk, site, "wss://studio.local:443", false, states("prompt", "denied"), mustAsk},
		{LocalNetworkAsk, site, "wss://127.0.0.1:443", false, states("denied", "prompt"), mustAsk},
		{LocalNetworkAsk, site, "wss://localhost:443", false, states("prompt", "granted"), mayGo},
		{LocalNetworkAuto, site, "wss://[::1]:443", false, states("granted", "denied"), mayNot},
		// A name may be anything.
		{LocalNetworkAsk, site, "wss://leaf.example.com:443", false, states("prompt", "prompt"), mustAsk},
		{LocalNetworkAsk, site, "wss://leaf.example.com:443", false, states("granted", "prompt"), mayGo},
		{LocalNetworkAsk, site, "wss://leaf.example.com:443", false, states("denied", "prompt"), mustAsk},
		{LocalNetworkAsk, site, "wss://leaf.example.com:443", false, states("denied", "denied"), mayNot},
		// Browsers that know no such permission, and those that had one for both.
		{LocalNetworkAsk, site, "wss://192.168.1.2:443", false, nil, mayGo},
		{LocalNetworkAsk, site, "wss://192.168.1.2:443", false, map[string]string{permissionOld: "prompt"}, mustAsk},
		// Where no permission is needed.
		{LocalNetworkAsk, site, "https://app.example.com/m.json", false, states("denied", "denied"), mayGo},
		{LocalNetworkAsk, site, "wss://203.0.114.5:443", false, states("prompt", "prompt"), mayGo},
		{LocalNetworkAsk, "http://127.0.0.1:8080/", "wss://192.168.1.2:443", false, states("denied", "denied"), mayGo},
		{LocalNetworkAsk, "http://192.168.1.5/", "wss://127.0.0.1:443", true, states("denied", "denied"), mayGo},
		{LocalNetworkAsk, "http://studio.local/", "wss://192.168.1.2:443", true, states("denied", "denied"), mayGo},
		{LocalNetworkAsk, "http://nas/", "wss://192.168.1.2:443", true, states("denied", "denied"), mayGo},
		// Pages that came by http, whose browser says denied whatever is the case.
		{LocalNetworkAsk, "http://app.example.com/", "wss://192.168.1.2:443", true, states("denied", "denied"), mayTry},
		{LocalNetworkNever, site, "wss://192.168.1.2:443", false, states("granted", "granted"), mayNot},
		{LocalNetworkNever, site, "https://app.example.com/m.json", false, states("granted", "granted"), mayGo},
	} {
		got, why := judge(c.policy, c.page, !c.insecure, c.address, func(name string) string { return c.states[name] })
		if got != c.want || (why == "") != (got == mayGo) {
			t.Errorf("%s, %s → %s with %v: %d %q, want %d and a reason if it is not 0", c.policy, c.page, c.address, c.states, got, why, c.want)
		}
		if why != "" && !strings.Contains(why, c.address) {
			t.Errorf("%q does not say that it is about %s", why, c.address)
		}
	}
}
