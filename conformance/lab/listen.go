package lab

import (
	"net"
	"net/http"
)

// Serve opens a lab on a free port of loopback. stop ends it and all that it started.
func Serve() (url string, stop func(), err error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	l := New()
	server := &http.Server{Handler: l}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(listener) // until stop
	}()
	return "http://" + listener.Addr().String(), func() {
		_ = server.Close()
		<-served
		l.Close()
	}, nil
}
