package leaf

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/nats-io/jwt/v2"
)

// A KeepFunc begins to keep the values that hubs set, for a leaf that has just started. ctx bounds the start.
type KeepFunc func(ctx context.Context, in Inside) (Keeper, error)

// A Keeper keeps, until Close, which the leaf calls before its server ends.
type Keeper interface {
	Status() KeeperStatus
	Close()
}

// KeeperStatus is what is kept.
type KeeperStatus struct {
	Patterns  []string `json:"patterns"` // Subjects.
	Dir       string   `json:"dir"`      // Where it outlives the leaf; null in JSON when it does not.
	Connected bool     `json:"connected"`
	Values    int      `json:"values"`
	Bytes     int      `json:"bytes"`
	MaxValues int      `json:"maxValues"`
	MaxBytes  int      `json:"maxBytes"`
	Evicted   uint64   `json:"evicted"`   // Values that had to go for others.
	Unstored  int      `json:"unstored"`  // Changes that are still to be stored.
	LastError string   `json:"lastError"` // Of storing; null in JSON when there is none.
}

// Inside is how a part of this process reaches the leaf's own server, also after that was started again.
type Inside struct{ leaf *Leaf }

// Dial connects to the server.
func (i Inside) Dial(ctx context.Context) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	srv := i.leaf.server()
	if srv == nil || !srv.Running() {
		return nil, errors.New("the leaf's server is not running")
	}
	return srv.InProcessConn()
}

// Credentials let such a part in: the seed of a user key, or where the leaf has an operator a credentials file. They are new with each leaf.
func (i Inside) Credentials() (seed, creds string, err error) {
	own := i.leaf.settings().access.own
	secret, err := own.pair.Seed()
	if err != nil {
		return "", "", err
	}
	if own.jwt == "" {
		return string(secret), "", nil
	}
	file, err := jwt.FormatUserConfig(own.jwt, secret)
	return "", string(file), err
}

// startKeeper begins to keep, if that is wanted.
func (l *Leaf) startKeeper(ctx context.Context) error {
	keep := l.settings().Keep
	if keep == nil {
		return nil
	}
	k, err := keep(ctx, Inside{l})
	if err != nil {
		return fmt.Errorf("keep values: %w", err)
	}
	l.mu.Lock()
	l.keeper = k
	l.mu.Unlock()
	return nil
}

// endKeeper ends the keeper, if there is one.
func (l *Leaf) endKeeper() {
	l.mu.Lock()
	k := l.keeper
	l.keeper = nil
	l.mu.Unlock()
	if k != nil {
		k.Close()
	}
}

// keeping is what is kept; nil if nothing is.
func (l *Leaf) keeping() *KeeperStatus {
	l.mu.Lock()
	k := l.keeper
	l.mu.Unlock()
	if k == nil {
		return nil
	}
	s := k.Status()
	return &s
}
