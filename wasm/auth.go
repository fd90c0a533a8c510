package main

import (
	"context"
	"fmt"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
	"github.com/kinopio-hub/kinopio-hub/v3/internal/plainjson"
)

// credentials are JavaScript's answer to an ask row.
type credentials struct {
	hub.Auth
	failure string // why there are none
}

func readAuth(r *plainjson.Reader) hub.Auth {
	return hub.Auth{
		Token:    r.Text("token"),
		User:     r.Text("user"),
		Password: r.Text("password"),
		NkeySeed: r.Text("nkeySeed"),
		Creds:    r.Text("creds"),
	}
}

// ask is the hub's authenticator where JavaScript has one.
func (s *pageHub) ask(ctx context.Context, server string) (hub.Auth, error) {
	answer := make(chan credentials, 1)
	s.mu.Lock()
	s.authSerial = freeID(s.authSerial, s.authWaiting)
	id := s.authSerial
	s.authWaiting[id] = answer
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.authWaiting, id)
	}()
	s.out.text(rowAsk, id, 0, server)
	select {
	case c := <-answer:
		if c.failure != "" {
			return hub.Auth{}, fmt.Errorf("authenticator: %s", c.failure)
		}
		return c.Auth, nil
	case <-ctx.Done():
		return hub.Auth{}, fmt.Errorf("authenticator: %w", ctx.Err())
	}
}

// answerAuth passes on what JavaScript's authenticator gave, unless nobody waits any more.
func (s *pageHub) answerAuth(id uint32, text []byte) {
	var c credentials
	r, err := plainjson.Read(text)
	if err == nil {
		c = credentials{readAuth(r), r.Text("error")}
		err = r.Err()
	}
	if err != nil {
		c.failure = err.Error()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if answer := s.authWaiting[id]; answer != nil {
		answer <- c // has room: there is one answer
		delete(s.authWaiting, id)
	}
}
