package e2e

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/kinopio-hub/kinopio-hub/v3/e2e/engine"
	hosts "github.com/kinopio-hub/kinopio-hub/v3/election/lab"
)

// playForward hands TCP connections on: args are where it listens and to where they go.
func playForward(ctx context.Context, args []string, _ <-chan string, out io.Writer) error {
	l, err := net.Listen("tcp", args[0])
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { l.Close() })()
	fmt.Fprintln(out, "ready")
	for {
		from, err := l.Accept()
		if err != nil {
			return ctx.Err()
		}
		go func() { // ends with its connections, or the process
			defer from.Close()
			to, err := net.Dial("tcp", args[1])
			if err != nil {
				return
			}
			defer to.Close()
			go func() {
				_, _ = io.Copy(to, from)
				to.Close()
			}()
			_, _ = io.Copy(from, to)
		}()
	}
}

// playTunnel is a web server with a certificate that hands everything on, as a tunnel's end on the internet does: args are where it listens, to
// which URL it leads, and the files of certificate and key.
func playTunnel(ctx context.Context, args []string, _ <-chan string, out io.Writer) error {
	to, err := url.Parse(args[1])
	if err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(args[2], args[3])
	if err != nil {
		return err
	}
	l, err := tls.Listen("tcp", args[0], &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"}})
	if err != nil {
		return err
	}
	server := &http.Server{ErrorLog: log.New(io.Discard, "", 0), Handler: &httputil.ReverseProxy{
		ErrorLog: log.New(io.Discard, "", 0),
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.SetXForwarded()
			r.Out.Host = r.In.Host
		},
	}}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	fmt.Fprintln(out, "ready")
	if err := server.Serve(l); ctx.Err() == nil {
		return err
	}
	return nil
}

// A guestDemo is a demo for guests on a host of a site, and what it said of how they come.
type guestDemo struct {
	t     *testing.T
	demo  *hosts.Process
	ready struct {
		Page  string
		Guest struct {
			URL    string
			Secure bool
		}
		Leaf struct{ WebSocket string }
	}
}

// startGuestDemo starts kinopio-hub demo with these flags, and a leaf at once.
func startGuestDemo(t *testing.T, h *hosts.Host, flags ...string) *guestDemo {
	t.Helper()
	d := &guestDemo{t: t, demo: h.Start("demo", h.Command(context.Background(), artefacts(t).program, append([]string{"demo", "--json", "--leaf-after", "0s", "--cache-dir", t.TempDir()}, flags...)...))}
	var e struct{ Ready json.RawMessage }
	line := d.demo.Await(`"event":"ready"`)
	if err := json.Unmarshal([]byte(line), &e); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(e.Ready, &d.ready); err != nil {
		t.Fatal(err)
	}
	return d
}

// comes waits until a guest's page is on the leaf, and says by which way; it checks that the page fits into small screens.
func (d *guestDemo) comes(b *browser, way string) {
	d.t.Helper()
	b.waitFor("the guest is on the leaf", `window.demo?.state.hub === "connected" && document.body.dataset.via === "leaf"`, `[window.demo?.state, document.body.innerText]`)
	wants(d.t, b.page.Version(), eval[string](b, `document.querySelector(".say").innerText`), "On the leaf", strings.TrimPrefix(d.ready.Leaf.WebSocket, "ws"), way)
	b.waitFor("numbers of both streams", `Object.values(demo.streams).length === 2 && Object.values(demo.streams).every((s) => s.last > 50)`, `demo.counters`)
	if c := eval[string](b, `JSON.stringify([demo.counters.lost, demo.counters.repeated, demo.counters.disordered])`); c != "[0,0,0]" {
		d.t.Errorf("lost, repeated, out of order: %s", c)
	}
	for _, width := range []int64{390, 320} {
		if page := b.page.(*hostPage); strings.HasPrefix(page.Version(), "Chromium") {
			if _, err := page.do(hostAction{Viewport: [2]int64{width, 844}}); err != nil {
				d.t.Fatal(err)
			}
			if seen := eval[[]int64](b, `[innerWidth, document.documentElement.scrollWidth]`); seen[0] != width || seen[1] > width {
				d.t.Errorf("on a screen of %d pixels the page sees %d and is %d wide", width, seen[0], seen[1])
			}
		}
	}
}

// looksOn fails the test if a guest may do more than look on.
func (d *guestDemo) looksOn(b *browser) {
	d.t.Helper()
	if said := eval[string](b, `(async () => {
		const config = JSON.parse(document.getElementById("config").textContent);
		const press = await fetch("/leaf/kill", { method: "POST", headers: { "X-Demo-Token": config.token } });
		return [document.querySelectorAll("#start, #stop, #kill").length, press.status, (await fetch("/events")).status].join(" ");
	})()`); said != "0 403 403" {
		d.t.Errorf("buttons, status of pressing one, status of the events: %s", said)
	}
	d.demo.Await(`"who":"guest"`, `"via":"leaf"`)
}

// A phone on the LAN opens what the QR code says, and comes to the leaf by what a page from http has. Where it reaches the page at an address that
// browsers take for secure, here its own localhost as a cable brings it, it comes by WebTransport. Neither trusts anything.
func TestGuestsOfTheDemoOnTheLAN(t *testing.T) {
	network := hosts.New(t)
	site := network.Site("site")
	studio, phone := site.Host(10), site.Host(100)
	d := startGuestDemo(t, studio, "--guest")
	if want := "http://192.168.1.10:8088/"; d.ready.Guest.URL != want || d.ready.Guest.Secure {
		t.Fatalf("%+v, want %s", d.ready.Guest, want)
	}
	b := openOn(t, phone, hostBrowser{Engine: engine.Chromium}, d.ready.Guest.URL)
	d.comes(b, "By a plain WebSocket, not encrypted: this page came by http")
	d.looksOn(b)

	studio.Play("forward", "192.168.1.10:9000", "127.0.0.1:8088").Await("ready")
	phone.Play("forward", "127.0.0.1:8088", "192.168.1.10:9000").Await("ready")
	for _, name := range []engine.Name{engine.Chromium, engine.Firefox} {
		b := openOn(t, phone, hostBrowser{Engine: name}, "http://localhost:8088/")
		b.waitFor("on the leaf by WebTransport", `demo.hub?.status.via === "leaf" && demo.hub.discoveryStatus.detail.includes("by WebTransport")`, `[demo.state, demo.hub?.discoveryStatus]`)
		t.Logf("%s by a cable: %s", b.page.Version(), eval[string](b, `demo.hub.discoveryStatus.detail`))
	}
}

// With an https address that a tunnel brings to the demo's page, a guest's browser trusts that site and nothing else: it comes by WebTransport as soon
// as its user lets it.
func TestGuestsOfTheDemoByATunnel(t *testing.T) {
	network := hosts.New(t)
	trust := newAuthority(t)
	site := network.Site("site")
	studio, phone := site.Host(10), site.Host(100)
	const at = "203.0.113.50"
	studio.Plug("eth1", "internet")
	studio.IP("addr", "add", at+"/24", "dev", "eth1")
	cert, key := trust.issueFiles(at)
	studio.Play("tunnel", at+":443", "http://127.0.0.1:8088", cert, key).Await("ready")
	d := startGuestDemo(t, studio, "--guest-url", "https://"+at)
	if d.ready.Guest.URL != "https://"+at+"/" || !d.ready.Guest.Secure {
		t.Fatalf("%+v", d.ready.Guest)
	}
	b := openOn(t, phone, hostBrowser{Engine: engine.Chromium, RootFiles: []string{trust.file}}, d.ready.Guest.URL)
	b.waitFor("the page says that it takes its user", `!document.getElementById("allow")?.hidden`, `[window.demo?.state, document.body.innerText]`)
	if via := eval[string](b, `demo.hub.status.via`); via != "configured" {
		t.Errorf("the guest is on %q before its user was asked", via)
	}
	b.click("#allow") // A headless browser answers its own question with no, for good: the user then changes the site's settings.
	b.waitFor("the browser has asked", `demo.state.search?.state === "permission-denied"`, `demo.state`)
	b.permit("local-network", "granted", "https://"+at)
	d.comes(b, "By WebTransport, encrypted")
	d.looksOn(b)
	if hidden := eval[bool](b, `document.getElementById("allow").hidden`); !hidden {
		t.Error("the button is still there")
	}
}

// In its text form the demo prints the address and a code of it.
func TestDemoPrintsACodeForGuests(t *testing.T) {
	p := run(t, nil, artefacts(t).program, "demo", "--guest", "--lan-bind-address", "127.0.0.1", "--leaf-after", "-1s", "--cache-dir", t.TempDir())
	var said strings.Builder
	for line := range p.lines {
		said.WriteString(line + "\n")
		if strings.Contains(line, "Ctrl-C") {
			break
		}
	}
	wants(t, "the text", said.String(), "guests", "http://127.0.0.1:", "\x1b[38;5;16;48;5;231m", "▀", "--guest-url", "Ctrl-C ends everything")
}
