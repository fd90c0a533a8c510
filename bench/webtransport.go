package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/e2e/engine"
)

// The sides of js/works.mjs that are on a leaf, in the order of a round.
const (
	byWebTransport = "ours by WebTransport"
	byWSS          = "ours by wss"
	peerByWSS      = "nats-core by wss"
)

// runWebTransport measures, in one page, ours over WebTransport against ours and the official client over wss: on a leaf
// whose certificate the browser trusts by a root in its profile, and by its hash.
func runWebTransport(ctx context.Context, e *env) (err error) {
	if err := runIdleLeaf(ctx, e); err != nil {
		return err
	}
	leaf, err := startBenchLeaf(ctx, e)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, leaf.stop()) }()
	site, stop, err := startSite(ctx, e, leaf.manifest("/manifest", true), leaf.manifest("/manifest-wss", false))
	if err != nil {
		return err
	}
	defer stop()
	t, err := openTabWith(ctx, e, engine.Options{RootFiles: []string{leaf.status.TLS.CACertFile}, QUIC: true})
	if err != nil {
		return err
	}
	defer t.close()
	if e.hot {
		t.hot = e.log
	}
	if err := t.goTo(ctx, site+"/page.html?ws="+url.QueryEscape(leaf.backbone.WS)+"&leaf="+url.QueryEscape(leaf.status.WSSURL)); err != nil {
		return err
	}
	if err := runFirstWord(ctx, e, t, leaf); err != nil {
		return err
	}
	for _, w := range e.wtWorks() {
		if e.wanted(w.figures[0].name) {
			if err := runThree(ctx, e, t, leaf, w); err != nil {
				return fmt.Errorf("%s: %w", w.figures[0].name, err)
			}
		}
	}
	return nil
}

func (e *env) wtWorks() []jsWork {
	type o = map[string]any
	return []jsWork{
		{figures: []figure{{"receive 200k × 55 B, decoded", "ms", 0.40, 0}}, work: "receive", options: o{"count": e.count(200_000)}},
		{figures: []figure{{"publish 200k × 55 B", "ms", 0, 0}}, work: "publish", options: o{"count": e.count(200_000)}},
		{figures: []figure{{"receive 800 × 64 KiB", "ms", 0.40, 0}}, work: "receive", options: o{"count": e.count(800), "size": 64 << 10}},
		{figures: []figure{{"publish 800 × 64 KiB", "ms", 0, 0}}, work: "publish", options: o{"count": e.count(800), "size": 64 << 10}},
		{figures: []figure{{"request p50", "µs", 0, 0}, {"request p99", "µs", 0, 0}}, work: "request", options: o{"count": e.count(5_000)}},
	}
}

// runThree lets the three do a work turn about, and takes two rows for each figure: ours by WebTransport against each of
// the others.
func runThree(ctx context.Context, e *env, t *tab, leaf *benchLeaf, w jsWork) error {
	fmt.Fprintln(e.log, "webtransport:", w.figures[0].name)
	var toPeer, toOurs []*result
	// What the page's thread itself takes depends little on what else the machine does.
	figures := append(slices.Clone(w.figures), figure{name: w.figures[0].name + ", CPU of the page's thread", unit: "ms"}, figure{name: w.figures[0].name + ", CPU of the leaf", unit: "ms"},
		figure{name: w.figures[0].name + ", CPU of the browser's other processes", unit: "ms"})
	for _, f := range figures {
		toPeer = append(toPeer, &result{Suite: "webtransport", Work: f.name, Unit: f.unit, PeerIs: peerByWSS, Must: f.must, Goal: f.goal})
		toOurs = append(toOurs, &result{Suite: "webtransport", Work: f.name, Unit: f.unit, PeerIs: byWSS})
	}
	sides := []string{byWebTransport, byWSS, peerByWSS}
	for round := -1; round < e.rounds; round++ {
		for turn := range sides {
			side := sides[(turn+round+1)%len(sides)]
			bounded, cancel := context.WithTimeout(ctx, 2*time.Minute)
			othersBefore, othersErr := t.others()
			before, timeErr := processorTime(leaf.pid)
			values, cpu, err := t.measure(bounded, side, w.work, w.options)
			cancel()
			after, laterErr := processorTime(leaf.pid)
			othersAfter, othersLaterErr := t.others()
			err = errors.Join(err, timeErr, laterErr, othersErr, othersLaterErr)
			if err == nil && len(values) != len(w.figures) {
				err = fmt.Errorf("%d values: want %d", len(values), len(w.figures))
			}
			if err != nil {
				return fmt.Errorf("%s: %w", side, err)
			}
			if round < 0 {
				continue
			}
			for i, v := range append(values, ms(cpu), ms(after-before), ms(othersAfter-othersBefore)) {
				switch side {
				case byWebTransport:
					toPeer[i].take(true, v)
					toOurs[i].take(true, v)
				case byWSS:
					toOurs[i].take(false, v)
				default:
					toPeer[i].take(false, v)
				}
			}
		}
	}
	for i := range toPeer {
		e.report.add(toPeer[i])
		e.report.add(toOurs[i])
	}
	return nil
}

// runFirstWord measures how long it takes until the leaf has said something, by each way.
func runFirstWord(ctx context.Context, e *env, t *tab, leaf *benchLeaf) error {
	r := &result{Suite: "webtransport", Work: "until the leaf's first word, p50 of 50", Unit: "ms", PeerIs: "a WebSocket"}
	if !e.wanted(r.Work) {
		return nil
	}
	fmt.Fprintln(e.log, "webtransport:", r.Work)
	for round := -1; round < e.rounds; round++ {
		for turn := range 2 {
			ours := (round+turn)&1 != 0
			options := map[string]any{"rounds": 50}
			if ours {
				options["way"] = leaf.status.WebTransport.Endpoints[0]
			} else {
				options["leaf"] = leaf.status.WSSURL
			}
			values, _, err := t.measure(ctx, "nobody", "firstWord", options)
			if err != nil {
				return err
			}
			if round >= 0 {
				r.take(ours, values[0])
			}
		}
	}
	e.report.add(r)
	return nil
}

// benchLeaf is the built program as a leaf, with a backbone and with the peers of the works.
type benchLeaf struct {
	backbone *server
	pid      int
	client   *http.Client // trusts it
	status   struct {
		WSSURL, DiscoveryURL, ClientURL string
		TLS                             struct{ CACertFile string }
		WebTransport                    struct {
			Endpoints []struct {
				URL               string   `json:"url"`
				CertificateHashes []string `json:"certificateHashes"`
			}
		}
	}
	closers []func() error
}

func (l *benchLeaf) stop() (err error) {
	for i := len(l.closers) - 1; i >= 0; i-- {
		err = errors.Join(err, l.closers[i]())
	}
	return err
}

func startBenchLeaf(ctx context.Context, e *env) (_ *benchLeaf, err error) {
	l := &benchLeaf{}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.stop())
		}
	}()
	if l.backbone, err = startServer(ctx, backboneArgument); err != nil {
		return nil, err
	}
	l.closers = append(l.closers, l.backbone.stop)
	cmd, out, err := leafCommand(ctx, e, e.tmp+"/webtransport", "--json-lines", "--max-payload", "8388608", "--backbone-server", l.backbone.Leaf)
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	l.pid = cmd.Process.Pid
	lines := bufio.NewReader(out)
	l.closers = append(l.closers, func() error { return end(cmd, lines) })
	if err := l.awaitBridge(lines); err != nil {
		return nil, err
	}
	root, err := os.ReadFile(l.status.TLS.CACertFile)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(root)
	l.client = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true}}
	failed := make(chan error, 1)
	stop, err := servePeers(l.status.ClientURL, failed)
	if err != nil {
		return nil, err
	}
	l.closers = append(l.closers, func() error {
		stop()
		select {
		case err := <-failed:
			return fmt.Errorf("peers: %w", err)
		default:
			return nil
		}
	})
	return l, nil
}

func (l *benchLeaf) awaitBridge(lines *bufio.Reader) error {
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return fmt.Errorf("the leaf has no bridge: %w", err)
		}
		var said struct{ BridgeState string }
		if err := json.Unmarshal(line, &said); err != nil {
			return err
		}
		if said.BridgeState != "connected" {
			continue
		}
		if err := json.Unmarshal(line, &l.status); err != nil {
			return err
		}
		if len(l.status.WebTransport.Endpoints) == 0 {
			return fmt.Errorf("the leaf has no WebTransport: %s", line)
		}
		return nil
	}
}

// manifest hands the leaf's on, as the server of an app does; with WebTransport or without.
func (l *benchLeaf) manifest(path string, whole bool) route {
	return route{path, func(w http.ResponseWriter, r *http.Request) {
		answer, err := l.client.Get(l.status.DiscoveryURL)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		var m map[string]any
		if err == nil {
			err = json.Unmarshal(body, &m)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		if !whole {
			delete(m, "webTransport")
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "no-store")
		_ = json.NewEncoder(w).Encode(m)
	}}
}
