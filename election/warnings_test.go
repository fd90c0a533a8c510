package election

import (
	"net/netip"
	"strings"
	"testing"
	"time"
)

func warned(text string) func(AgentStatus) bool {
	return func(s AgentStatus) bool { return strings.Contains(strings.Join(s.Warnings, "\n"), text) }
}

func silentAbout(text string) func(AgentStatus) bool {
	return func(s AgentStatus) bool { return !warned(text)(s) }
}

func TestLeaderThatIsNotFoundIsToldOf(t *testing.T) {
	var lan air
	s := enable(t, &lan, named("b"))
	liar := lan.join()
	defer liar.Close()
	claim := heartbeat{Manifest: Manifest{NodeID: "a", DiscoveryNamespace: "test", DiscoveryURL: "https://127.0.0.1:9" + manifestPath, WSSURL: "wss://127.0.0.1:9",
		IsLeader: true, CandidateRole: RoleLeader, LeaderEpoch: 3}, SentAt: time.Now().UTC().Format(manifestTime), State: Leading, Sequence: 1}
	data, err := claim.encode(nil)
	if err == nil {
		err = liar.Send(data)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.await("a warning", warned("a claims to lead, and its manifest at https://127.0.0.1:9"+manifestPath+" is not there"))
	s.await("its end with the claim", silentAbout("claims to lead"))
}

func TestOtherSecretAndCloneAreToldOf(t *testing.T) {
	var lan air
	with := func(node, secret string) func(*Config) {
		return func(c *Config) { c.NodeID, c.NamespaceSecret = node, secret }
	}
	a, b, c, clone := enable(t, &lan, with("a", "a secret of the studio")), enable(t, &lan, with("b", "a secret of the studip")), enable(t, &lan, named("c")), enable(t, &lan, named("c"))
	a.await("a warning", warned("do not prove its secret"))
	b.await("a warning", warned("do not prove its secret"))
	c.await("a warning", warned("prove a secret, which this one does not know"))
	clone.await("a warning", warned("another agent has the node id c"))
	a.await("a leaf", leads)
	a.await("a warning", warned("on this machine only"))
	if n := a.agent.Status().Rejected["proof"]; n == 0 {
		t.Error("nothing is counted")
	}
}

func TestManifestsAreReadOnLANsOnly(t *testing.T) {
	for address, may := range map[string]bool{
		"192.168.1.1": true, "10.1.2.3": true, "127.0.0.1": true, "169.254.1.1": true, "100.64.1.1": true, "100.127.255.254": true,
		"fd00::1": true, "fe80::1%1": true, "::1": true, "::ffff:192.168.1.1": true,
		"100.128.0.1": false, "8.8.8.8": false, "2001:db8::1": false, "::ffff:8.8.8.8": false, "0.0.0.0": false,
	} {
		host := address
		if strings.Contains(host, ":") {
			host = "[" + host + "]"
		}
		if err := lanOnly("tcp", host+":443", nil); (err == nil) != may {
			t.Errorf("%s: %v", address, err)
		}
	}
	if !onLink(netip.MustParseAddr("127.0.0.9")) || onLink(netip.MustParseAddr("203.0.113.7")) {
		t.Error("what is in this machine's own networks is not told from what is not")
	}
}
