package e2e

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/kinopio-hub/kinopio-hub/v3/e2e/engine"
	hosts "github.com/kinopio-hub/kinopio-hub/v3/election/lab"
)

// A sequence is "0", "same", "1", "same", …: whatever is lost, repeated or out of order breaks it.
type sequence struct {
	mu     sync.Mutex
	heard  int
	broken string
}

func (s *sequence) take(payload string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	want := "same"
	if s.heard%2 == 0 {
		want = strconv.Itoa(s.heard / 2)
	}
	if payload != want && s.broken == "" {
		s.broken = fmt.Sprintf("message %d is %q, want %q", s.heard, payload, want)
	}
	s.heard++
}

func (s *sequence) state() (heard int, broken string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.heard, s.broken
}

// playBackbone is a nats-server for leaves and pages. It publishes from the line "publish" to
// "pause", and then says how many messages that was; on "heard" it says what it has of the page. With the files of a
// certificate, its key and the folder of the built package in args it serves an app by https, too, and pages by wss.
func playBackbone(ctx context.Context, args []string, in <-chan string, out io.Writer) error {
	o := &server.Options{Host: "0.0.0.0", Port: 4222, NoLog: true, NoSigs: true,
		Websocket: server.WebsocketOpts{Host: "0.0.0.0", Port: 8080, NoTLS: true}}
	o.LeafNode.Host, o.LeafNode.Port = "0.0.0.0", 7422
	if len(args) == 3 {
		pair, err := tls.LoadX509KeyPair(args[0], args[1])
		if err != nil {
			return err
		}
		o.Websocket.NoTLS, o.Websocket.TLSConfig = false, &tls.Config{Certificates: []tls.Certificate{pair}}
		l, err := tls.Listen("tcp", "0.0.0.0:443", &tls.Config{Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"}})
		if err != nil {
			return err
		}
		app := &http.Server{Handler: serveApp(args[2]), ErrorLog: log.New(io.Discard, "", 0)} // browsers drop connections without a word
		go func() { _ = app.Serve(l) }()                                                      // ends with Close
		defer app.Close()
	}
	s, err := server.NewServer(o)
	if err != nil {
		return err
	}
	s.Start()
	defer s.WaitForShutdown()
	defer s.Shutdown()
	if !s.ReadyForConnections(patience) {
		return fmt.Errorf("the nats-server did not start")
	}
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		return err
	}
	defer nc.Close()
	var page sequence
	if _, err := nc.Subscribe("stream.page", func(m *nats.Msg) { page.take(string(m.Data)) }); err != nil {
		return err
	}
	if err := nc.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(out, "ready")
	tick := time.NewTicker(4 * time.Millisecond)
	defer tick.Stop()
	publishing, sent := false, 0
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			for n := 0; publishing && n < 4; n++ {
				payload := "same"
				if sent%2 == 0 {
					payload = strconv.Itoa(sent / 2)
				}
				if err := nc.Publish("stream.backbone", []byte(payload)); err != nil {
					return err
				}
				sent++
			}
		case line, ok := <-in:
			switch {
			case !ok:
				return nil
			case line == "publish":
				publishing = true
			case line == "pause":
				publishing = false
				if err := nc.Flush(); err != nil {
					return err
				}
				fmt.Fprintln(out, "sent", sent)
			case line == "heard":
				heard, broken := page.state()
				fmt.Fprintf(out, "heard %d %s\n", heard, broken)
			}
		}
	}
}

// electionPage follows the backbone's sequence, and publishes one.
const electionPage = `(async () => {
	window.hub = open({ servers: [%q], discovery: { enabled: true, manifestUrl: %q, cacheTtlMs: 200, localSwitchTimeoutMs: 5000 } });
	Object.assign(window, { heard: 0, broken: "", sent: 0 });
	await hub.stream.backbone.sub((payload) => {
		const want = heard %% 2 ? "same" : heard / 2;
		if (payload !== want && !broken) broken = "message " + heard + " is " + payload + ", want " + want;
		heard++;
	});
	window.publish = () => { window.timer = setInterval(() => { for (let n = 0; n < 4; n++, sent++) hub.stream.page.pub(sent %% 2 ? "same" : sent / 2); }, 4); };
	return true;
})()`

// The leader is stopped twice while a page publishes and listens: the page goes where the leaf
// is, and nothing is lost, repeated or out of order, either way.
func TestPageFollowsTheElectedLeader(t *testing.T) {
	built := artefacts(t)
	network := hosts.New(t)
	base := network.Host("backbone")
	backbone := base.Play("backbone")
	backbone.Await("ready")
	agents := map[string]*hosts.Process{}
	var own *hosts.Host
	for _, name := range []string{"a", "b", "c", "own"} {
		h := network.Host(name)
		args := []string{"leaf", "auto", "--discovery-namespace", "e2e", "--node-id", "node-" + name, "--no-websocket-tls", "--json-lines", "--parent-pipe",
			"--cache-dir", t.TempDir(), "--runtime-dir", t.TempDir(), "--backbone-server"}
		if name == "own" { // cannot measure the backbone, so it is the last to lead
			args, own = append(args, "nats://"+base.Address.String()+":1", "--discovery-port", "4321"), h
		} else {
			args = append(args, "nats://"+base.Address.String()+":7422")
		}
		agents[name] = h.Start("leaf auto", h.Command(context.Background(), built.program, args...))
		if name == "a" {
			agents[name].Await(`"state":"leader"`)
		}
	}
	page := openOn(t, own, hostBrowser{Engine: engine.Chromium, Dist: built.dist}, "")
	eval[bool](page, fmt.Sprintf(electionPage, "ws://"+base.Address.String()+":8080", "http://127.0.0.1:4321/.well-known/kinopio-leader.json"))
	type state struct {
		Heard, Sent int
		Broken      string
		Moves       []string
	}
	ask := func() state {
		return eval[state](page, `({ heard, sent, broken, moves: seen[0].moves.map((m) => m.error ? "failed: " + m.error : (m.planned ? "planned " : "unplanned ") + m.via + " " + m.reason) })`)
	}
	onLeaf := func(times int) {
		t.Helper()
		for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
			s, n := ask(), 0
			for _, m := range s.Moves {
				if strings.HasPrefix(m, "planned leaf") {
					n++
				}
			}
			if n >= times {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("moves of the page: %q, want %d to a leaf", s.Moves, times)
			}
		}
	}
	onLeaf(1)
	backbone.Say("publish")
	eval[bool](page, `(publish(), true)`)
	leader := "a"
	for turn := range 2 {
		time.Sleep(500 * time.Millisecond) // in which messages pass
		agents[leader].Stop()
		delete(agents, leader)
		leader = ""
		for deadline := time.Now().Add(patience); leader == ""; time.Sleep(20 * time.Millisecond) {
			for name, p := range agents {
				said := p.Said()
				if strings.Contains(said[strings.LastIndexByte(said, '\n')+1:], `"state":"leader"`) {
					leader = name
				}
			}
			if time.Now().After(deadline) {
				t.Fatal("nobody leads")
			}
		}
		onLeaf(turn + 2)
	}
	time.Sleep(500 * time.Millisecond)
	eval[bool](page, `(clearInterval(timer), true)`)
	backbone.Say("pause")
	sent, err := strconv.Atoi(strings.TrimPrefix(backbone.Await("sent "), "sent "))
	if err != nil || sent < 1000 {
		t.Errorf("%d messages published at the backbone: %v", sent, err)
	}
	var s state
	for deadline := time.Now().Add(patience); s.Heard < sent && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		s = ask()
	}
	if s.Heard != sent || s.Broken != "" {
		t.Errorf("the page heard %d of %d messages: %s", s.Heard, sent, s.Broken)
	}
	want := fmt.Sprintf("heard %d ", s.Sent)
	var line string
	for deadline := time.Now().Add(patience); line != want && time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		backbone.Say("heard")
		line = backbone.Await("heard ")
	}
	if line != want || s.Sent < 1000 {
		t.Errorf("of %d messages of the page: %s", s.Sent, line)
	}
	for _, m := range s.Moves[1:] {
		if !strings.HasPrefix(m, "planned ") {
			t.Errorf("moves of the page: %q", s.Moves)
			break
		}
	}
	t.Logf("%d messages to the page, %d from it; %q", s.Heard, s.Sent, s.Moves)
}
