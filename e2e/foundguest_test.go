package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// A stranger is a guest that knows nothing but its server and a namespace: the leaf is found through the session,
// which is closed to the LAN, gives a ticket, and is known by the hash of its certificate.
type stranger struct {
	*guest
	credentials string // what the page shows its server, as a part of its options
}

const (
	strangersUser   = "page"
	strangersSecret = "what no leaf may see"
)

func newStranger(t *testing.T, flags ...string) stranger {
	t.Helper()
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("of the leaf"), 0o600); err != nil {
		t.Fatal(err)
	}
	g := newGuestAt(t, func(o *server.Options) {
		o.Username, o.Password = strangersUser, strangersSecret
		o.LeafNode.Username, o.LeafNode.Password = "leaf", "of the leaf"
	}, append([]string{"--backbone-user", "leaf", "--backbone-password-file", password}, flags...)...)
	g.routes.set("/.well-known/kinopio-leader.json", nil) // There is no manifest to fetch.
	return stranger{g, fmt.Sprintf(`user: %q, pass: %q`, strangersUser, strangersSecret)}
}

// open opens the page, with one hub that is found at the server and another that looks for the leaf.
func (s stranger) open(discovery string) {
	s.t.Helper()
	s.goTo(s.origin + "/")
	eval[bool](s.browser, fmt.Sprintf(`(async () => {
		const servers = [%q], credentials = { %s };
		window.remote = open({ servers, ...credentials });
		window.hub = open({ servers, ...credentials, discovery: { enabled: true, %s } });
		await Promise.all([remote.connected(), hub.connected()]);
		window.beats = 0;
		await hub.lab.beat.sub(() => beats++);
		return true;
	})()`, s.remote.websocket, s.credentials, discovery))
}

// count has both hubs publish numbers for each other, rate a second each way, until stopNumbers.
func (s stranger) count() {
	s.t.Helper()
	eval[bool](s.browser, fmt.Sprintf(`(async () => {
		const follow = async (variable) => {
			const c = { next: 0, received: 0, lost: 0, repeated: 0 };
			await variable.sub((n) => {
				if (n > c.next) c.lost += n - c.next;
				if (n < c.next) c.repeated++;
				else c.next = n + 1;
				c.received++;
			});
			return c;
		};
		window.inward = await follow(hub.lab.inward);
		window.outward = await follow(remote.lab.outward);
		await Promise.all([hub.flush(), remote.flush()]);
		window.published = 0;
		const begin = performance.now();
		const timer = setInterval(() => {
			for (const due = (performance.now() - begin) * %d / 1000; published < due; published++) {
				remote.lab.inward.pub(published);
				hub.lab.outward.pub(published);
			}
		}, 5);
		window.stopNumbers = () => clearInterval(timer);
		return true;
	})()`, rate))
}

const countsNow = `[hub.status, hub.discoveryStatus, window.inward, window.outward, window.published]`

// more waits until numbers have come on both ways.
func (s stranger) more(what string) {
	s.t.Helper()
	eval[bool](s.browser, `(() => { window.mark = published; return true; })()`)
	s.waitFor(what, fmt.Sprintf(`inward.next > mark + %d && outward.next > mark + %d`, settle, settle), countsNow)
}

// exact stops the numbers and fails the test unless each has come once.
func (s stranger) exact() {
	s.t.Helper()
	eval[bool](s.browser, `(() => { stopNumbers(); return true; })()`)
	s.waitFor("all that was published", `inward.next === published && outward.next === published`, countsNow)
	if c := eval[string](s.browser, `JSON.stringify([inward.lost, inward.repeated, outward.lost, outward.repeated])`); c != "[0,0,0,0]" {
		s.t.Errorf("lost and repeated, inward and outward: %s", c)
	}
	s.t.Logf("%d numbers each way", eval[int](s.browser, `published`))
}

// onLeaf waits until the page is on the leaf, by WebTransport.
func (s stranger) onLeaf() {
	s.t.Helper()
	s.waitFor("on the leaf", `hub.status.via === "leaf" && hub.state === "connected"`, `[hub.status, hub.discoveryStatus, seen.at(-1)]`)
	wants(s.t, "the way", s.awaitDiscovery("local"), "by WebTransport", s.status.WSSURL)
}

// A page with nothing but its server and the name of the namespace, in a browser that trusts no CA of ours, comes to
// the leaf, and moves exactly there and back, also when the leaf is killed.
func TestStrangersFindTheLeafThroughTheSession(t *testing.T) {
	for _, c := range []struct {
		name  string
		flags []string
		key   bool
	}{
		{"open leaf", nil, false},
		{"leaf with tickets", []string{"--tickets"}, false},
		{"signed, with tickets", []string{"--tickets", "--namespace-secret", "a secret of this test"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newStranger(t, c.flags...)
			discovery := `namespace: "e2e"`
			if c.key {
				discovery += fmt.Sprintf(`, namespaceKey: %q`, namespaceKey(t, "a secret of this test"))
			}
			s.open(discovery)
			s.onLeaf()
			s.count()
			s.more("numbers by the leaf")
			for _, how := range []string{"planned", "killed"} {
				if how == "killed" {
					_ = s.leaf.cmd.Process.Kill()
				} else {
					s.leaf.end()
				}
				took := s.waitFor(how+": back on the server", `hub.status.via === "configured" && hub.state === "connected"`, countsNow)
				s.more(how + ": numbers by the server")
				s.leaf, s.status = s.start()
				again := s.waitFor(how+": on the leaf again", `hub.status.via === "leaf" && hub.state === "connected"`, countsNow)
				wants(t, how, s.awaitDiscovery("local"), "by WebTransport")
				s.more(how + ": numbers by the leaf again")
				t.Logf("%s: back on the server after %v, on the leaf again %v after its bridge was up", how, took.Round(time.Millisecond), again.Round(time.Millisecond))
			}
			s.exact()
			if noise := s.said("uncaught"); len(noise) > 0 {
				t.Errorf("the console says %q", noise)
			}
		})
	}
}

// Who wants answers signed believes no way to a leaf that is not in a signed one.
func TestStrangersWithAKeyBelieveNoUnsignedLeaf(t *testing.T) {
	s := newStranger(t, "--namespace-secret", "a secret of somebody else")
	s.open(fmt.Sprintf(`namespace: "e2e", namespaceKey: %q`, namespaceKey(t, "a secret of this test")))
	s.waitFor("the answer is refused", `hub.discoveryStatus.detail.includes("namespaceKey")`, `[hub.discoveryStatus, hub.status]`)
	if via := eval[string](s.browser, `hub.status.via`); via != "configured" {
		t.Errorf("the hub is on %q", via)
	}
	if n := eval[int](s.browser, `seen.at(-1).moves.filter((m) => m.via === "leaf").length`); n != 0 {
		t.Errorf("%d moves, with a leaf that nobody has vouched for", n)
	}
	s.works()
}

func namespaceKey(t *testing.T, secret string) string {
	t.Helper()
	out, err := exec.Command(artefacts(t).program, "leaf", "key", "--discovery-namespace", "e2e", "--namespace-secret", secret, "--json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var said struct{ NamespaceKey string }
	if err := json.Unmarshal(out, &said); err != nil || !strings.HasPrefix(said.NamespaceKey, "N") {
		t.Fatalf("leaf key: %s: %v", out, err)
	}
	return said.NamespaceKey
}
