//go:build !js

package hub

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/natswire"
)

// play plays the plan. What is wrong is in w.failed.
func (w *simWorld) play() {
	go w.n.run()
	defer w.n.stop()
	for i := range w.p.hubs {
		w.openHub(i)
	}
	defer func() {
		for _, h := range w.hubs {
			h.Close()
		}
	}()
	for i := range w.p.clients {
		w.openClient(i)
	}
	for _, f := range w.p.faults {
		w.n.after(f.at, func() { w.happens(f) })
	}
	var acting sync.WaitGroup
	for i, h := range w.hubs {
		acting.Go(func() {
			for _, a := range w.p.actions {
				if a.hub == i {
					time.Sleep(max(0, a.at-w.n.now()))
					w.act(h, a)
				}
			}
		})
	}
	counts := map[string]int{}
	var receipts []func()
	for _, post := range w.p.posts {
		time.Sleep(max(0, post.at-w.n.now()))
		w.post(post, counts, &receipts)
	}
	acting.Wait()
	time.Sleep(max(0, w.p.end-w.n.now()))
	time.Sleep(w.spreads() + time.Second)
	if w.p.abrupt {
		time.Sleep(13 * time.Second) // a link that fell silent last is found
		for _, h := range w.hubs {
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
			if h.Connected(ctx) != nil {
				h.lost = true
			}
			cancel()
		}
		time.Sleep(4*time.Second + w.spreads())
	}
	// The last of each stream tells what was lost before it.
	for _, post := range w.lastPosts() {
		w.post(post, counts, &receipts)
	}
	time.Sleep(6*time.Second + w.spreads())
	if w.p.abrupt {
		time.Sleep(8 * time.Second)
	}
	for _, r := range receipts {
		r()
	}
	w.check()
}

// lastPosts is one more message for each stream of those who still live.
func (w *simWorld) lastPosts() (posts []simPost) {
	seen := map[simPost]bool{}
	for _, post := range w.p.posts {
		post.at, post.request = 0, false
		if seen[post] || !strings.HasPrefix(post.subject, simMoving) || post.hub >= 0 && w.hubs[post.hub].closed {
			continue
		}
		seen[post] = true
		posts = append(posts, post)
	}
	return posts
}

func (w *simWorld) post(post simPost, counts map[string]int, receipts *[]func()) {
	next := func(who string) []byte {
		name := who + " " + post.subject
		counts[name]++
		return []byte(who + " " + strconv.Itoa(counts[name]))
	}
	if post.hub < 0 {
		c := w.clients[-1-post.hub]
		c.wire.Publish(natswire.Msg{Subject: post.subject, Data: next(c.name)})
		return
	}
	h := w.hubs[post.hub]
	data := next(h.name)
	if post.request {
		w.request(h, post.subject, data)
		return
	}
	r := h.Send(OutMsg{Subject: post.subject, Data: data})
	_, n, _ := simPayload(data)
	*receipts = append(*receipts, func() {
		w.mu.Lock()
		_, sent := w.stream(h.name, post.subject).place[n]
		w.mu.Unlock()
		switch {
		case !r.Settled():
			w.fail("%s: what became of %s %s is not known", h.name, post.subject, data)
		case r.Err() == nil && !sent:
			w.fail("%s was told that %s %s was sent, and it was not", h.name, post.subject, data)
		case r.Err() != nil && sent:
			w.fail("%s was told that %s %s was not sent (%v), and it was", h.name, post.subject, data, r.Err())
		case r.Err() != nil && !w.p.abrupt && !errors.Is(r.Err(), ErrDisposed):
			w.fail("%s could not publish %s %s: %v", h.name, post.subject, data, r.Err())
		}
	})
}

func (w *simWorld) request(h *simHub, subject string, data []byte) {
	key := string(data)
	w.mu.Lock()
	w.requests++
	w.mu.Unlock()
	counted := w.n.now() > 300*time.Millisecond+w.spreads()
	h.Request(OutMsg{Subject: subject, Data: data}, w.spreads()*2+5*time.Second, func(m *Message, err error) {
		if err == nil && string(m.Data) != key {
			err = fmt.Errorf("the answer is %q", m.Data)
		}
		if !counted && errors.Is(err, ErrNoResponders) {
			err = nil
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		if _, twice := w.asked[key]; twice {
			w.failed = append(w.failed, fmt.Errorf("request %s is done twice", key))
		}
		w.asked[key] = err
	})
}

func (w *simWorld) act(h *simHub, a simAction) {
	if h.closed {
		return
	}
	w.logf("%s: %s %d %s", h.name, a.kind, a.arg, a.sub.subject)
	switch a.kind {
	case "subscribe":
		w.subscribe(h, a.sub)
	case "unsubscribe":
		l := h.subs[a.arg]
		w.mu.Lock()
		l.ended = w.n.now()
		w.mu.Unlock()
		l.sub.Unsubscribe()
	case "close":
		w.mu.Lock()
		h.closed = true
		for _, l := range h.subs {
			if l.ended == 0 {
				l.ended = w.n.now()
			}
		}
		w.mu.Unlock()
		h.Close()
	case "move", "reconnect":
		s := w.n.servers[a.arg]
		start := w.n.now()
		var err error
		if a.kind == "move" {
			err = h.propose(target{url: s.url, via: viaLeaf}, "test")
		} else {
			ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
			err = h.Reconnect(ctx)
			cancel()
		}
		took := w.n.now() - start
		w.mu.Lock()
		w.figures.longest = max(w.figures.longest, took)
		w.mu.Unlock()
		bound := 30*w.p.worst + 3*w.p.stalls + 2*time.Second
		if took > bound && !w.p.abrupt {
			w.fail("%s: %s to %s took %v, want at most %v", h.name, a.kind, s.name, took, bound)
		}
		if took > bound+2*time.Minute {
			w.fail("%s: %s to %s took %v", h.name, a.kind, s.name, took)
		}
		w.n.mu.Lock()
		lame := slices.ContainsFunc(w.n.servers, func(s *simServer) bool { return s.lame })
		w.n.mu.Unlock()
		refused := w.p.refusing >= 0
		if err != nil && !w.p.abrupt && !lame && !refused {
			w.fail("%s: %s to %s: %v", h.name, a.kind, s.name, err)
		}
	}
}

// happens does what the plan has for the net, which holds its lock.
func (w *simWorld) happens(f simFault) {
	n := w.n
	switch f.kind {
	case "stall":
		e := w.edges[f.arg]
		for _, p := range []*simPipe{e.out, e.peer.out} {
			p.stalled = n.now() + f.long
		}
		n.logf("%s - %s is stalled for %v", e.at.name, e.peer.at.name, f.long)
	case "leave":
		n.servers[f.arg].leave()
	case "kill":
		s := n.servers[f.arg]
		if !s.up {
			return
		}
		s.kill()
		if f.long > 0 {
			n.at(n.now()+f.long, s.revive)
		}
	case "cut", "silence":
		name := w.hubs[f.arg].name
		for _, s := range n.servers {
			for _, c := range slices.Clone(s.conns) {
				if c.name != name || f.kind == "cut" && n.rng.IntN(4) == 0 {
					continue
				}
				if f.kind == "cut" {
					c.cut("cut", n.random(c.down.delay+20*time.Millisecond))
					n.at(n.now()+n.random(c.down.delay+20*time.Millisecond), c.detach)
				} else {
					c.cut("silent", f.long)
					n.at(n.now()+time.Second+n.random(15*time.Second), c.detach)
				}
			}
		}
	}
}
