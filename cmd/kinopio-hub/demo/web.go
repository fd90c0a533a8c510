package demo

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
)

//go:embed page
var pageFiles embed.FS

// web serves the page, its buttons and its events.
type web struct {
	server  *http.Server
	stop    context.CancelFunc // ends the event streams
	serving sync.WaitGroup
}

func (w *web) close() {
	w.stop()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if w.server.Shutdown(ctx) != nil {
		w.server.Close()
	}
	w.serving.Wait()
}

// serve serves the page on listeners. A server that fails ends the demo through fail.
func (d *demo) serve(listeners []net.Listener, fail context.CancelCauseFunc) (*web, error) {
	handler, err := d.handler()
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	w := &web{stop: stop, server: &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: time.Minute,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}}
	for _, listener := range listeners {
		w.serving.Go(func() {
			if err := w.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
				fail(fmt.Errorf("serve the page: %w", err))
			}
		})
	}
	return w, nil
}

// pageOrigins are the origins by which a browser on this machine may reach the page.
func pageOrigins(port int) []string {
	p := strconv.Itoa(port)
	return []string{"http://localhost:" + p, "http://127.0.0.1:" + p}
}

func (d *demo) handler() (http.Handler, error) {
	own := pageOrigins(d.port)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", d.serveIndex(own))
	mux.HandleFunc("GET /"+moduleScript, d.serveModule("text/javascript; charset=utf-8"))
	mux.HandleFunc("GET /"+moduleWasm, d.serveModule("application/wasm"))
	mux.HandleFunc("GET "+manifestPath, d.serveManifest)
	mux.HandleFunc("GET /events", d.serveEvents)
	mux.HandleFunc("POST /report", d.takeReport(own))
	if d.guests != nil {
		backbone, err := d.proxyBackbone(d.guests.allowed(own))
		if err != nil {
			return nil, err
		}
		mux.Handle("GET "+backbonePath, backbone)
	}
	for name, act := range map[string]func(){"start": d.leaf.start, "stop": d.leaf.stop, "kill": d.leaf.kill} {
		mux.HandleFunc("POST /leaf/"+name, func(w http.ResponseWriter, _ *http.Request) {
			act()
			w.WriteHeader(http.StatusNoContent)
		})
	}
	files, err := fs.Sub(pageFiles, "page")
	if err != nil {
		panic(err) // the folder is compiled in
	}
	mux.HandleFunc("GET /page/{name}", servePageFile(files))
	return d.guard(own, mux), nil
}

// guard keeps other sites away: a name that was pointed at this machine is not served, and a
// POST needs the page's own origin and token. Guests have theirs, and may less. own are the origins on this machine.
func (d *demo) guard(own []string, next http.Handler) http.Handler {
	policy := d.contentSecurityPolicy(own)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		guest, ok := d.guests.isGuest(own, r)
		if !ok {
			http.Error(w, "this server is called localhost", http.StatusMisdirectedRequest)
			return
		}
		if guest && !mayGuests(r) {
			http.Error(w, "not for guests", http.StatusForbidden)
			return
		}
		if r.Method == http.MethodPost {
			want, origins := d.token, own
			if guest {
				want, origins = d.guests.token, []string{d.guests.origin}
			}
			token := r.Header.Get("X-Demo-Token")
			ours := subtle.ConstantTimeCompare([]byte(token), []byte(want)) == 1
			if !ours || !slices.Contains(origins, r.Header.Get("Origin")) {
				http.Error(w, "only the demo page may do this", http.StatusForbidden)
				return
			}
		}
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-cache")
		next.ServeHTTP(w, r)
	})
}

// contentSecurityPolicy allows the page its own files and the connections it makes, and
// nothing else.
func (d *demo) contentSecurityPolicy(own []string) string {
	connect := append(websockets(d.guests.allowed(own)), "'self'", d.backbone.websocketURL, d.leaf.websocketURL, strings.TrimSuffix(d.leaf.manifestURL, manifestPath))
	if leaf, err := url.Parse(d.leaf.websocketURL); err == nil { // WebTransport: UDP, at the same port, by address
		connect = append(connect, "https://"+leaf.Host)
		if local := net.JoinHostPort("127.0.0.1", leaf.Port()); local != leaf.Host {
			connect = append(connect, "https://"+local)
		}
	}
	return "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src 'self' data:; " +
		"connect-src " + strings.Join(connect, " ") + "; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}

// pageConfig is what the page must know; it stands in the page as JSON.
type pageConfig struct {
	Token        string   `json:"token"`
	Run          string   `json:"run"`
	Servers      []string `json:"servers,omitempty"`
	BackbonePath string   `json:"backbonePath,omitempty"` // at the page's own origin, instead of Servers
	ManifestURL  string   `json:"manifestUrl,omitempty"`  // empty: the default of the library
	Namespace    string   `json:"namespace,omitempty"`    // the leaf is found through the session
	NamespaceKey string   `json:"namespaceKey,omitempty"`
	CacheTTLMs   int64    `json:"cacheTtlMs"`
	LeafURL      string   `json:"leafUrl"`
	TLS          bool     `json:"tls"`
	CAFile       string   `json:"caFile,omitempty"`
	AfterMs      int64    `json:"afterMs"`
	Guest        bool     `json:"guest,omitempty"` // the page looks on, and has no buttons
}

// pageConfig is for the page of this machine or of a guest.
func (d *demo) pageConfig(guest bool) pageConfig {
	config := pageConfig{
		Token: d.token, Run: d.run, CacheTTLMs: manifestEvery.Milliseconds(), LeafURL: d.leaf.websocketURL,
		TLS: d.cfg.TLS, CAFile: d.caFile, AfterMs: d.cfg.LeafAfter.Milliseconds(), Guest: guest,
	}
	switch g := d.guests; {
	case g != nil:
		config.BackbonePath, config.Namespace, config.NamespaceKey = backbonePath, namespace, g.namespaceKey
	case d.cfg.TLS:
		config.ManifestURL = d.leaf.manifestURL
		fallthrough
	default:
		config.Servers = []string{d.backbone.websocketURL}
	}
	if guest {
		config.Token, config.CAFile = d.guests.token, ""
	}
	return config
}

func (d *demo) serveIndex(own []string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		text, err := pageFiles.ReadFile("page/index.html")
		if err == nil {
			guest, _ := d.guests.isGuest(own, r)
			var t *template.Template
			if t, err = template.New("index").Parse(string(text)); err == nil {
				var page bytes.Buffer
				if err = t.Execute(&page, d.pageConfig(guest)); err == nil {
					w.Header().Set("Content-Type", "text/html; charset=utf-8")
					_, _ = page.WriteTo(w) // a reader that left needs no answer
					return
				}
			}
		}
		http.Error(w, err.Error(), http.StatusInternalServerError)
	}
}

// servePageFile serves the page's own scripts and styles.
func servePageFile(files fs.FS) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		name := r.PathValue("name")
		data, err := fs.ReadFile(files, name)
		if err != nil || name == "index.html" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("ETag", fmt.Sprintf("%q", fmt.Sprintf("%x", sha256.Sum256(data))[:16]))
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(data))
	}
}

// serveModule serves one file of the browser module, as it is on disk now.
func (d *demo) serveModule(contentType string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		f, err := os.Open(filepath.Join(d.assets.dir, filepath.Base(r.URL.Path)))
		if err != nil {
			http.NotFound(w, r)
			return
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("ETag", fmt.Sprintf(`"%x-%x"`, info.Size(), info.ModTime().UnixNano()))
		http.ServeContent(w, r, "", info.ModTime(), f)
	}
}

// serveEvents streams the events to the page, beginning with the latest of each kind.
func (d *demo) serveEvents(w http.ResponseWriter, r *http.Request) {
	latest, next, stop := d.events.listen()
	defer stop()
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	send := func(name string, v any) bool {
		data, err := json.Marshal(v)
		if err == nil {
			_, err = fmt.Fprintf(w, "event: %s\ndata: %s\n\n", name, data)
		}
		return err == nil && out.Flush() == nil
	}
	if !send("run", d.run) {
		return
	}
	for _, ev := range latest {
		if !send("demo", ev) {
			return
		}
	}
	for {
		select {
		case ev, ok := <-next:
			if !ok || !send("demo", ev) {
				return
			}
		case <-r.Context().Done():
			return
		}
	}
}

// takeReport takes a move of a page's hub, to be shown in the terminal.
func (d *demo) takeReport(own []string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var move moveEvent
		if err := json.NewDecoder(io.LimitReader(r.Body, 4096)).Decode(&move); err != nil {
			http.Error(w, "want a move as JSON", http.StatusBadRequest)
			return
		}
		move.Who = "page"
		if guest, _ := d.guests.isGuest(own, r); guest {
			move.Who = "guest"
			if !d.guests.reports.Allow() {
				http.Error(w, "too many reports", http.StatusTooManyRequests)
				return
			}
		}
		for _, text := range []*string{&move.From, &move.To, &move.Via, &move.Reason, &move.Error} {
			*text = plain(*text)
		}
		d.events.publish(event{Event: "move", Move: &move})
		w.WriteHeader(http.StatusNoContent)
	}
}

// plain is text of a page for a terminal, which obeys control characters.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsGraphic(r) {
			return r
		}
		return '\uFFFD'
	}, text)
}

// afterScheme is rawURL without its scheme.
func afterScheme(rawURL string) string {
	if u, err := url.Parse(rawURL); err == nil {
		return u.Host
	}
	return rawURL
}
