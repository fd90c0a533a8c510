package demo

import (
	"io"
	"net/http"
	"time"
)

// manifestPath is where a leaf's manifest is served.
const manifestPath = "/.well-known/kinopio-leader.json"

// manifestEvery is how often the hubs of the demo look for a leaf: more often than they would
// by default, because someone is watching.
const manifestEvery = time.Second

// serveManifest hands on the leaf's manifest from the page's own origin, which is where the
// library looks when it is told nothing else. No leaf is an answer too: 204.
func (d *demo) serveManifest(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	if d.cfg.TLS || d.guests != nil || !d.leaf.running() {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	client := http.Client{Timeout: time.Second}
	request, err := http.NewRequestWithContext(r.Context(), http.MethodGet, d.leaf.manifestURL, nil)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	answer, err := client.Do(request)
	if err != nil || answer.StatusCode != http.StatusOK {
		if err == nil {
			answer.Body.Close()
		}
		w.WriteHeader(http.StatusNoContent)
		return
	}
	defer answer.Body.Close()
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	_, _ = io.Copy(w, io.LimitReader(answer.Body, 64<<10)) // a reader that left needs no answer
}
