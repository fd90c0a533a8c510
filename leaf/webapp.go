package leaf

import (
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// webHandler answers on the discovery listener: the manifest, and the files of ServeDir
// if there is one. It is not a ServeMux: nothing that is asked is cleaned or redirected
// before it is looked at.
type webHandler struct {
	manifest http.Handler
	files    http.Handler // nil without ServeDir.
	root     *os.Root
	origins  func() []string
}

// newWebHandler serves current at [ManifestPath]. origins is asked at each request,
// because the leaf's own changes with its address.
func newWebHandler(s *settings, current func() *Manifest, origins func() []string) (*webHandler, error) {
	h := &webHandler{origins: origins}
	h.manifest = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ManifestHandler(current, origins()...).ServeHTTP(w, r)
	})
	if s.ServeDir == "" {
		return h, nil
	}
	var err error
	if h.root, err = os.OpenRoot(s.ServeDir); err != nil {
		return nil, &ConfigError{Field: "ServeDir", Value: s.ServeDir, Problem: err.Error(), Err: err}
	}
	real, err := filepath.EvalSymlinks(s.ServeDir)
	if err != nil {
		h.root.Close()
		return nil, &ConfigError{Field: "ServeDir", Value: s.ServeDir, Problem: err.Error(), Err: err}
	}
	h.files = http.FileServerFS(filesOnly{h.root.FS(), real})
	return h, nil
}

func (h *webHandler) close() {
	if h.root != nil {
		_ = h.root.Close() // It was only read.
	}
}

func (h *webHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if origins := h.origins(); len(origins) > 0 && !hostOf(r.Host, origins) { // As for the manifest.
		http.Error(w, "this leaf is not at this host", http.StatusMisdirectedRequest)
		return
	}
	if r.URL != nil && r.URL.Path == ManifestPath {
		h.manifest.ServeHTTP(w, r)
		return
	}
	readable := (r.Method == http.MethodGet || r.Method == http.MethodHead) && r.URL != nil && strings.HasPrefix(r.URL.Path, "/")
	if h.files != nil && readable && !hidden(r.URL.Path) {
		w.Header().Set("Cache-Control", "no-cache") // Asked again, and answered 304 while it is the same.
		h.files.ServeHTTP(w, r)
		return
	}
	allowOrigin(w.Header(), r, h.origins())
	w.Header().Set("Cache-Control", "no-store")
	http.Error(w, "not found; the manifest is at "+ManifestPath, http.StatusNotFound)
}

// hidden reports whether a part of the path begins with a dot: .git, .env and their
// kind are no part of a web app, .well-known is.
func hidden(name string) bool {
	for part := range strings.SplitSeq(path.Clean(name), "/") {
		if strings.HasPrefix(part, ".") && part != ".well-known" {
			return true
		}
	}
	return false
}

// filesOnly shows no list of a directory that has no index.html, and nothing that a link leads
// to outside of dir, or to where names begin with a dot.
type filesOnly struct {
	fs.FS
	dir string
}

func (f filesOnly) Open(name string) (fs.File, error) {
	none := &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	info, ok := f.servable(name)
	if !ok {
		return nil, none
	}
	if info.IsDir() {
		// Without an index that it can open, net/http shows a list.
		if index, ok := f.servable(path.Join(name, "index.html")); !ok || index.IsDir() {
			return nil, none
		}
	}
	file, err := f.FS.Open(name)
	if err != nil {
		return nil, none // Whatever it is, there is nothing for whoever asks.
	}
	return file, nil
}

// servable tells whether a name is that of a file or a directory to be shown. (To open a pipe would wait for who writes to it,
// and os.Root refuses what leads out.)
func (f filesOnly) servable(name string) (fs.FileInfo, bool) {
	if !f.shown(name) {
		return nil, false
	}
	info, err := fs.Stat(f.FS, name)
	return info, err == nil && (info.IsDir() || info.Mode().IsRegular())
}

// shown follows the links of a name. That what is there is inside is os.Root's to see to.
func (f filesOnly) shown(name string) bool {
	path, err := filepath.EvalSymlinks(filepath.Join(f.dir, filepath.FromSlash(name)))
	if err != nil {
		return false
	}
	inside, err := filepath.Rel(f.dir, path)
	return err == nil && filepath.IsLocal(inside) && (inside == "." || !hidden(filepath.ToSlash(inside)))
}

// origins are those whose pages may use the leaf: the ones that were given, and the
// leaf's own once its port is known. nil is any.
func (s *settings) origins(secure bool) []string {
	if len(s.AllowedOrigins) == 0 {
		return nil
	}
	all := append([]string{}, s.AllowedOrigins...)
	if s.Ports.Discovery == 0 {
		return all
	}
	scheme := "http"
	if secure {
		scheme = "https"
	}
	for _, host := range []string{s.AdvertisedHostname, "localhost", "127.0.0.1"} {
		if own, err := CleanOrigin((&url.URL{Scheme: scheme, Host: net.JoinHostPort(host, strconv.Itoa(s.Ports.Discovery))}).String()); err == nil {
			all = append(all, own)
		}
	}
	return all
}
