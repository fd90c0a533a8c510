package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/kinopio-hub/kinopio-hub/v3/e2e/engine"
	hosts "github.com/kinopio-hub/kinopio-hub/v3/election/lab"
)

// playGuest is Chromium with a fresh profile, which trusts no CA of ours, on a host of the lab: args are the folder with the built
// package. Lines are evaluated in the page, and their values printed.
func playGuest(ctx context.Context, args []string, in <-chan string, out io.Writer) (err error) {
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			fmt.Fprint(w, labPage)
			return
		}
		http.FileServer(http.Dir(args[0])).ServeHTTP(w, r)
	}))
	defer app.Close()
	home, err := os.MkdirTemp("", "kinopio-e2e-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(home)
	page, err := engine.OpenChromium(ctx, engine.Options{Home: home}, chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-quic", false))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, page.Close(context.WithoutCancel(ctx))) }()
	if err := page.Navigate(ctx, app.URL); err != nil {
		return err
	}
	fmt.Fprintln(out, "ready")
	for line := range in {
		data, err := page.Evaluate(ctx, line)
		if err != nil {
			return err
		}
		fmt.Fprintln(out, "said", string(data))
	}
	return nil
}

// A browser behind NAT with nothing but its server and a namespace comes to the leaf of its own site by WebTransport; where a
// firewall drops UDP it stays on the server, and says why.
func TestBrowsersBehindNATComeToTheirOwnLeaf(t *testing.T) {
	built := artefacts(t)
	network := hosts.New(t)
	backbone := network.Public("backbone", 1)
	backbone.Play("backbone").Await("ready")
	north, south := network.Site("north"), network.Site("south")
	for _, site := range []*hosts.Site{north, south} {
		h := site.Host(10)
		leaf := h.Start("leaf", h.Command(context.Background(), built.program, "leaf", "start", "--discovery-namespace", "studio", "--node-id", site.Name, "--tickets", "--json-lines",
			"--parent-pipe", "--websocket-port", "4443", "--backbone-server", "nats-leaf://"+backbone.Address.String()+":7422", "--cache-dir", t.TempDir(), "--runtime-dir", t.TempDir()))
		leaf.Await(`"phase":"running"`, `"bridgeState":"connected"`)
	}
	for _, c := range []struct {
		site  *hosts.Site
		drops bool
		says  []string
	}{
		{north, false, []string{`"leaf"`, `wss://192.168.1.10:4443 by WebTransport`}},
		{south, false, []string{`"leaf"`, `wss://192.168.1.10:4443 by WebTransport`}},
		{south, true, []string{`"configured"`, `untrusted-or-unreachable`, `by WebTransport`, `UDP`, `by WebSocket`}},
	} {
		what := fmt.Sprintf("%s, UDP dropped: %v", c.site.Name, c.drops)
		last := 100
		if c.drops {
			last++
		}
		h := c.site.Host(last)
		if c.drops {
			h.DropUDP()
		}
		page := h.Play("guest", built.dist)
		page.Await("ready")
		page.Say(fmt.Sprintf(`(window.hub = open({ servers: ["ws://%s:8080"], discovery: { enabled: true, namespace: "studio" } })).connected().then(() => "connected")`, backbone.Address))
		page.Await("said", "connected")
		begin, line := time.Now(), ""
		for {
			page.Say(`JSON.stringify([hub.status.via, hub.discoveryStatus.state, hub.discoveryStatus.detail, seen[0].moves.map((m) => [m.reason, m.tookMs, m.error])])`)
			var text string
			line = strings.TrimSpace(strings.TrimPrefix(page.Await("said"), "said"))
			if err := json.Unmarshal([]byte(line), &text); err != nil {
				t.Fatalf("%s: %v: %s", what, err, line)
			}
			all := true
			for _, want := range c.says {
				all = all && strings.Contains(text, want)
			}
			if all {
				t.Logf("%s: %v after it was connected: %s", what, time.Since(begin).Round(time.Millisecond), text)
				break
			}
			if time.Since(begin) > hosts.AwaitTimeout {
				t.Fatalf("%s: want %q, it says %s", what, c.says, text)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
}
