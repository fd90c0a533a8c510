package leaf

import (
	"errors"
	"log"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// monitor serves nats-server's monitoring on loopback. The server's own listener answers
// any page of any browser on this machine: whatever Host it names, with CORS for all, and
// goroutine dumps. So this one stands in its place.
type monitor struct {
	server *http.Server
	at     net.Addr
	err    error         // Why serving ended, once done is closed; nil when it was stopped.
	done   chan struct{} // Closed when serving has ended.
}

// listenMonitor takes the port; serve answers there.
func listenMonitor(port int) (net.Listener, error) {
	ln, err := net.Listen("tcp", loopback(port))
	if err != nil {
		return nil, listenError("monitor", loopbackHost, port, err)
	}
	return ln, nil
}

func serveMonitor(ln net.Listener, srv *server.Server, debug *log.Logger) *monitor {
	mux := http.NewServeMux()
	for path, answer := range map[string]http.HandlerFunc{
		"/{$}": srv.HandleRoot, "/varz": srv.HandleVarz, "/connz": srv.HandleConnz, "/routez": srv.HandleRoutez,
		"/gatewayz": srv.HandleGatewayz, "/leafz": srv.HandleLeafz, "/subsz": srv.HandleSubsz, "/subscriptionsz": srv.HandleSubsz,
		"/accountz": srv.HandleAccountz, "/accstatz": srv.HandleAccountStatz, "/jsz": srv.HandleJsz, "/healthz": srv.HandleHealthz,
	} {
		mux.HandleFunc(path, answer)
	}
	m := &monitor{at: ln.Addr(), done: make(chan struct{}), server: &http.Server{
		Handler:           programsOnly(mux),
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       30 * time.Second,
		WriteTimeout:      30 * time.Second,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          debug,
	}}
	go func() {
		defer close(m.done)
		if err := m.server.Serve(guard(ln)); !errors.Is(err, http.ErrServerClosed) {
			m.err = err
		}
	}()
	return m
}

func (m *monitor) stop() {
	m.server.Close()
	<-m.done
}

// programsOnly keeps pages out: a site whose name was pointed at this machine (by its Host),
// a page that fetches (by its Origin), and one that includes the answer as a script.
func programsOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		site := r.Header.Get("Sec-Fetch-Site")
		switch {
		case !namesLoopback(r.Host):
			http.Error(w, "this server is called 127.0.0.1", http.StatusMisdirectedRequest)
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		case r.Header.Get("Origin") != "", site != "" && site != "none" && site != "same-origin", r.URL.Query().Has("callback"):
			http.Error(w, "not for pages", http.StatusForbidden)
		default:
			w.Header().Set("X-Content-Type-Options", "nosniff")
			w.Header().Set("Cross-Origin-Resource-Policy", "same-origin")
			next.ServeHTTP(withoutCORS{w}, r)
		}
	})
}

func namesLoopback(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = hostport
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// withoutCORS takes back what nats-server's handlers allow pages.
type withoutCORS struct{ http.ResponseWriter }

func (w withoutCORS) WriteHeader(status int) {
	w.Header().Del("Access-Control-Allow-Origin")
	w.ResponseWriter.WriteHeader(status)
}

func (w withoutCORS) Write(p []byte) (int, error) {
	w.Header().Del("Access-Control-Allow-Origin")
	return w.ResponseWriter.Write(p)
}

func loopback(port int) string { return net.JoinHostPort(loopbackHost, strconv.Itoa(port)) }
