//go:build !js

package hub

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/natswire"
)

// A simEngine is a hub's way to connect to the servers.
type simEngine struct {
	n       *simNet
	name    string
	noEcho  bool
	delay   func(*simServer) (delay, jitter time.Duration)
	perByte time.Duration
}

func (e *simEngine) dial(ctx context.Context, url string, r receiver) (wire, error) {
	n := e.n
	i := slices.IndexFunc(n.servers, func(s *simServer) bool { return s.url == url })
	wait := time.Hour
	var s *simServer
	if i >= 0 {
		s = n.servers[i]
		delay, jitter := e.delay(s)
		n.mu.Lock()
		wait = 4*delay + 2*n.random(jitter) // TCP, INFO
		n.mu.Unlock()
	}
	select {
	case <-time.After(wait):
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: %w", ErrConnect, ctx.Err())
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if s == nil || !s.up || s.lame {
		return nil, fmt.Errorf("%w to %s: refused", ErrConnect, url)
	}
	w := e.attach(s, r)
	w.pingLocked(func() { close(w.accepted) })
	return w, nil
}

// attach makes a connection that exists at once. n.mu is held.
func (e *simEngine) attach(s *simServer, r receiver) *simWire {
	delay, jitter := e.delay(s)
	n := e.n
	w := &simWire{n: n, name: e.name, server: s, receiver: r, noEcho: e.noEcho, accepted: make(chan struct{}), ended: make(chan struct{}), measured: 2*delay + jitter}
	w.up = &simPipe{n: n, delay: delay, jitter: jitter, perByte: e.perByte}
	w.down = &simPipe{n: n, delay: delay, jitter: jitter, perByte: e.perByte}
	if n.rng.IntN(2) == 0 {
		w.nap = n.random(5 * time.Millisecond)
	}
	s.conns = append(s.conns, w)
	w.attached = true
	return w
}

// A simWire is one connection of a client, both ends of it.
type simWire struct {
	n        *simNet
	name     string
	server   *simServer
	receiver receiver
	noEcho   bool
	measured time.Duration
	nap      time.Duration // how long what has come waits until it is read, at most
	up, down *simPipe

	// The server's.
	attached bool
	subs     []*simSub

	// The client's. n.mu guards all.
	inbox    []simItem
	reading  bool
	retired  int
	over     bool
	err      error
	accepted chan struct{}
	ended    chan struct{}
}

// A simItem is something that a server says: a message, an answer to a PING, or something else.
type simItem struct {
	sub *simSub
	m   *simMsg
	do  func() // called on the net's goroutine, without the lock
}

// hand sends item to the client.
func (w *simWire) hand(item simItem) {
	size := 6
	if item.m != nil {
		size = len(item.m.Data) + len(item.m.Subject) + 50
	}
	w.down.send(size, func() {
		if w.over {
			return
		}
		w.inbox = append(w.inbox, item)
		if !w.reading {
			w.reading = true
			if w.nap > 0 {
				w.n.at(w.n.now()+w.n.random(w.nap), w.read)
			} else {
				w.read()
			}
		}
	})
}

// read hands on all that has come.
func (w *simWire) read() {
	items := w.inbox
	w.inbox, w.reading = nil, false
	var batch []natswire.Inbound
	deliver := func() {
		if len(batch) == 0 {
			return
		}
		all := batch
		batch = nil
		w.n.calls = append(w.n.calls, func() { w.receiver.Receive(all) })
	}
	for _, item := range items {
		switch {
		case w.over:
		case item.m != nil:
			// Whether the client still wants it is asked where the messages before it have been dealt with.
			if !item.sub.gone {
				batch = w.add(batch, item)
			}
		default:
			deliver()
			if item.do != nil {
				w.n.calls = append(w.n.calls, item.do)
			}
		}
	}
	deliver()
}

// add puts a message into the batch, or into the run at its end.
func (w *simWire) add(batch []natswire.Inbound, item simItem) []natswire.Inbound {
	m := item.m
	in := natswire.Inbound{Route: item.sub.route, Subject: m.Subject, Reply: m.Reply, Data: m.Data, Number: m.number}
	if natswire.IsStored(in.Reply) {
		in.Number = number{}
	}
	if len(m.Header) > 0 {
		in.Header = maps.Clone(m.Header)
	}
	if !w.n.runs || in.Route == nil || in.Reply != "" || in.Header != nil {
		return append(batch, in)
	}
	if len(batch) > 0 {
		last := &batch[len(batch)-1]
		next := last.Number
		if next.Stream != 0 {
			next.Count += uint64(len(last.Run))
		}
		if last.Run != nil && last.Route == in.Route && last.Subject == in.Subject && next == in.Number {
			last.Run = append(last.Run, in.Data)
			return batch
		}
	}
	in.Data, in.Run = nil, [][]byte{in.Data}
	return append(batch, in)
}

func (w *simWire) disconnected() error { return fmt.Errorf("%w: %w", ErrDisconnected, w.err) }

func (w *simWire) Publish(wired natswire.Msg) error {
	m := OutMsg{Subject: wired.Subject, Reply: wired.Reply, Header: wired.Header, Data: wired.Data, number: wired.Number, line: wired.Line}
	w.n.mu.Lock()
	defer w.n.mu.Unlock()
	if w.over {
		return w.disconnected()
	}
	m.Data = append([]byte(nil), m.Data...)
	m.Header = maps.Clone(m.Header)
	if strings.HasPrefix(m.Subject, ownPrefix) {
		w.n.logf("%s says to %s: %s %v %q number %d", w.name, w.server.name, m.Subject, m.Header, m.Data, m.number.Count)
	}
	if w.n.published != nil {
		w.n.published(w, &m)
	}
	msg := &simMsg{OutMsg: m}
	w.up.send(len(m.Data)+len(m.Subject)+50, func() {
		if w.attached {
			w.server.forward(msg, w, nil, nil)
		}
	})
	return nil
}

func (w *simWire) Subscribe(subject, queue string, route any) (wireSub, error) {
	w.n.mu.Lock()
	defer w.n.mu.Unlock()
	if w.over {
		return nil, w.disconnected()
	}
	sub := &simSub{wire: w, key: simKey{subject, queue}, route: route}
	w.up.send(30, func() {
		s := w.server
		switch {
		case !w.attached:
		case s.refuses != nil && s.refuses(subject):
			err := fmt.Errorf("%w: Permissions Violation for Subscription to %q", ErrPermission, subject)
			w.hand(simItem{do: func() { w.receiver.Trouble(err) }})
		default:
			w.subs = append(w.subs, sub)
			s.counts[sub.key]++
			s.changed(sub.key, nil)
		}
	})
	return sub, nil
}

// unsubscribe is the server's part. n.mu is held.
func (w *simWire) unsubscribe(sub *simSub) {
	i := slices.Index(w.subs, sub)
	if i < 0 {
		return
	}
	w.subs = slices.Delete(w.subs, i, i+1)
	s := w.server
	if s.counts[sub.key]--; s.counts[sub.key] == 0 {
		delete(s.counts, sub.key)
	}
	s.changed(sub.key, nil)
}

func (w *simWire) Unsubscribe(s wireSub) error {
	sub := s.(*simSub)
	w.n.mu.Lock()
	defer w.n.mu.Unlock()
	if w.over {
		return w.disconnected()
	}
	w.retired++
	w.up.send(12, func() {
		if w.attached {
			w.unsubscribe(sub)
		}
	})
	w.pingLocked(func() {
		w.n.mu.Lock()
		defer w.n.mu.Unlock()
		sub.gone = true
		w.retired--
	})
	return nil
}

func (w *simWire) pingLocked(answered func()) {
	w.up.send(6, func() {
		if w.attached {
			w.hand(simItem{do: answered})
		}
	})
}

func (w *simWire) Ping(answered func()) error {
	w.n.mu.Lock()
	defer w.n.mu.Unlock()
	if w.over {
		return w.disconnected()
	}
	w.pingLocked(answered)
	return nil
}

func (w *simWire) Flush(ctx context.Context) error {
	answered := make(chan struct{})
	if err := w.Ping(func() { close(answered) }); err != nil {
		return err
	}
	select {
	case <-answered:
		return nil
	case <-w.ended:
		return w.disconnected()
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *simWire) Accepted() <-chan struct{} { return w.accepted }
func (w *simWire) RTT() time.Duration        { return w.measured }
func (w *simWire) MaxPayload() int           { return 1 << 20 }
func (w *simWire) Done() <-chan struct{}     { return w.ended }
func (w *simWire) Cause() error              { return w.err }

// Disconnect ends the connection, as natswire.Conn does: when the server has answered to what was retired.
func (w *simWire) Disconnect() {
	w.n.mu.Lock()
	retiring := w.retired > 0 && !w.over
	w.n.mu.Unlock()
	if retiring {
		ctx, cancel := context.WithTimeout(context.Background(), 250*time.Millisecond)
		defer cancel()
		_ = w.Flush(ctx) // whatever comes of it, the connection ends
	}
	w.n.mu.Lock()
	defer w.n.mu.Unlock()
	if !w.end(errors.New("closed")) {
		return
	}
	w.up.send(0, w.detach)
}

// end is the client's. n.mu is held.
func (w *simWire) end(err error) (first bool) {
	if w.over {
		return false
	}
	w.over, w.err = true, err
	close(w.ended)
	return true
}

// detach is the server's part of the end: it forgets the client.
func (w *simWire) detach() {
	if !w.attached {
		return
	}
	w.attached = false
	for len(w.subs) > 0 {
		w.unsubscribe(w.subs[len(w.subs)-1])
	}
	w.server.conns = slices.DeleteFunc(w.server.conns, func(other *simWire) bool { return other == w })
	clear(w.server.targets)
}

// cut loses everything that is on its way, either way; the client finds out after so long. The server
// does when the caller says so.
func (w *simWire) cut(why string, found time.Duration) {
	w.n.logf("%s is cut off from %s: %s", w.name, w.server.name, why)
	w.silence()
	w.n.at(w.n.now()+found, func() { w.end(errors.New(why)) })
}

// silence makes the connection lose everything from now on.
func (w *simWire) silence() {
	for _, p := range []*simPipe{w.up, w.down} {
		p.lose()
		p.stalled, p.last = 1<<60, 1<<60 // and what comes later
	}
}
