package e2e

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// atOnce is well below the time after which others notice that a member has gone without a word.
const atOnce = 8 * time.Second

// lookOn opens a hub that sees who is in the scope room of a server, and returns what waits until those are the members with
// these data, and one member's id.
func lookOn(t *testing.T, server string) (waitFor func(what string, limit time.Duration, data ...string), id func() string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	h, err := hub.Open(ctx, hub.Config{Servers: []string{server}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close() })
	var mu sync.Mutex
	here := map[string]string{}
	changed := make(chan struct{}, 1)
	if _, err := h.Scope("room").Presence().OnChange(func(c hub.PresenceChange) {
		mu.Lock()
		defer mu.Unlock()
		if here[c.Member.ID] = fmt.Sprint(c.Member.Data); c.Kind == hub.MemberLeft {
			delete(here, c.Member.ID)
		}
		select {
		case changed <- struct{}{}:
		default:
		}
	}); err != nil {
		t.Fatal(err)
	}
	are := func(data []string) bool {
		mu.Lock()
		defer mu.Unlock()
		rest := map[string]int{}
		for _, one := range here {
			rest[one]++
		}
		for _, one := range data {
			rest[one]--
		}
		for _, n := range rest {
			if n != 0 {
				return false
			}
		}
		return true
	}
	return func(what string, limit time.Duration, data ...string) {
			t.Helper()
			start := time.Now()
			deadline := time.After(limit)
			for !are(data) {
				select {
				case <-changed:
				case <-deadline:
					mu.Lock()
					defer mu.Unlock()
					t.Fatalf("%s: not within %v: here are %v, want %v", what, limit, here, data)
				}
			}
			t.Logf("%s: seen after %v", what, time.Since(start).Round(time.Millisecond))
		}, func() string {
			mu.Lock()
			defer mu.Unlock()
			for id := range here {
				return id
			}
			return ""
		}
}

func TestPageThatGoesIsSeenToLeaveAtOnce(t *testing.T) {
	t.Parallel()
	remote := startRemote(t)
	l := lab{remote: remote, routes: &routes{}}
	l.page = serveLab(t, l.routes, nil)
	l.browser = openBrowser(t, "")
	waitFor, _ := lookOn(t, remote.client)
	join := func(data string) {
		l.goTo(l.page.URL + "/")
		eval[bool](l.browser, fmt.Sprintf(`(async () => {
			window.hub = open({ servers: [%q] });
			hub.room.presence.join(%q);
			return (await hub.room.presence.ready(0)).some(({ self }) => self);
		})()`, remote.websocket, data))
		waitFor(data+" joins", patience, data)
	}
	join("first")
	l.goTo(l.page.URL + "/kinopio-hub.global.js")
	waitFor("a page that is left", atOnce)
	join("second")
	eval[any](l.browser, `(setTimeout(() => location.reload()), null)`)
	waitFor("a page that is reloaded", atOnce)
	join("third")
	// A tab is closed.
	l.routes.set("/tab", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, labPage+`<script>
			const hub = open({ servers: [%q] });
			hub.room.presence.join("tab");
			void hub.room.close.sub(() => window.close());
		</script>`, remote.websocket)
	})
	eval[any](l.browser, `(() => {
		const link = document.body.appendChild(Object.assign(document.createElement("a"), { href: "/tab", target: "_blank", rel: "opener" }));
		link.click();
	})()`)
	waitFor("a tab is opened", patience, "third", "tab")
	eval[any](l.browser, `hub.room.close.pub("now").then(() => hub.flush())`)
	waitFor("a tab that is closed", atOnce, "third")
}

func TestPageFromTheBackForwardCacheIsAMemberAgain(t *testing.T) {
	t.Parallel()
	l, _ := newLife(t, ``)
	waitFor, id := lookOn(t, l.remote.client)
	eval[bool](l.browser, `(hub.room.presence.join("page"), true)`)
	waitFor("the page joins", patience, "page")
	first := id()
	l.goTo(l.page.URL + "/kinopio-hub.global.js")
	waitFor("the page goes", atOnce)
	eval[any](l.browser, `(setTimeout(() => history.back()), null)`)
	l.waitForEvent("the page is back from the cache", `window.happened?.includes("restored") === true`)
	waitFor("the page comes back", patience, "page")
	if again := id(); again != first {
		t.Errorf("the member was %s, and is %s", first, again)
	}
}

// A hidden page, whose timers the browser holds up to one a minute, is there all the time for who only looks.
func TestHiddenPageStaysAMember(t *testing.T) {
	t.Parallel()
	l, _ := newLife(t, ``)
	waitFor, _ := lookOn(t, l.remote.client)
	eval[bool](l.browser, `(hub.room.presence.join("page"), true)`)
	waitFor("the page joins", patience, "page")
	l.hide()
	h, err := hub.Open(t.Context(), hub.Config{Servers: []string{l.remote.client}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = h.Close() }()
	left := make(chan string, 1)
	if _, err := h.Scope("room").Presence().OnChange(func(c hub.PresenceChange) {
		if c.Kind == hub.MemberLeft {
			select {
			case left <- fmt.Sprint(c.Member.Data):
			default:
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	select {
	case who := <-left:
		t.Errorf("%s was seen to leave, and is hidden", who)
	case <-time.After(25 * time.Second): // well beyond what a member may be silent for
	}
	l.show()
	waitFor("the page is still there", patience, "page")
}
