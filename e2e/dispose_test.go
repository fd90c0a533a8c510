package e2e

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/e2e/engine"
)

// alivePage is what the module and the page hold.
type alivePage struct {
	Goroutines, Hubs, Sockets, Subscriptions, Requests, Answers, Unacked, Pending, WebSockets int
	Timers, Listeners                                                                         int
}

const aliveNow = `({ ...KinopioHub.debugAlive(), timers: timers.size, listeners })`

func TestDisposedHubsLeaveNothing(t *testing.T) {
	l := newLab(t)
	silent := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	if engineOf(t) == engine.Firefox { // opens one WebSocket to an address after the other, so this has another
		if err := silent.Listener.Close(); err != nil {
			t.Fatal(err)
		}
		l, err := net.Listen("tcp", "127.0.0.2:0")
		if err != nil {
			t.Fatal(err)
		}
		silent.Listener = l
	}
	silent.Start()
	t.Cleanup(func() {
		silent.CloseClientConnections()
		silent.Close()
	})
	// A leaf that is not bridged to the remote: a move to it begins and is never made.
	stranger := startRemote(t)
	l.routes.set("/stranger-manifest", manifestOf(time.Now().Add(time.Hour), stranger.websocket))
	l.routes.set("/stranger-has-client", func(w http.ResponseWriter, r *http.Request) {
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for stranger.server.NumClients() == 0 && r.Context().Err() == nil {
			<-tick.C
		}
	})
	l.routes.set("/silent-manifest", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	eval[bool](l.browser, fmt.Sprintf(`(() => {
		const remote = %q, silent = %q, closed = %q;
		// Hubs at every moment of their lives; each resolves when it is there.
		window.lives = {
			async "just made"() { return open({ servers: [remote] }); },
			async "connecting to silence"() { return open({ servers: [silent] }); },
			async "waiting to try again"() {
				const hub = open({ servers: [closed] });
				await fails(hub.connected(300));
				return hub;
			},
			async "looking for a leaf"() {
				const hub = open({ servers: [remote], discovery: { enabled: true, manifestUrl: location.origin + "/silent-manifest" } });
				await hub.connected();
				return hub;
			},
			async "moving"() {
				const hub = open({ servers: [remote], discovery: { enabled: true, manifestUrl: location.origin + "/stranger-manifest" } });
				await hub.lab.news.sub(() => {});
				await fetch("/stranger-has-client");
				return hub;
			},
			async "busy"() {
				const hub = open({ servers: [remote], pingInterval: 200 });
				await hub.connected();
				await hub.lab.news.sub(() => {});
				await hub.lab.slow.serve(() => new Promise(() => {}));
				hub.lab.followed.value;
				await hub.lab.news.pub("x");
				return hub;
			},
			async "waiting for an answer"() {
				const hub = open({ servers: [remote] });
				await hub.lab.slow.serve(() => new Promise(() => {}));
				pending.push(fails(hub.lab.slow.req("?", { timeout: 60000 })));
				await hub.flush();
				return hub;
			},
		};
		window.pending = [];
		return true;
	})()`, l.remote.websocket, strings.Replace(silent.URL, "http", "ws", 1), "ws://"+closedPort(t)))

	// The first hub starts the module; what is left of it is the module itself.
	round := `Promise.all(Object.values(lives).map((make) => make())).then((all) => Promise.all(all.map((hub) => hub.dispose()))).then(() => true)`
	idle := func() alivePage {
		t.Helper()
		l.waitFor("the page is idle", `(() => { const a = `+aliveNow+`; return a.hubs + a.sockets + a.subscriptions + a.requests + a.answers + a.webSockets + a.timers === 0 })()`, aliveNow)
		return eval[alivePage](l.browser, aliveNow)
	}
	eval[bool](l.browser, round)
	before := idle()
	const rounds = 10
	for range rounds {
		eval[bool](l.browser, round)
	}
	after := idle()
	if after.Goroutines > before.Goroutines || after.Listeners > before.Listeners || after.Unacked+after.Pending > 0 {
		t.Errorf("after the first round %+v, after %d more %+v", before, rounds, after)
	}
	t.Logf("%d hubs made and disposed; alive at the end: %+v", 7*(rounds+1), after)

	for _, f := range eval[[]failure](l.browser, `Promise.all(pending)`) {
		if f.Code != "DISPOSED" {
			t.Errorf("a request that waited when its hub was disposed: %+v, want DISPOSED", f)
		}
	}
	f := eval[failure](l.browser, `(async () => { const hub = open({ servers: [`+fmt.Sprintf("%q", l.remote.websocket)+`] }); await hub.dispose(); await hub.dispose(); return fails(hub.lab.x.pub(1)); })()`)
	if f.Code != "DISPOSED" {
		t.Errorf("a publish after dispose: %+v, want DISPOSED", f)
	}
	if n := l.remote.server.NumClients() + stranger.server.NumClients(); n != 0 {
		t.Errorf("%d connections are left at the servers", n)
	}
}
