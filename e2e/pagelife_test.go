package e2e

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/kinopio-hub/kinopio-hub/v3/e2e/engine"
)

// throttled makes the browser slow down the timers of hidden pages as it does for users, only
// sooner: to one a minute after a second.
var throttled = []chromedp.ExecAllocatorOption{
	chromedp.Flag("disable-background-timer-throttling", false),
	chromedp.Flag("disable-backgrounding-occluded-windows", false),
	chromedp.Flag("disable-renderer-backgrounding", false),
	chromedp.Flag("enable-features", "IntensiveWakeUpThrottling:grace_period_seconds/1"),
}

// newLife opens the lab in a browser whose pages live as those of users do, with a hub whose
// server is behind a wire. options are the hub's.
func newLife(t *testing.T, options string, change ...func(*server.Options)) (lab, *wire) {
	t.Helper()
	remote := startRemote(t, change...)
	w := newWire(t, remote.websocket)
	return newLifeOn(t, remote, w, throttled, options), w
}

// newLifeOn is newLife with a given wire to a given server, in a browser with given flags.
func newLifeOn(t *testing.T, remote remote, w *wire, flags []chromedp.ExecAllocatorOption, options string) lab {
	t.Helper()
	l := lab{remote: remote, routes: &routes{}}
	l.page = serveLab(t, l.routes, nil)
	if engineOf(t) != engine.Chromium {
		flags = nil // the others slow hidden pages down as they do for users
	}
	l.browser = openBrowser(t, "", flags...)
	l.goTo(l.page.URL + "/")
	eval[bool](l.browser, fmt.Sprintf(`(async () => {
		window.happened = [];
		for (const name of ["visibilitychange", "freeze", "resume"]) document.addEventListener(name, () => happened.push(name));
		for (const name of ["pageshow", "online", "offline"]) addEventListener(name, (e) => happened.push(e.persisted ? "restored" : name));
		window.hub = open({ servers: ["ws://%s"], reconnectTimeWait: 50, %s });
		await hub.connected();
		window.beats = 0;
		await hub.lab.beat.sub(() => beats++);
		return true;
	})()`, w.address, options))
	return l
}

// hide hides the page.
func (b *browser) hide() { b.turn("hidden", b.page.Hide) }

// show shows it again.
func (b *browser) show() { b.turn("visible", b.page.Show) }

func (b *browser) turn(state string, do func(context.Context) error) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := do(ctx); err != nil {
		b.t.Fatal(err)
	}
	b.waitForEvent("the page is "+state, fmt.Sprintf(`document.visibilityState === %q`, state))
}

// waitForEvent is waitFor without a timer in the page, which may be hidden or frozen.
func (b *browser) waitForEvent(what, condition string) {
	b.t.Helper()
	deadline := time.After(patience)
	for !eval[bool](b, condition) {
		select {
		case <-time.After(15 * time.Millisecond):
		case <-deadline:
			b.t.Fatalf("%s: did not happen within %v: %v", what, patience, eval[any](b, `[hub.status, seen, window.happened]`))
		}
	}
}

// comesBack waits until the hub is connected again after n losses and a message comes back,
// and returns how long that took.
func (b *browser) comesBack(n int) time.Duration {
	b.t.Helper()
	begin := time.Now()
	b.waitForEvent("the hub is connected again", fmt.Sprintf(`hub.status.reconnects >= %d && hub.state === "connected"`, n))
	took := time.Since(begin)
	eval[bool](b, `(async () => { window.before = beats; await hub.lab.beat.pub(1); return true; })()`)
	b.waitForEvent("a message comes back", `beats > before`)
	return took
}

func TestHiddenTabNeitherTimesOutNorWakesUp(t *testing.T) {
	t.Parallel()
	l, _ := newLife(t, `pingInterval: 200, maxPingOut: 2, discovery: { enabled: true, cacheTtlMs: 100 }`, func(o *server.Options) {
		o.PingInterval, o.MaxPingsOut = 400*time.Millisecond, 2 // unanswered, it is cut after a second
	})
	eval[bool](l.browser, `(async () => {
		window.late = window.ticks = window.arrived = 0;
		setInterval(() => { ticks++; fired--; }, 100);
		await hub.lab.clock.sub((sent) => { arrived++; late = Math.max(late, Date.now() - sent); });
		return true;
	})()`)
	publisher, err := nats.Connect(l.remote.client)
	if err != nil {
		t.Fatal(err)
	}
	defer publisher.Close()
	l.hide()
	const hidden = 12 * time.Second
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	sent := 0
	warm := 0
	for begin := time.Now(); time.Since(begin) < hidden; sent++ {
		if warm == 0 && time.Since(begin) > 2*time.Second { // from now on its timers are throttled
			eval[bool](l.browser, `(ticks = fired = 0, true)`)
			warm = sent
		}
		if err := publisher.Publish("lab.clock", fmt.Append(nil, time.Now().UnixMilli())); err != nil {
			t.Fatal(err)
		}
		<-tick.C
	}
	seen := eval[struct{ Ticks, Fired, Arrived, Late, Reconnects int }](l.browser, `({ ticks, fired, arrived, late, reconnects: hub.status.reconnects })`)
	t.Logf("10 s in a hidden tab: %+v of %d", seen, sent)
	if seen.Ticks > 15 {
		t.Errorf("a timer of 100 ms fired %d times: the tab was not throttled, so this test shows nothing", seen.Ticks)
	}
	if seen.Reconnects != 0 || seen.Arrived < sent-20 || seen.Late > 1000 {
		t.Errorf("want no reconnect, all messages, none of them late: %+v", seen)
	}
	if seen.Fired > 5 {
		t.Errorf("the hub woke the tab up %d times in 10 s", seen.Fired)
	}
	l.show()
	l.works()
}

func TestHiddenTabIsNotIdleForAMinute(t *testing.T) {
	t.Parallel()
	const limit = 55 * time.Second // of a proxy, a little less than nginx's
	remote := startRemote(t)
	w := newIdleWire(t, remote.websocket, limit)
	l := newLifeOn(t, remote, w, throttled[:3], "") // hidden for less than the five minutes after which timers are rarer
	l.hide()
	hidden := time.NewTimer(limit + 10*time.Second)
	defer hidden.Stop()
	<-hidden.C // nothing tells that nothing happens
	l.works()
}

func TestVisibleAgainChecksTheLinkAtOnce(t *testing.T) {
	t.Parallel()
	l, w := newLife(t, `pingInterval: 60000`)
	l.hide()
	w.stall() // what a router does that has forgotten the connection
	l.show()
	if took := l.comesBack(1); took > 6*time.Second {
		t.Errorf("took %v", took)
	} else {
		t.Logf("a silent server was left %v after the page was visible again", took)
	}
}

func TestSilentServerIsFoundByPings(t *testing.T) {
	t.Parallel()
	l, w := newLife(t, `pingInterval: 300, maxPingOut: 2`)
	w.stall()
	t.Logf("a silent server was left after %v", l.comesBack(1))
}

func TestFrozenPageRecovers(t *testing.T) {
	t.Parallel()
	l, _ := newLife(t, `pingInterval: 60000, retryDelay: 60000, maxRetryDelay: 60000`)
	l.hide()
	l.life(page.SetWebLifecycleStateStateFrozen)
	l.life(page.SetWebLifecycleStateStateActive)
	l.waitForEvent("the page was frozen", `happened.includes("freeze") && happened.includes("resume")`)
	t.Logf("connected again %v after the page went on, still hidden", l.comesBack(1))
	l.show()
	l.comesBack(1)
}

func TestPageFromTheBackForwardCacheRecovers(t *testing.T) {
	t.Parallel()
	l, _ := newLife(t, `pingInterval: 60000, retryDelay: 60000, maxRetryDelay: 60000`)
	l.goTo(l.page.URL + "/kinopio-hub.global.js")
	eval[any](l.browser, `(setTimeout(() => history.back()), null)`)
	l.waitForEvent("the page is back from the cache", `window.happened?.includes("restored") === true`)
	t.Logf("connected again %v after the page was back", l.comesBack(1))
}

func TestOfflineIsNoticedAndItsEndToo(t *testing.T) {
	t.Parallel()
	l, _ := newLife(t, `pingInterval: 300, maxPingOut: 2, retryDelay: 60000, maxRetryDelay: 60000, reconnectTimeout: 1000`)
	// What the browser believes is a hint: the network works all the same.
	l.believe(true)
	l.works()
	f := eval[failure](l.browser, fmt.Sprintf(`fails(open({ servers: [%q] }).connected(5000).then(() => "connected"))`, l.remote.websocket))
	wants(t, "a new hub while navigator.onLine is false", f.Message, `"connected"`)
	l.offline(true)
	l.waitForEvent("the hub has noticed", `hub.state === "connecting"`)
	l.waitForEvent("an attempt has failed", `hub.status.lastError !== null`)
	l.offline(false)
	l.believe(false)
	l.waitForEvent("the browser says online", `happened.includes("online")`)
	t.Logf("connected again %v after the browser said online, of a backoff of a minute", l.comesBack(1))
}

// believe sets navigator.onLine, and nothing else.
func (b *browser) believe(offline bool) {
	b.t.Helper()
	if _, err := chromedp.Call(b.tab(), network.OverrideNetworkState, network.OverrideNetworkStateParams{Offline: offline, DownloadThroughput: -1, UploadThroughput: -1}); err != nil {
		b.t.Fatal(err)
	}
}

// offline cuts the page's network off, and nothing else.
func (b *browser) offline(off bool) {
	b.t.Helper()
	if _, err := chromedp.Call(b.tab(), network.EmulateNetworkConditionsByRule, network.EmulateNetworkConditionsByRuleParams{
		MatchedNetworkConditions: []*network.Conditions{{Offline: off, DownloadThroughput: -1, UploadThroughput: -1}},
	}); err != nil {
		b.t.Fatal(err)
	}
}

// life freezes the page, or lets it go on.
func (b *browser) life(state page.SetWebLifecycleStateState) {
	b.t.Helper()
	if _, err := chromedp.Call(b.tab(), page.SetWebLifecycleState, page.SetWebLifecycleStateParams{State: state}); err != nil {
		b.t.Fatal(err)
	}
}
