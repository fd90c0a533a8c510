package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/kinopio-hub/kinopio-hub/v3/continuity/ledger"
	"github.com/kinopio-hub/kinopio-hub/v3/election/lab"
	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// Streams: the backbone publishes the one and counts the other, the hub the other way round.
const (
	fromBackbone, fromHub = "stream.backbone", "stream.hub"
	pairsPerSecond        = 1000
)

// publishPairs publishes pairs until stop is closed, and returns how many.
func publishPairs(stop <-chan struct{}, publish func([]byte) error) (int, error) {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	began, n := time.Now(), 0
	for {
		select {
		case <-stop:
			return n, nil
		case <-tick.C:
		}
		for due := int(time.Since(began).Seconds() * pairsPerSecond); n < due; n++ {
			for _, payload := range []string{strconv.Itoa(n), ledger.Same} {
				if err := publish([]byte(payload)); err != nil {
					return n, err
				}
			}
		}
	}
}

// play is what both sides do: "publish" begins, "pause" ends it and prints the number of
// pairs, "expect <n>" waits for so many of the other side, and prints what was counted.
func play(ctx context.Context, in <-chan string, out io.Writer, other string, book *ledger.Book, publish func([]byte) error, flush func() error) error {
	var wg sync.WaitGroup
	stop := make(chan struct{})
	n, failed := 0, error(nil)
	for line := range in {
		switch verb, rest, _ := strings.Cut(line, " "); verb {
		case "publish":
			wg.Go(func() { n, failed = publishPairs(stop, publish) })
		case "pause":
			close(stop)
			wg.Wait()
			if failed != nil {
				return failed
			}
			if err := flush(); err != nil {
				return err
			}
			fmt.Fprintln(out, "published", n)
		case "expect":
			pairs, err := strconv.Atoi(rest)
			if err != nil {
				return err
			}
			book.End(ctx, map[string]int{other: pairs}, 5*time.Second)
			text, err := json.Marshal(book.Total())
			if err != nil {
				return err
			}
			fmt.Fprintln(out, "counted", string(text))
		}
	}
	return nil
}

// playBackbone is a nats-server that takes leaves, and a client of it.
func playBackbone(ctx context.Context, _ []string, in <-chan string, out io.Writer) error {
	o := &natsserver.Options{Host: "::", Port: 4222, NoSigs: true, NoLog: true}
	o.LeafNode.Host, o.LeafNode.Port = "::", 7422
	s, err := natsserver.NewServer(o)
	if err != nil {
		return err
	}
	s.Start()
	defer s.WaitForShutdown()
	defer s.Shutdown()
	if !s.ReadyForConnections(20 * time.Second) {
		return fmt.Errorf("the backbone is not ready")
	}
	nc, err := nats.Connect("nats://127.0.0.1:4222")
	if err != nil {
		return err
	}
	defer nc.Close()
	var book ledger.Book
	if _, err := nc.Subscribe(fromHub, func(m *nats.Msg) { book.Take(m.Subject, m.Data) }); err != nil {
		return err
	}
	if err := nc.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(out, "ready")
	return play(ctx, in, out, fromHub, &book, func(b []byte) error { return nc.Publish(fromBackbone, b) }, nc.Flush)
}

// playHub is a program on the LAN: args are its server, the manifest, and a file of roots if it shall
// trust others than the machine's.
func playHub(ctx context.Context, args []string, in <-chan string, out io.Writer) error {
	var trust *tls.Config
	if len(args) > 2 { // Roots, PEM.
		root, err := os.ReadFile(args[2])
		if err != nil {
			return err
		}
		trust = &tls.Config{RootCAs: x509.NewCertPool()}
		trust.RootCAs.AppendCertsFromPEM(root)
	}
	h, err := hub.Open(ctx, hub.Config{Servers: []string{args[0]}, TLS: trust, Discovery: hub.Discovery{
		Enabled: true, ManifestURL: args[1], CacheTTL: 200 * time.Millisecond, SwitchTimeout: 5 * time.Second,
	}})
	if err != nil {
		return err
	}
	defer h.Close()
	h.OnMove(func(m hub.Move) {
		if m.Err == nil {
			fmt.Fprintf(out, "moved via=%s planned=%v reason=%q to=%s isolated=%v\n", m.Via, m.Planned, m.Reason, m.To, m.Isolated)
		}
	})
	var book ledger.Book
	if _, err := h.Subscribe(fromBackbone, hub.SubOptions{}, func(m *hub.Message) { book.Take(m.Subject, m.Data) }); err != nil {
		return err
	}
	publish := func(b []byte) error {
		return h.Publish(hub.OutMsg{Subject: fromHub, Data: b}) // counted, if it is not sent later
	}
	return play(ctx, in, out, fromBackbone, &book, publish, func() error { return h.Flush(ctx) })
}

// The leader is stopped, and the next one, while a hub on the LAN publishes and listens: it
// goes where the leaf is, and nobody loses, repeats or reorders a message.
func TestHubFollowsTheLeader(t *testing.T) {
	l := newLAN(t, 4, "--no-websocket-tls")
	base := l.network.Host("backbone")
	server := base.Play("backbone")
	server.Await("ready")
	const own = 3 // the host of the program; its agent cannot measure the backbone, so it is the last to lead
	flags := l.flags
	for i := range l.hosts {
		port, more := "7422", []string(nil)
		if i == own {
			port, more = "1", []string{"--discovery-port", "4321"}
		}
		l.flags = append(append(slices.Clone(flags), more...), "--backbone-server", "nats://"+base.Address.String()+":"+port)
		l.start(i)
		if i == 0 {
			l.leads([]int{0})
		}
	}
	program := l.hosts[own].Play("hub", "nats://"+base.Address.String()+":4222", "http://127.0.0.1:4321/.well-known/kinopio-leader.json")
	program.Await("moved via=leaf planned=true")
	server.Say("publish")
	program.Say("publish")
	for range 2 {
		leads, _ := l.agree()
		if leads == own {
			t.Fatal("an agent that cannot measure the backbone leads although others can")
		}
		time.Sleep(500 * time.Millisecond) // in which messages pass
		program.Forget()
		p := l.agents[leads]
		l.agents[leads] = nil
		p.Stop()
		program.Await("moved via=leaf planned=true")
	}
	time.Sleep(500 * time.Millisecond)
	for _, side := range []struct{ sends, hears *lab.Process }{{server, program}, {program, server}} {
		side.sends.Say("pause")
		n := strings.TrimPrefix(side.sends.Await("published "), "published ")
		if pairs, err := strconv.Atoi(n); err != nil || pairs < pairsPerSecond {
			t.Errorf("%s pairs published, want at least %d", n, pairsPerSecond)
		}
		side.hears.Say("expect " + n)
		line := strings.TrimPrefix(side.hears.Await("counted "), "counted ")
		var counts ledger.Counts
		if err := json.Unmarshal([]byte(line), &counts); err != nil {
			t.Fatal(err)
		}
		if !counts.Clean() || counts.Messages == 0 {
			t.Errorf("of %s pairs: %+v", n, counts)
		}
		t.Logf("%s pairs: %+v", n, counts)
	}
	if said := program.Said(); strings.Contains(said, "planned=false reason=\"leaf") || strings.Contains(said, "isolated=true") {
		t.Errorf("the hub did not move as planned:\n%s", said)
	}
}
