package e2e

import (
	"bufio"
	"fmt"
	"maps"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/e2e/engine"
)

// atOnce is well below the time after which others notice that a member has gone without a word.
const atOnce = 8 * time.Second

// onlooker is a program in Go that sees who is in the scope room: examples/go-presence.
type onlooker struct {
	t       *testing.T
	mu      sync.Mutex
	here    map[string]string // data by ids
	left    int
	changed chan struct{}
}

func startOnlooker(t *testing.T, server string) *onlooker {
	t.Helper()
	program := filepath.Join(t.TempDir(), "onlooker")
	if said, err := exec.Command("go", "build", "-o", program, "../examples/go-presence").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	o := &onlooker{t: t, here: map[string]string{}, changed: make(chan struct{}, 1)}
	command := exec.Command(program, server)
	in, err := command.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	read := make(chan struct{})
	t.Cleanup(func() {
		_ = in.Close() // which ends it
		<-read
		if err := command.Wait(); err != nil {
			t.Error(err)
		}
	})
	go func() {
		defer close(read)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			o.take(strings.SplitN(lines.Text(), " ", 3))
		}
	}()
	return o
}

// take takes a line: what has happened, an id, and data as JSON.
func (o *onlooker) take(words []string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if words[0] == "left" {
		delete(o.here, words[1])
		o.left++
	} else {
		o.here[words[1]] = words[2]
	}
	select {
	case o.changed <- struct{}{}:
	default:
	}
}

// sees waits until the members are those with these data, which are words.
func (o *onlooker) sees(what string, limit time.Duration, data ...string) {
	o.t.Helper()
	start, deadline := time.Now(), time.After(limit)
	for !o.are(data) {
		select {
		case <-o.changed:
		case <-deadline:
			o.mu.Lock()
			defer o.mu.Unlock()
			o.t.Fatalf("%s: not within %v: here are %v, want %v", what, limit, o.here, data)
		}
	}
	o.t.Logf("%s: seen after %v", what, time.Since(start).Round(time.Millisecond))
}

func (o *onlooker) are(data []string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := slices.Sorted(maps.Values(o.here))
	var want []string
	for _, one := range data {
		want = append(want, strconv.Quote(one))
	}
	slices.Sort(want)
	return slices.Equal(all, want)
}

// ids are those of the members, and how many have left.
func (o *onlooker) ids() (ids []string, left int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Sorted(maps.Keys(o.here)), o.left
}

func TestPageThatGoesIsSeenToLeaveAtOnce(t *testing.T) {
	t.Parallel()
	remote := startRemote(t)
	l := lab{remote: remote, routes: &routes{}}
	l.page = serveLab(t, l.routes, nil)
	l.browser = openBrowser(t, "")
	looks := startOnlooker(t, remote.client)
	join := func(data string) {
		l.goTo(l.page.URL + "/")
		eval[bool](l.browser, fmt.Sprintf(`(async () => {
			window.hub = open({ servers: [%q] });
			hub.room.presence.join(%q);
			return (await hub.room.presence.ready(0)).some(({ self }) => self);
		})()`, remote.websocket, data))
		looks.sees(data+" joins", patience, data)
	}
	join("first")
	l.goTo(l.page.URL + "/kinopio-hub.global.js")
	looks.sees("a page that is left", atOnce)
	join("second")
	eval[any](l.browser, `(setTimeout(() => location.reload()), null)`)
	looks.sees("a page that is reloaded", atOnce)
	join("third")
	if engineOf(t) != engine.Chromium {
		return // others open no tab that no user has asked for
	}
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
	looks.sees("a tab is opened", patience, "third", "tab")
	eval[any](l.browser, `hub.room.close.pub("now").then(() => hub.flush())`)
	looks.sees("a tab that is closed", atOnce, "third")
}

func TestPageFromTheBackForwardCacheIsAMemberAgain(t *testing.T) {
	t.Parallel()
	l, _ := newLife(t, ``)
	looks := startOnlooker(t, l.remote.client)
	eval[bool](l.browser, `(hub.room.presence.join("page"), true)`)
	looks.sees("the page joins", patience, "page")
	first, _ := looks.ids()
	l.goTo(l.page.URL + "/kinopio-hub.global.js")
	looks.sees("the page goes", atOnce)
	eval[any](l.browser, `(setTimeout(() => history.back()), null)`)
	l.waitForEvent("the page is back from the cache", `window.happened?.includes("restored") === true`)
	looks.sees("the page comes back", patience, "page")
	if again, _ := looks.ids(); !slices.Equal(again, first) {
		t.Errorf("the member was %s, and is %s", first, again)
	}
}

// A hidden page, whose timers the browser holds up to one a minute, is there all the time for who only looks.
func TestHiddenPageStaysAMember(t *testing.T) {
	t.Parallel()
	l, _ := newLife(t, ``)
	looks := startOnlooker(t, l.remote.client)
	eval[bool](l.browser, `(hub.room.presence.join("page"), true)`)
	looks.sees("the page joins", patience, "page")
	l.hide()
	time.Sleep(70 * time.Second) // what a timer may be late, and a member silent
	if _, left := looks.ids(); left != 0 {
		t.Errorf("the page was seen to leave %d times, and is hidden", left)
	}
	l.show()
	looks.sees("the page is still there", patience, "page")
}
