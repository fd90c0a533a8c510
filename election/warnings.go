package election

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
)

// mostClaims is how many leaders that were not found are told of.
const mostClaims = 4

// refusedClaim is a node that says that it leads, and whose leaf was not found.
type refusedClaim struct{ node, why string }

// claimed keeps why a leader was not confirmed, until it is or has gone.
func (a *Agent) claimed(node, url string, err error) {
	a.refused = slices.DeleteFunc(a.refused, func(c refusedClaim) bool { return c.node == node || !a.m.Knows(c.node) })
	if err == nil || !a.m.Knows(node) || len(a.refused) >= mostClaims {
		return
	}
	a.refused = append(a.refused, refusedClaim{node, fmt.Sprintf("%s claims to lead, and its manifest at %s is not there: %v", node, url, err)})
	slices.SortFunc(a.refused, func(x, y refusedClaim) int { return better(0, x.node, 0, y.node) })
}

// warnings are what a person should know of this node's part in the election.
func (a *Agent) warnings(own *Manifest) []string {
	all := []string{}
	if a.id.trouble != nil {
		all = append(all, a.id.trouble.Error())
	}
	all = append(all, a.wrong...)
	for _, c := range a.refused {
		if a.m.Knows(c.node) {
			all = append(all, c.why)
		}
	}
	a.mu.Lock()
	proofs, twins := a.rejected[string(rejectProof)], a.rejected[string(rejectOwnID)]
	a.mu.Unlock()
	if proofs > 0 {
		all = append(all, "agents of this namespace are heard that do not prove its secret: they have another one, none, or are of 2.1.0")
	}
	if a.sealedHeard {
		all = append(all, "agents of this namespace are heard that prove a secret, which this one does not know: they do not hear it")
	}
	if twins > 0 {
		all = append(all, fmt.Sprintf("another agent has the node id %s, too: it is not heard; give each device its own, or a cache directory of its own", a.id.node))
	}
	if own.place() == OnMachine {
		why := "no address of a LAN was found"
		if public := publicAddresses(); len(public) > 0 {
			why += ", and public ones (" + strings.Join(public, ", ") + ") are not opened unasked: --lan-bind-address takes one, with --advertised-hostname for its name"
		}
		all = append(all, "this node's leaf is reachable on this machine only: "+why)
	}
	return all
}

// publicAddresses are those of this machine that are no LAN's, at most two.
func publicAddresses() (all []string) {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, a := range addresses {
		p, err := netip.ParsePrefix(a.String())
		if err != nil {
			continue
		}
		ip := p.Addr().Unmap()
		if ip.IsGlobalUnicast() && !ip.IsPrivate() && !sharedAddresses.Contains(ip) && len(all) < 2 {
			all = append(all, ip.String())
		}
	}
	return all
}
