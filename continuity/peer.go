package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// A peer is a client that does not move by itself: a hub, or a plain NATS client.
type peer interface {
	// publish does not wait for the server.
	publish(subject string, payload []byte) error
	// listen returns when the server knows of it.
	listen(subject string, take func(subject string, payload []byte)) error
	// request calls done once, at the latest after the setup's timeout.
	request(subject string, payload []byte, done func(answer []byte, err error))
	// serve answers requests, as one of all who serve the subject, and returns when the server knows of it.
	serve(subject string, answer func(payload []byte) ([]byte, error)) error
	// flush returns when the server has all that was published; an error may be an earlier publish's.
	flush(ctx context.Context) error
	// missing is how many messages have not come by what the peer knows.
	missing() int
	close()
}

// dial connects a peer to the first of the addresses, and a hub, when it loses that, to the next.
func (s setup) dial(ctx context.Context, addresses ...string) (peer, error) {
	if s.plain {
		conn, err := nats.Connect("nats://"+addresses[0], nats.NoReconnect(), nats.Timeout(s.patience))
		if err != nil {
			return nil, fmt.Errorf("connect a plain client: %w", err)
		}
		return &plainPeer{conn: conn, inbox: nats.NewInbox() + ".", timeout: s.timeout, open: map[string]func([]byte, error){}}, nil
	}
	cfg := hub.Config{Selection: hub.Ordered, ReconnectWait: 10 * time.Millisecond, RetryDelay: 10 * time.Millisecond, Timeout: s.timeout}
	for _, a := range addresses {
		cfg.Servers = append(cfg.Servers, "nats://"+a)
	}
	h, err := hub.Open(context.WithoutCancel(ctx), cfg)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.patience)
	defer cancel()
	if err := h.Connected(ctx); err != nil {
		_ = h.Close() // it has no error to tell
		return nil, fmt.Errorf("connect a hub: %w", err)
	}
	p := &hubPeer{hub: h, patience: s.patience}
	h.OnError(func(err error) {
		if errors.Is(err, hub.ErrDisconnected) {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.late = errors.Join(p.late, err)
		}
	})
	return p, nil
}

// hubPeer is a hub that has no reason to move as long as its server lives.
type hubPeer struct {
	hub      *hub.Hub
	patience time.Duration

	mu   sync.Mutex
	late error // what was published had waited too long for a connection
}

func (p *hubPeer) publish(subject string, payload []byte) error {
	return p.hub.Publish(hub.OutMsg{Subject: subject, Data: payload})
}

func (p *hubPeer) listen(subject string, take func(string, []byte)) error {
	sub, err := p.hub.Subscribe(subject, hub.SubOptions{}, func(m *hub.Message) { take(m.Subject, m.Data) })
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), p.patience)
	defer cancel()
	return sub.Ready(ctx)
}

func (p *hubPeer) request(subject string, payload []byte, done func([]byte, error)) {
	p.hub.Request(hub.OutMsg{Subject: subject, Data: payload}, 0, func(m *hub.Message, err error) {
		if err != nil {
			done(nil, err)
			return
		}
		done(m.Data, nil)
	})
}

func (p *hubPeer) serve(subject string, answer func([]byte) ([]byte, error)) error {
	scope, name, _ := strings.Cut(subject, ".")
	ctx, cancel := context.WithTimeout(context.Background(), p.patience)
	defer cancel()
	_, err := p.hub.Scope(scope).Variable(name).Serve(ctx, func(_ context.Context, m *hub.Message) (any, error) { return answer(m.Data) }, hub.ServeOptions{Concurrency: 1})
	return err
}

func (p *hubPeer) flush(ctx context.Context) error {
	p.mu.Lock()
	late := p.late
	p.late = nil
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, p.patience)
	defer cancel()
	return errors.Join(late, p.hub.Flush(ctx))
}

func (p *hubPeer) missing() int { return int(p.hub.Status().Missing) }
func (p *hubPeer) close()       { _ = p.hub.Close() } // it has no error to tell

// plainPeer is a NATS client as everybody has it.
type plainPeer struct {
	conn    *nats.Conn
	inbox   string
	timeout time.Duration // of all that is waited for

	mu     sync.Mutex
	serial int
	open   map[string]func([]byte, error) // requests, by the last part of their inbox
}

func (p *plainPeer) publish(subject string, payload []byte) error {
	return p.conn.Publish(subject, payload)
}

func (p *plainPeer) listen(subject string, take func(string, []byte)) error {
	sub, err := p.conn.Subscribe(subject, func(m *nats.Msg) { take(m.Subject, m.Data) })
	if err != nil {
		return err
	}
	return errors.Join(sub.SetPendingLimits(-1, -1), p.conn.FlushTimeout(p.timeout))
}

func (p *plainPeer) request(subject string, payload []byte, done func([]byte, error)) {
	p.mu.Lock()
	p.serial++
	first, token := p.serial == 1, strconv.Itoa(p.serial)
	p.open[token] = done
	p.mu.Unlock()
	var err error
	if first {
		_, err = p.conn.Subscribe(p.inbox+"*", func(m *nats.Msg) { p.settle(strings.TrimPrefix(m.Subject, p.inbox), m, nil) })
	}
	if err == nil {
		err = p.conn.PublishRequest(subject, p.inbox+token, payload)
	}
	if err != nil {
		p.settle(token, nil, err)
		return
	}
	time.AfterFunc(p.timeout, func() { p.settle(token, nil, nats.ErrTimeout) })
}

// settle ends a request, once.
func (p *plainPeer) settle(token string, m *nats.Msg, err error) {
	p.mu.Lock()
	done := p.open[token]
	delete(p.open, token)
	p.mu.Unlock()
	switch {
	case done == nil: // answered already
	case err != nil:
		done(nil, err)
	case m.Header.Get("Status") == "503":
		done(nil, nats.ErrNoResponders)
	default:
		done(m.Data, nil)
	}
}

func (p *plainPeer) serve(subject string, answer func([]byte) ([]byte, error)) error {
	_, err := p.conn.QueueSubscribe(subject, subject+".service", func(m *nats.Msg) {
		if data, err := answer(m.Data); err == nil {
			_ = m.Respond(data) // a request without an answer fails
		}
	})
	return errors.Join(err, p.conn.FlushTimeout(p.timeout))
}

func (p *plainPeer) flush(context.Context) error { return p.conn.FlushTimeout(p.timeout) }
func (p *plainPeer) missing() int                { return 0 } // it cannot know
func (p *plainPeer) close()                      { p.conn.Close() }
