package demo

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"
)

// print writes the addresses and then each event, until the returned function is called; the
// first error of writing comes through failed then.
func (d *demo) print(failed chan<- error) (stop func()) {
	_, next, stop := d.events.listen()
	ready := d.ready()
	write := d.writeText
	if d.cfg.JSON {
		write = writeJSON
	}
	err := write(d.cfg.Out, event{Time: time.Now(), Event: "ready", Ready: &ready})
	if d.assets.stale != "" && err == nil {
		err = write(d.cfg.Out, event{Time: time.Now(), Event: "warning", Text: d.assets.stale})
	}
	go func() {
		for ev := range next {
			if err == nil {
				err = write(d.cfg.Out, ev)
			}
		}
		failed <- err
	}()
	return stop
}

// ready has all the addresses.
func (d *demo) ready() readyEvent {
	var guest *guestLinks
	if g := d.guests; g != nil {
		guest = &guestLinks{URL: g.origin + "/", Secure: g.secure, NamespaceKey: g.namespaceKey}
	}
	return readyEvent{
		Guest:    guest,
		Page:     d.page,
		Backbone: backboneLinks{Client: d.backbone.clientURL, WebSocket: d.backbone.websocketURL, Leafnode: d.backbone.leafnodeURL},
		Leaf: leafLinks{
			Client: d.leaf.clientURL, WebSocket: d.leaf.websocketURL,
			Manifest: d.leaf.manifestURL, Monitor: d.leaf.monitorURL, AfterMs: d.cfg.LeafAfter.Milliseconds(),
		},
		TLS: d.cfg.TLS, CAFile: d.caFile, Rate: d.cfg.Rate, PID: os.Getpid(),
	}
}

func writeJSON(out io.Writer, ev event) error {
	return json.NewEncoder(out).Encode(ev)
}

// writeText writes ev as an aligned line, and the addresses as a small table.
func (d *demo) writeText(out io.Writer, ev event) error {
	var b strings.Builder
	line := func(subject, what, detail string) {
		text := fmt.Sprintf("  %s  %-10s %-9s %s", ev.Time.Format(time.TimeOnly), subject, what, detail)
		fmt.Fprintln(&b, strings.TrimRight(text, " "))
	}
	switch ev.Event {
	case "ready":
		d.writeAddresses(&b, ev.Ready)
		if err := d.writeGuest(&b, ev.Ready.Guest); err != nil {
			return err
		}
		fmt.Fprintf(&b, "\n  Ctrl-C ends everything.\n\n")
	case "warning":
		line("warning", "", ev.Text)
	case "leaf":
		what, detail := d.leafText(*ev.Leaf)
		line("leaf", what, detail)
	case "move":
		what, detail := d.moveText(*ev.Move)
		line(ev.Move.Who, what, detail)
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func (d *demo) writeAddresses(b *strings.Builder, r *readyEvent) {
	later := "starts after " + d.cfg.LeafAfter.String()
	if d.cfg.LeafAfter < 0 {
		later = "start it on the page"
	}
	fmt.Fprintf(b, "KinopioHub demo: a page moves between a remote server and the leaf on its LAN\n\n")
	for _, row := range [][2]string{
		{"page", r.Page + "  (open this in a browser)"},
		{"backbone", r.Backbone.WebSocket + "  " + r.Backbone.Client},
		{"leaf", r.Leaf.WebSocket + "  (" + later + ")"},
	} {
		fmt.Fprintf(b, "  %-10s %s\n", row[0], row[1])
	}
	if r.TLS {
		fmt.Fprintf(b, "  %-10s %s\n", "CA", r.CAFile)
		fmt.Fprintf(b, "\n  The leaf's certificate is signed by this CA: the page says how to trust it.\n")
	}
}

// writeGuest writes how guests come, and the address of their page as a QR code.
func (d *demo) writeGuest(b *strings.Builder, g *guestLinks) error {
	if g == nil {
		return nil
	}
	code, err := qrText(g.URL)
	if err != nil {
		return err
	}
	fmt.Fprintf(b, "  %-10s %s  (for a phone, or another computer, on this network)\n\n%s\n  %s\n", "guests", g.URL, code, guestText(g, d.port))
	return nil
}

func (d *demo) leafText(s leafStatus) (what, detail string) {
	switch {
	case s.State == leafStopped && s.How == "killed":
		return "killed", "the plug was pulled"
	case s.State == leafStopped && s.How == "ended":
		return "ended", "by itself: " + s.Detail
	case s.State == leafRunning && s.Detail != "":
		return string(s.State), s.Detail
	case s.State == leafRunning:
		return string(s.State), fmt.Sprintf("after %d ms, bridge to the backbone %s", s.TookMs, s.Bridge)
	case s.State == leafStarting:
		return string(s.State), fmt.Sprintf("process %d", s.PID)
	}
	return string(s.State), ""
}

func (d *demo) moveText(m moveEvent) (what, detail string) {
	if m.Error != "" {
		return "stays", fmt.Sprintf("%s not joined: %s", d.place(m.To), m.Error)
	}
	if m.From == "" {
		return "joined", d.place(m.To)
	}
	detail = fmt.Sprintf("%s → %s  %s, %.0f ms", d.place(m.From), d.place(m.To), m.Reason, m.TookMs)
	if m.Planned {
		detail += fmt.Sprintf(", held messages back for %.0f ms", m.HeldMs)
	}
	return "moved", detail
}

// place names a server for people.
func (d *demo) place(serverURL string) string {
	if u, err := url.Parse(serverURL); err == nil && u.Path == backbonePath {
		return "backbone"
	}
	switch at := afterScheme(serverURL); at {
	case afterScheme(d.backbone.clientURL), afterScheme(d.backbone.websocketURL):
		return "backbone"
	case afterScheme(d.leaf.clientURL), afterScheme(d.leaf.websocketURL):
		return "leaf"
	}
	return serverURL
}
