package e2e

import (
	"testing"

	"github.com/kinopio-hub/kinopio-hub/v3/e2e/engine"
)

func TestUntrustedLeafIsRefusedAndExplained(t *testing.T) {
	d := startDemo(t, "--tls")
	b := openBrowser(t, "") // knows nothing of the CA
	b.goTo(d.ready.Ready.Page)
	p := demoPage{b, d}
	p.waitOn("configured", d.ready.Ready.Backbone.WebSocket)
	p.click("#start")
	d.until("a native program is on the leaf", moved("publisher", "leaf"))
	p.waitFor("the page says that the leaf was refused", `document.getElementById("why").textContent.includes("refused")`, `document.getElementById("why").textContent`)
	wants(t, "the page", eval[string](b, `document.getElementById("why").textContent`), "refused", "trust")
	wants(t, "its steps", eval[string](b, `document.getElementById("trust").innerText`), d.ready.Ready.CAFile, "kinopio-hub ca path", "Firefox", "macOS", "Windows")
	p.receive(100)
	if c := p.counters(); c.Lost != 0 || c.Repeated != 0 || c.Disordered != 0 {
		t.Errorf("the connection to the remote server was disturbed: %v", c)
	}
	if via := eval[string](b, `document.body.dataset.via`); via != "configured" {
		t.Errorf("the page is on %q, want the configured server", via)
	}
	if engineOf(t) == engine.Chromium {
		b.appearance(1280, 800, "light")
		save(t, "demo-refused.png", b.picture())
	}
	t.Logf("the console: %v", b.said("ERR_CERT"))
}
