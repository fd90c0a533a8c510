package leaf

import (
	"context"
	"crypto/tls"
	"errors"
	"log"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// A browser that asks its user for access to the LAN completes TLS first and sends
// the request after the answer: it must be waited for.
const promptPatience = 75 * time.Second

// discovery is the HTTP(S) listener with the manifest.
type discovery struct {
	server *http.Server
	port   int
	err    error         // Why serving ended, once done is closed; nil when it was stopped.
	done   chan struct{} // Closed when serving has ended.
	conns  sync.WaitGroup
}

// startDiscovery listens for requests to handler. conf is nil without TLS.
func startDiscovery(s *settings, conf *tls.Config, handler http.Handler) (*discovery, error) {
	ln, err := net.Listen("tcp", net.JoinHostPort(s.lan.String(), strconv.Itoa(s.Ports.Discovery)))
	if err != nil {
		return nil, listenError("discovery", s.lan.String(), s.Ports.Discovery, err)
	}
	d := &discovery{
		port: ln.Addr().(*net.TCPAddr).Port,
		done: make(chan struct{}),
		server: &http.Server{
			Handler:           handler,
			ReadHeaderTimeout: promptPatience,
			IdleTimeout:       promptPatience,
			WriteTimeout:      2 * promptPatience, // Counts from the end of the header.
			MaxHeaderBytes:    64 << 10,
			ErrorLog:          log.New(lineWriter{s.Logger}, "", 0),
		},
	}
	d.server.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			d.conns.Add(1)
		case http.StateClosed, http.StateHijacked:
			d.conns.Done()
		}
	}
	ln = guard(ln)
	go func() {
		defer close(d.done)
		var err error
		if conf != nil {
			d.server.TLSConfig = conf.Clone()
			err = d.server.ServeTLS(ln, "", "")
		} else {
			err = d.server.Serve(ln)
		}
		if !errors.Is(err, http.ErrServerClosed) {
			d.err = err
		}
	}()
	return d, nil
}

// stop ends the listener and its connections, and waits until they have ended;
// requests in flight have a moment.
func (d *discovery) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if d.server.Shutdown(ctx) != nil {
		d.server.Close()
	}
	<-d.done
	d.conns.Wait()
}

// lineWriter passes net/http's complaints about clients on, at debug level: anyone on
// the LAN can cause them.
type lineWriter struct{ log *slog.Logger }

func (w lineWriter) Write(p []byte) (int, error) {
	w.log.Debug("discovery listener", "line", string(p))
	return len(p), nil
}
