package tlsca

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// fakeRunner is a machine that has some programs, and notes what is run.
type fakeRunner struct {
	has []string
	// answer is what a command line prints; an error is that program's refusal.
	answer func(line string) (string, error)

	mu  sync.Mutex
	ran []string
}

var errRefused = errors.New("exit status 1")

func (r *fakeRunner) Find(name string) (string, error) {
	if slices.Contains(r.has, name) {
		return name, nil
	}
	return "", fmt.Errorf("%s: %w", name, ErrNoTool)
}

func (r *fakeRunner) Run(ctx context.Context, c Command) ([]byte, error) {
	line := c.String()
	r.mu.Lock()
	r.ran = append(r.ran, line)
	r.mu.Unlock()
	if r.answer == nil {
		return nil, nil
	}
	out, err := r.answer(line)
	if err != nil {
		err = &CommandError{Command: c, Said: "no", Err: err}
	}
	return []byte(out), err
}

func (r *fakeRunner) lines() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.ran, "\n")
}

// fakeStore is a store in memory.
type fakeStore struct {
	info StoreInfo
	err  error // Of Install and Remove.
	lies bool  // Says that it has done what it has not.
	wait bool  // Until ctx ends.

	mu    sync.Mutex
	has   bool
	calls []string
}

func (s *fakeStore) Info() StoreInfo { return s.info }

func (s *fakeStore) Contains(context.Context, Anchor) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.has, nil
}

func (s *fakeStore) Install(ctx context.Context, _ Anchor) error { return s.edit(ctx, "install", true) }
func (s *fakeStore) Remove(ctx context.Context, _ Anchor) error  { return s.edit(ctx, "remove", false) }

func (s *fakeStore) edit(ctx context.Context, call string, has bool) error {
	if s.wait {
		<-ctx.Done()
		return ctx.Err()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls = append(s.calls, call)
	if s.err == nil && !s.lies {
		s.has = has
	}
	return s.err
}

func (s *fakeStore) called() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.calls, " ")
}

// rootsStore is a store of any number of roots.
type rootsStore struct {
	name string
	mu   sync.Mutex
	has  map[string]bool
}

func (s *rootsStore) Info() StoreInfo { return StoreInfo{Kind: "nss", Name: s.name, Browsers: true} }

func (s *rootsStore) Contains(_ context.Context, a Anchor) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.has[a.Fingerprint], nil
}

func (s *rootsStore) Install(_ context.Context, a Anchor) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.has[a.Fingerprint] = true
	return nil
}

func (s *rootsStore) Remove(_ context.Context, a Anchor) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.has, a.Fingerprint)
	return nil
}
