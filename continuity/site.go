package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync/atomic"
	"time"
)

// A site serves the manifest, and the page with what was built for it.
type site struct {
	*httptest.Server
	leader atomic.Pointer[string] // the leaf's WebSocket URL; nil: no leader
	epoch  atomic.Int64
}

const manifestPath = "/.well-known/kinopio-leader.json"

func newSite(dist string) *site {
	s := &site{}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case manifestPath:
			s.manifest(w)
		case "/":
			w.Header().Set("Content-Type", "text/html; charset=utf-8")
			fmt.Fprint(w, pageHTML)
		case "/page.js":
			w.Header().Set("Content-Type", "text/javascript")
			fmt.Fprint(w, pageJS)
		case "/kinopio-hub.wasm", "/kinopio-hub.global.js":
			http.ServeFile(w, r, filepath.Join(dist, r.URL.Path))
		default:
			http.NotFound(w, r)
		}
	}))
	return s
}

func (s *site) manifest(w http.ResponseWriter) {
	leader := s.leader.Load()
	w.Header().Set("Cache-Control", "no-store")
	if leader == nil {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{ // whoever asked is gone, then
		"version": "1", "expiresAt": time.Now().Add(time.Hour).UTC().Format("2006-01-02T15:04:05.000Z07:00"),
		"leaderEpoch": s.epoch.Load(), "websocketUrl": *leader, "wssUrl": *leader, "nodeId": *leader,
		"fallbackServers": []string{"nats://backbone.example"}, "bridgeState": "connected", "isLeader": true,
	})
}

// lead makes a leaf the leader; nil: there is none.
func (s *site) lead(l *leaf) {
	if l == nil {
		s.leader.Store(nil)
		return
	}
	address := "ws://" + l.door.Address()
	s.epoch.Add(1)
	s.leader.Store(&address)
}
