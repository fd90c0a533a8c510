// Package lab is what the platforms of the conformance suite are tested against: real
// nats-servers and plain NATS clients on loopback, commanded over HTTP, so that a program in a
// browser, in Node and in this process do exactly the same.
//
// A [Lab] is a http.Handler. A command is a POST of a [Command], its outcome a [Result].
package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/conformance/labapi"
)

// What is said between a lab and its runners.
type (
	Command  = labapi.Command
	Settings = labapi.Settings
	Message  = labapi.Message
	Result   = labapi.Result
)

// A Lab has servers that its runners opened.
type Lab struct {
	mu      sync.Mutex
	serial  int
	servers map[int]*server
	subs    map[int]chan Message
	pki     *pki // made when wss is first asked for
}

// New returns a lab without servers.
func New() *Lab { return &Lab{servers: map[int]*server{}, subs: map[int]chan Message{}} }

// Close ends every server.
func (l *Lab) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, s := range l.servers {
		s.close()
		delete(l.servers, id)
	}
}

// ServeHTTP takes a command. Any page may send one: the lab listens on loopback, in tests only.
func (l *Lab) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Access-Control-Allow-Origin", "*")
	w.Header().Set("Access-Control-Allow-Headers", "content-type")
	if r.Method != http.MethodPost {
		return // a preflight
	}
	var c Command
	result := Result{}
	err := json.NewDecoder(r.Body).Decode(&c)
	if err == nil {
		result, err = l.do(r.Context(), c)
	}
	if err != nil {
		result.Error = err.Error()
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(result) // whoever asked is gone, then
}

func (l *Lab) do(ctx context.Context, c Command) (Result, error) {
	wait := time.Duration(c.WaitMS) * time.Millisecond
	if wait <= 0 {
		wait = 5 * time.Second
	}
	switch c.Do {
	case "open":
		return l.open(c)
	case "next":
		return l.next(ctx, c.Sub, wait)
	}
	l.mu.Lock()
	s := l.servers[c.Server]
	l.mu.Unlock()
	if s == nil {
		return Result{}, fmt.Errorf("%s: there is no server %d", c.Do, c.Server)
	}
	switch c.Do {
	case "close":
		l.mu.Lock()
		delete(l.servers, c.Server)
		l.mu.Unlock()
		s.close()
		return Result{}, nil
	case "stop":
		s.stop()
		return Result{}, nil
	case "start":
		return Result{}, s.start()
	case "kick":
		return Result{}, s.kick()
	case "clients":
		names, err := s.clients()
		return Result{Count: len(names), Names: names}, err
	case "silence":
		if s.proxy == nil {
			return Result{}, errors.New("the server is not silenceable")
		}
		s.proxy.stall()
		return Result{}, nil
	case "subscribe":
		return l.subscribe(s, c)
	case "publish":
		return Result{}, errors.Join(s.conn.PublishMsg(msg(c.Message)), s.conn.Flush())
	case "request":
		m, err := s.conn.RequestMsg(msg(c.Message), wait)
		if err != nil {
			return Result{}, fmt.Errorf("request %s: %w", c.Message.Subject, err)
		}
		got := messageOf(m)
		return Result{Message: &got}, nil
	case "serve":
		return Result{}, s.serve(c.Message.Subject, c.Answers)
	}
	return Result{}, fmt.Errorf("there is no command %q", c.Do)
}

func (l *Lab) open(c Command) (Result, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	result := Result{}
	s := &server{settings: c.Settings, scheme: c.Scheme}
	if c.Scheme == "wss" {
		if l.pki == nil {
			made, err := newPKI()
			if err != nil {
				return result, err
			}
			l.pki = made
		}
		s.tls, result.CA = l.pki.server, string(l.pki.root)
	}
	if err := s.open(); err != nil {
		return result, err
	}
	l.serial++
	l.servers[l.serial] = s
	result.Server, result.URL = l.serial, s.url()
	return result, nil
}

func (l *Lab) subscribe(s *server, c Command) (Result, error) {
	arrived := make(chan Message, 4096)
	if err := s.subscribe(c.Message.Subject, c.Queue, arrived); err != nil {
		return Result{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.serial++
	l.subs[l.serial] = arrived
	return Result{Sub: l.serial}, nil
}

func (l *Lab) next(ctx context.Context, sub int, wait time.Duration) (Result, error) {
	l.mu.Lock()
	arrived := l.subs[sub]
	l.mu.Unlock()
	if arrived == nil {
		return Result{}, fmt.Errorf("next: there is no subscription %d", sub)
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case m := <-arrived:
		return Result{Message: &m}, nil
	case <-timer.C:
		return Result{}, fmt.Errorf("no message within %v", wait)
	case <-ctx.Done():
		return Result{}, ctx.Err()
	}
}
