package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// forBothPermissions runs a test with a leaf that needs the one permission, while the other
// one is in the given state, which must not matter.
func forBothPermissions(t *testing.T, other string, test func(t *testing.T, s *site, permission string)) {
	for _, onLAN := range []bool{true, false} {
		permission, unrelated := "loopback-network", "local-network"
		if onLAN {
			permission, unrelated = unrelated, permission
		}
		t.Run(permission, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, siteOptions{onLAN: onLAN})
			s.permit(unrelated, other)
			test(t, s, permission)
		})
	}
}

func TestGrantedPermissionLeadsToTheLeaf(t *testing.T) {
	forBothPermissions(t, "denied", func(t *testing.T, s *site, permission string) {
		s.permit(permission, "granted")
		s.open("")
		s.awaitDiscovery("local")
		s.works()
		if via := eval[string](s.browser, `hub.status.via`); via != "leaf" {
			t.Errorf("the hub is on %q, want the leaf", via)
		}
		if noise := s.said(""); len(noise) > 0 {
			t.Errorf("the console says %q", noise)
		}
	})
}

func TestDeniedPermissionStopsTheSearchUntilItIsGranted(t *testing.T) {
	forBothPermissions(t, "granted", func(t *testing.T, s *site, permission string) {
		s.permit(permission, "denied")
		s.open("")
		wants(t, "denied", s.awaitDiscovery("permission-denied"), s.leafURL, "iframe")
		s.works()
		if n := s.leafWire.count(); n != 0 {
			t.Errorf("%d connections to the leaf without permission", n)
		}
		s.permit(permission, "granted") // onchange, without a reload
		s.awaitDiscovery("local")
		s.works()
	})
}

func TestUndecidedPermissionIsNotAskedForByItself(t *testing.T) {
	forBothPermissions(t, "granted", func(t *testing.T, s *site, permission string) {
		s.open("")
		wants(t, "prompt", s.awaitDiscovery("permission-needed"), s.leafURL, "requestLocalNetwork")
		s.works()
		if n := s.leafWire.count(); n != 0 {
			t.Errorf("%d connections to the leaf before any click", n)
		}
		// A headless browser answers its own question with no, for good.
		eval[bool](s.browser, `(() => {
			const button = document.body.appendChild(document.createElement("button"));
			button.id = "ask"; button.textContent = "Use the local network";
			button.onclick = async () => { window.answer = await hub.requestLocalNetwork(); };
			return true;
		})()`)
		s.click("#ask")
		s.waitFor("the request has come to something", `window.answer`, `hub.discoveryStatus`)
		if state := eval[string](s.browser, `answer.state`); state != "permission-denied" || s.leafWire.count() == 0 {
			t.Errorf("the click came to %s after %d connections, want permission-denied after the browser's question", state, s.leafWire.count())
		}
		s.works()
		s.permit(permission, "granted") // in the site's settings
		s.awaitDiscovery("local")
		s.works()
	})
}

func TestAutoLetsTheBrowserAskOncePerPage(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{})
	s.permit("loopback-network", "prompt") // to which a headless browser says no, but remembers nothing
	s.open(`localNetwork: "auto"`)
	s.waitFor("the browser has asked", `seen[0].discovery.includes("untrusted-or-unreachable")`, `seen[0].discovery`)
	asked := s.leafWire.count()
	s.works()
	s.begin(s.remote.websocket, `localNetwork: "auto"`) // another hub of the same page
	wants(t, "the second", s.awaitDiscovery("permission-needed"), "requestLocalNetwork")
	if n := s.leafWire.count(); asked == 0 || n != asked {
		t.Errorf("%d connections to the leaf by the first hub, %d by both: want one question", asked, n)
	}
}

func TestInsecurePageSaysOnceThatItNeedsHTTPS(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{insecure: true})
	s.open("")
	wants(t, "insecure", s.awaitDiscovery("permission-denied"), s.leafURL, "https")
	s.works()
	tried := s.leafWire.count()
	eval[bool](s.browser, `hub.requestLocalNetwork().then(() => true)`)
	s.works()
	if n := s.leafWire.count(); n != tried {
		t.Errorf("%d connections to the leaf, then %d: want no further try", tried, n)
	}
	if lines := s.said("no local network"); len(lines) != 1 {
		t.Errorf("the console says it %d times: %q", len(lines), lines)
	}
}

func TestUntrustedLeafIsOneWord(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{stranger: newAuthority(t)})
	s.permit("loopback-network", "granted")
	s.open("")
	wants(t, "untrusted", s.awaitDiscovery("untrusted-or-unreachable"), s.leafURL, "certificate")
	s.works()
	// The permission is undecided, and the certificate fails before the browser asks.
	s.permit("loopback-network", "prompt")
	s.awaitDiscovery("permission-needed")
	wants(t, "asked for", eval[string](s.browser, `hub.requestLocalNetwork().then((d) => d.state + ": " + d.detail)`), "untrusted-or-unreachable", "undecided")
	s.works()
}

func TestDeadLeafIsLeftAndFoundAgain(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{})
	s.permit("loopback-network", "granted")
	dead := "wss://" + closedPort(t)
	s.lead(dead)
	s.open("")
	wants(t, "dead", s.awaitDiscovery("untrusted-or-unreachable"), dead, "nothing answers")
	s.works()
	s.lead(s.leafURL)
	s.awaitDiscovery("local")
	s.works()
	// It dies while the page is on it, and its manifest with it.
	s.routes.set("/.well-known/kinopio-leader.json", serveStatus(204))
	s.leaf.server.Shutdown()
	s.leafWire.cut()
	s.awaitDiscovery("no-leader")
	s.waitFor("the page is on its server", `hub.state === "connected" && hub.status.via === "configured"`, `hub.status`)
	eval[bool](s.browser, `hub.lab.beat.pub(1).then(() => true)`)
}

func TestPageOfThisMachineNeedsNoPermission(t *testing.T) {
	l := newLab(t) // a page from this machine, by http
	l.routes.set("/.well-known/kinopio-leader.json", serveStatus(404))
	l.begin(l.remote.websocket, "")
	l.awaitDiscovery("no-leader")
	l.works()
	l.routes.set("/.well-known/kinopio-leader.json", html)
	l.waitFor("the detail says what the manifest is", `hub.discoveryStatus.detail.includes("is text/html, want application/json")`, `hub.discoveryStatus`)

	// Nor does a Worker, which has no document and no events of a page.
	l.routes.set("/worker.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		fmt.Fprintf(w, `
			importScripts("/kinopio-hub.global.js");
			const hub = new KinopioHub({ servers: [%q], discovery: { enabled: true } });
			hub.onError((e) => postMessage(e.message));
			hub.onDiscovery(async (d) => {
				if (d.state !== "no-leader") return;
				await hub.lab.v.sub(() => postMessage(d.detail));
				hub.lab.v.pub(1);
			});`, l.remote.websocket)
	})
	wants(t, "a worker", eval[string](l.browser, `new Promise((yes) => {
		const worker = new Worker("/worker.js");
		worker.onerror = (e) => yes(e.message);
		worker.onmessage = (e) => { worker.terminate(); yes(e.data); };
	})`), "is text/html")
}

func TestManifestIsJudgedByTheClockOfItsServer(t *testing.T) {
	l := newLab(t)
	dead := "ws://" + closedPort(t)
	past := time.Now().Add(-2 * time.Hour) // there
	manifest := manifestOf(past.Add(time.Hour), dead)
	for exposed, want := range map[bool]string{true: "untrusted-or-unreachable", false: "no-leader"} {
		other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Date", past.UTC().Format(http.TimeFormat))
			w.Header().Set("Access-Control-Allow-Origin", "*")
			if exposed {
				w.Header().Set("Access-Control-Expose-Headers", "Date")
			}
			manifest(w, r)
		}))
		defer other.Close()
		l.begin(l.remote.websocket, fmt.Sprintf("manifestUrl: %q", other.URL))
		detail := l.awaitDiscovery(want)
		if !exposed {
			wants(t, "from another origin without its clock", detail, "expired")
		}
	}
}

func TestContentSecurityPolicyIsAnErrorWithoutAnEnd(t *testing.T) {
	l := newLab(t)
	leaf := startRemote(t)
	l.routes.set("/.well-known/kinopio-leader.json", manifestOf(later(), leaf.websocket))
	l.routes.set("/strict", strictPage("default-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-inline' 'wasm-unsafe-eval'; connect-src 'self' "+l.remote.websocket))
	l.goTo(l.page.URL + "/strict")
	l.begin(l.remote.websocket, "")
	wants(t, "forbidden leaf", l.awaitDiscovery("untrusted-or-unreachable"), leaf.websocket, "Content-Security-Policy")
	l.works()
	// The hub's own server forbidden: the attempt ends when the browser says error, not at its deadline.
	begin := eval[float64](l.browser, `performance.now()`)
	f := eval[failure](l.browser, fmt.Sprintf(`fails(open({ servers: [%q], waitOnFirstConnect: false, reconnectTimeout: 15000 }).connected())`, leaf.websocket))
	if took := eval[float64](l.browser, `performance.now()`) - begin; f.Code != "CONNECT_FAILED" || took > 5000 {
		t.Errorf("a forbidden server gave %+v after %.0f ms", f, took)
	}
}
