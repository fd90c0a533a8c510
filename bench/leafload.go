package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

const (
	crowdSize = 10_000 // clients of one leaf
	crowdFew  = 1_000  // by which the memory of one is measured
)

// runCrowd connects clients to one leaf, with TLS, until there are 10,000, and sends all of
// them one message. Each has a descriptor here and one in the leaf; the Go runtime raises
// both limits to what the system permits.
func runCrowd(ctx context.Context, e *env) (err error) {
	memory := &result{Suite: "leaf", Work: "memory of a WebSocket client, of 1,000", Unit: "kB"}
	total := &result{Suite: "leaf", Work: "resident memory with 10,000 WebSocket clients", Unit: "MB"}
	reach := &result{Suite: "leaf", Work: "a message reaches 10,000 WebSocket clients", Unit: "ms"}
	if !e.wanted(memory.Work) && !e.wanted(total.Work) && !e.wanted(reach.Work) {
		return nil
	}
	fmt.Fprintln(e.log, "leaf:", reach.Work)
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	cmd, out, err := leafCommand(ctx, e, e.tmp+"/crowd", "--json", "--max-connections", fmt.Sprint(crowdSize+10))
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	lines := bufio.NewReader(out)
	defer func() { err = errors.Join(err, end(cmd, lines)) }()
	var status struct {
		WSSURL string
		TLS    struct{ CACertFile string }
	}
	if err := json.NewDecoder(lines).Decode(&status); err != nil {
		return fmt.Errorf("status of the leaf: %w", err)
	}
	root, err := os.ReadFile(status.TLS.CACertFile)
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(root) {
		return fmt.Errorf("%s: no certificate", status.TLS.CACertFile)
	}
	c := &crowd{url: status.WSSURL, tls: &tls.Config{RootCAs: pool}, all: make(chan struct{})}
	defer c.leave()
	resident := func() (float64, error) {
		select {
		case <-time.After(5 * time.Second): // Of the handshakes, until the collector has been.
			return residentMB(cmd.Process.Pid)
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	before, err := resident()
	if err != nil {
		return err
	}
	if err := c.grow(ctx, crowdFew); err != nil {
		return err
	}
	few, err := resident()
	if err != nil {
		return err
	}
	memory.Ours = []float64{(few - before) * 1024 / crowdFew}
	if err := c.grow(ctx, crowdSize); err != nil {
		return err
	}
	many, err := resident()
	if err != nil {
		return err
	}
	total.Ours = []float64{many}
	began := time.Now()
	if err := c.conns[0].Publish("bench.crowd", []byte(small)); err != nil {
		return err
	}
	select {
	case <-c.all:
		reach.Ours = []float64{ms(time.Since(began))}
	case <-ctx.Done():
		return fmt.Errorf("%d of %d clients have the message: %w", c.got.Load(), crowdSize, ctx.Err())
	}
	if n := c.cut.Load(); n > 0 {
		return fmt.Errorf("%d of %d clients were cut", n, crowdSize)
	}
	for _, r := range []*result{memory, total, reach} {
		e.report.add(r)
	}
	return nil
}

// crowd is many clients that subscribe to one subject.
type crowd struct {
	url      string
	tls      *tls.Config
	conns    []*nats.Conn
	got, cut atomic.Int64
	all      chan struct{} // closed when all have the message
}

// grow connects until there are n.
func (c *crowd) grow(ctx context.Context, n int) error {
	first := len(c.conns)
	c.conns = append(c.conns, make([]*nats.Conn, n-first)...)
	failures := make(chan error, 8)
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for i := first + worker; i < n && ctx.Err() == nil; i += 8 {
				if err := c.join(i); err != nil {
					failures <- fmt.Errorf("client %d: %w", i, err)
					return
				}
			}
		})
	}
	wg.Wait()
	select {
	case err := <-failures:
		return err
	default:
		return ctx.Err()
	}
}

func (c *crowd) join(i int) error {
	nc, err := nats.Connect(c.url, nats.Secure(c.tls.Clone()), nats.NoReconnect(), nats.Timeout(20*time.Second),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				c.cut.Add(1)
			}
		}))
	if err != nil {
		return err
	}
	c.conns[i] = nc
	if _, err := nc.Subscribe("bench.crowd", func(*nats.Msg) {
		if c.got.Add(1) == crowdSize {
			close(c.all)
		}
	}); err != nil {
		return err
	}
	return nc.FlushTimeout(20 * time.Second)
}

func (c *crowd) leave() {
	for _, nc := range c.conns {
		if nc != nil {
			nc.Close()
		}
	}
}
