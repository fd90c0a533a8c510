package main

import (
	"context"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/transport/native"
)

// lanPatience is how long the leaf that was there is dialed before the LAN is asked who leads now.
const lanPatience = 2 * time.Second

// A lanDialer dials the leaf that leads on the LAN, under the URL of the one that was found first: when that has gone, the
// hub comes to the next one.
type lanDialer struct {
	native.Dialer
	finder *lanFinder
	first  string

	mu  sync.Mutex
	now string
}

// leads is the URL of the leaf that was found last.
func (d *lanDialer) leads() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.now
}

func (d *lanDialer) Dial(ctx context.Context, to string) (net.Conn, error) {
	if !sameServer(to, d.first) {
		return d.Dialer.Dial(ctx, to) // A leaf that was found through the session.
	}
	once, cancel := context.WithTimeout(ctx, lanPatience)
	conn, err := d.Dialer.Dial(once, d.leads())
	cancel()
	if err == nil || ctx.Err() != nil {
		return conn, err
	}
	found, lost := d.finder.find(ctx)
	if lost != nil {
		return nil, err
	}
	d.mu.Lock()
	d.now = found
	d.mu.Unlock()
	return d.Dialer.Dial(ctx, found)
}

// sameServer compares URLs by host and port.
func sameServer(a, b string) bool {
	x, errX := url.Parse(a)
	y, errY := url.Parse(b)
	return errX == nil && errY == nil && strings.EqualFold(x.Host, y.Host)
}
