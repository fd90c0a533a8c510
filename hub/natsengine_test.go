//go:build !js

package hub

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/transport"
)

// scripted is a dialer to a server that says what it is told to, and then nothing.
type scripted string

func (scripted) Schemes() []string { return []string{"nats"} }
func (s scripted) Dial(ctx context.Context, _ string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	go func() {
		defer theirs.Close()
		for _, line := range strings.SplitAfter(string(s), "\n") {
			switch line {
			case "CONNECT\n":
				from := bufio.NewReader(theirs)
				from.ReadString('\n')
				from.ReadString('\n')
			case "silence\n":
				io.Copy(io.Discard, theirs)
			default:
				io.WriteString(theirs, line)
			}
		}
	}()
	return ours, nil
}

func TestConnectingSaysWhyAServerWillNotDo(t *testing.T) {
	const info = "INFO {\"max_payload\":1000,\"headers\":true}\r\n"
	for script, want := range map[string]string{
		"":                                "EOF",
		"SSH-2.0-OpenSSH_9.9\r\n":         "malformed NATS protocol",
		"+OK\r\n":                         "want INFO first",
		"INFO {]\r\n":                     "malformed NATS protocol: INFO",
		"INFO {\"max_payload\":1000}\r\n": "want nats-server 2.2 or later",
		"-ERR 'maximum connections exceeded'\r\n":            "maximum connections exceeded",
		info + "CONNECT\n-ERR 'Authorization Violation'\r\n": "Authorization Violation",
		info + "silence\n": "deadline exceeded",
		"silence\n":        "deadline exceeded",
	} {
		cfg, err := Config{Servers: []string{"nats://x:1"}, ReconnectTimeout: 100 * time.Millisecond, Dialers: []transport.Dialer{scripted(script)}}.normalize()
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		h := &Hub{cfg: cfg, engine: newNatsEngine(&cfg), ctx: context.Background()}
		_, err = h.connect(context.Background(), target{url: "nats://user:secret@x:1"}, cfg.ReconnectTimeout, false)
		if !errors.Is(err, ErrConnect) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: got %v, want %q", script, err, want)
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("%q: took %v", script, took)
		}
	}
}
